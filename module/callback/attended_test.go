package callback_test

import (
	"testing"

	"github.com/caddy-callback/caddy-callback/module/callback"
)

// TestCallThatNobodyWaitsForIsNotAccepted covers callbacks of requests that go on with
// their clients.
func TestCallThatNobodyWaitsForIsNotAccepted(t *testing.T) {
	t.Parallel()
	p := compiled(t, callback.Policy{})
	for name, c := range map[string]struct {
		attended, unattended, keyed bool
		kind                        callback.Kind
		phase                       callback.Phase
	}{
		"somebody waits":                    {true, false, false, callback.Accepted, callback.Resolved},
		"nobody waits":                      {true, true, false, callback.Gone, callback.Closed},
		"nobody waits, but can come back":   {true, true, true, callback.Unattended, 0},
		"nobody needs to wait":              {false, true, false, callback.Accepted, callback.Resolved},
		"nobody needs to wait, with a key":  {false, true, true, callback.Accepted, callback.Resolved},
		"somebody waits, and can come back": {true, false, true, callback.Accepted, callback.Resolved},
	} {
		spec := callback.Spec{ExpiresIn: lifetime, Attended: c.attended}
		if c.keyed {
			spec.Fingerprint = callback.Fingerprint("POST", "/", "", nil)
		}
		r := callback.New(&secret, p, spec, born)
		for door, receive := range map[string]func(*callback.Policy, *callback.Call, callback.Lookup, callback.Time) callback.Verdict{"a call": r.Receive, "an operator's": r.Resolve} {
			call := newCall("POST", "paid")
			call.Unattended = c.unattended
			v := receive(p, call, lookIn(r, p, call), born)
			if v.Kind != c.kind || (v.Next != nil) != (c.phase != 0) || v.Next != nil && v.Next.Phase != c.phase {
				t.Errorf("%s, %s: %+v", name, door, v)
			}
			late := receive(p, call, lookIn(r, p, call), r.ExpiresAt)
			if late.Kind != callback.Gone || late.Next.Phase != callback.Expired {
				t.Errorf("%s, %s, late: %+v", name, door, late)
			}
		}
	}
}
