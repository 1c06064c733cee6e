package callback_test

import (
	"testing"

	"github.com/caddy-callback/caddy-callback/module/callback"
)

// TestPeopleAreSentOn is the table of who is sent where: a person with redir alone, one with
// redir and respond, and a program.
func TestPeopleAreSentOn(t *testing.T) {
	t.Parallel()
	const done, failed, late = "https://shop.example/done", "https://shop.example/failed", "https://shop.example/late"
	to := func(url string) *callback.Redirect { return &callback.Redirect{URL: url} }
	alone := compiled(t, callback.Policy{Redirect: to(done), RedirectFailed: to(failed), RedirectLate: to(late), Keys: []string{"k"}})
	both := compiled(t, callback.Policy{Redirect: to(done), RedirectFailed: to(failed), RedirectLate: to(late), Respond: &callback.Respond{Status: 202}, Keys: []string{"k"}})
	plain := compiled(t, callback.Policy{Redirect: to(done)})
	for name, c := range map[string]struct {
		p      *callback.Policy
		state  string
		method string
		suffix string
		person bool
		noKey  bool
		kind   callback.Kind
		// leads is where the reply redirects to; "" for a reply that does not.
		leads string
	}{
		"waits, person":                            {alone, "waiting", "GET", "", true, false, callback.Accepted, done},
		"waits, person posts":                      {alone, "waiting", "POST", "", true, false, callback.Accepted, done},
		"waits, person at the failed URL":          {alone, "waiting", "POST", "failed", true, false, callback.Accepted, failed},
		"waits, person, no key":                    {alone, "waiting", "GET", "", true, true, callback.Unauthorized, ""},
		"waits, both, person":                      {both, "waiting", "GET", "", true, true, callback.Returned, done},
		"waits, both, person at the failed URL":    {both, "waiting", "GET", "failed", true, true, callback.Returned, failed},
		"waits, both, person posts":                {both, "waiting", "POST", "", true, false, callback.Accepted, done},
		"waits, both, program":                     {both, "waiting", "POST", "", false, false, callback.Accepted, ""},
		"waits, both, program gets":                {both, "waiting", "GET", "", false, false, callback.Returned, done},
		"waits, program":                           {alone, "waiting", "POST", "", false, false, callback.Accepted, done},
		"accepted, person":                         {alone, "resolved", "GET", "", true, false, callback.Returned, done},
		"accepted, person posts something else":    {alone, "resolved", "POST", "", true, false, callback.Returned, done},
		"accepted, person, no key":                 {alone, "resolved", "GET", "", true, true, callback.Returned, done},
		"accepted, program":                        {alone, "resolved", "POST", "", false, false, callback.Conflict, ""},
		"accepted, both, person posts":             {both, "resolved", "POST", "", true, false, callback.Returned, done},
		"failed, person":                           {alone, "failed", "GET", "", true, false, callback.Returned, failed},
		"failed, both, person":                     {both, "failed", "GET", "", true, false, callback.Returned, failed},
		"failed, person, nothing for failures":     {plain, "failed", "GET", "", true, false, callback.Returned, done},
		"failed, program":                          {alone, "failed", "POST", "", false, false, callback.Conflict, ""},
		"expired, person":                          {alone, "expired", "GET", "", true, false, callback.Returned, late},
		"expired, both, person":                    {both, "expired", "GET", "", true, true, callback.Returned, late},
		"expired, person, nothing for late ones":   {plain, "expired", "GET", "", true, false, callback.Gone, ""},
		"expired, program":                         {alone, "expired", "POST", "", false, false, callback.Gone, ""},
		"time over, person":                        {alone, "over", "POST", "", true, false, callback.Returned, late},
		"time over, person, nothing for late ones": {plain, "over", "GET", "", true, false, callback.Gone, ""},
		"closed, person":                           {alone, "closed", "POST", "", true, false, callback.Returned, late},
		"closed, person, nothing for late ones":    {plain, "closed", "GET", "", true, false, callback.Gone, ""},
		"closed, program":                          {alone, "closed", "POST", "", false, false, callback.Gone, ""},
	} {
		key := callback.Caller{Shown: true, Known: true, Names: []string{"k"}}
		first := newCall("POST", "first")
		first.Caller = key
		r, now := waiting(c.p), born
		switch c.state {
		case "resolved":
			r = accept(t, r, c.p, first)
		case "failed":
			first.Suffix = callback.SuffixFailed
			r = accept(t, r, c.p, first)
		case "expired":
			r = expired(t, c.p)
		case "closed":
			r = closed(t, c.p)
		case "over":
			now = r.ExpiresAt
		}
		call := newCall(c.method, "second")
		call.Suffix, call.Person = c.suffix, c.person
		if !c.noKey {
			call.Caller = key
		}
		admitted := r.Admit(c.p, call, now)
		v := receive(r, c.p, call, now)
		if v.Kind != c.kind || v.Reply != nil && v.Reply.Header.Get("Location") != c.leads || v.Reply == nil && c.leads != "" {
			t.Errorf("%s: %+v, reply %+v", name, v, v.Reply)
		}
		if admitted.Kind != callback.Accepted && admitted.Kind != v.Kind {
			t.Errorf("%s: before the body is read, %+v", name, admitted)
		}
		if v.Kind == callback.Returned && v.Next != nil {
			t.Errorf("%s: it changes the callback", name)
		}
	}
}

// TestAPIsRedirectIsForPeopleToo covers the reply that one callback has for itself.
func TestAPIsRedirectIsForPeopleToo(t *testing.T) {
	t.Parallel()
	p := compiled(t, callback.Policy{Methods: callback.CallMethods})
	own := &callback.Own{Reply: &callback.Fields{Type: callback.TypeRedirect, RedirectURL: "https://shop.example/done"}}
	r := callback.New(&secret, p, callback.Spec{ExpiresIn: lifetime, Own: own}, born)
	r = accept(t, r, p, newCall("POST", "first"))
	call := newCall("GET", "")
	call.Person = true
	if v := receive(r, p, call, born); v.Kind != callback.Returned || v.Reply.Header.Get("Location") != "https://shop.example/done" {
		t.Errorf("%+v", v)
	}
}
