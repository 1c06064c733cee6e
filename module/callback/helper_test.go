package callback_test

import (
	"encoding/json"
	"net/http"
	"testing"
	"time"

	"github.com/caddy-callback/caddy-callback/module/callback"
)

const (
	base        = "https://app.example.com"
	born        = callback.Time(1_700_000_000_000)
	correlation = "order-4711"
	lifetime    = time.Hour
)

var secret = callback.Secret{1, 2, 3}

// compiled returns the policy ready for use, with base as its base URL if it
// has none.
func compiled(t testing.TB, p callback.Policy) *callback.Policy {
	t.Helper()
	if p.BaseURL == "" {
		p.BaseURL = base
	}
	if err := p.Compile(); err != nil {
		t.Fatal(err)
	}
	return &p
}

func respondPolicy() callback.Policy {
	return callback.Policy{
		Respond:     &callback.Respond{Status: 201, Body: "thanks for {http.callback.call.body}"},
		ReplyHeader: callback.Header{{Name: "X-Seen", Value: "{http.callback.correlation_id}"}},
	}
}

func redirectPolicy() callback.Policy {
	return callback.Policy{Redirect: &callback.Redirect{URL: "/done?order={http.callback.correlation_id}"}}
}

func bothPolicy() callback.Policy {
	p := respondPolicy()
	p.Redirect = redirectPolicy().Redirect
	return p
}

func waiting(p *callback.Policy) *callback.Record {
	return callback.New(&secret, p, callback.Spec{Name: "orders", CorrelationID: correlation, ExpiresIn: lifetime}, born)
}

// newCall returns a call whose header lines are given as name, value, name, ...
func newCall(method, body string, lines ...string) *callback.Call {
	h := make(http.Header)
	for i := 0; i < len(lines); i += 2 {
		h[lines[i]] = append(h[lines[i]], lines[i+1])
	}
	return &callback.Call{
		Method:     method,
		Header:     callback.CallHeader(h),
		Body:       callback.NewBody([]byte(body)),
		ReceivedAt: born.Add(time.Minute),
	}
}

// lookIn returns the values of placeholders as the engine does.
func lookIn(r *callback.Record, p *callback.Policy, c *callback.Call) callback.Lookup {
	return callback.Issued{Record: r, Policy: p, Secret: &secret}.Lookup(c, nil)
}

func receive(r *callback.Record, p *callback.Policy, c *callback.Call, now callback.Time) callback.Verdict {
	return r.Receive(p, c, lookIn(r, p, c), now)
}

// accept returns the record after the call, which must be accepted.
func accept(t testing.TB, r *callback.Record, p *callback.Policy, c *callback.Call) *callback.Record {
	t.Helper()
	v := receive(r, p, c, c.ReceivedAt)
	if v.Kind != callback.Accepted || v.Next == nil {
		t.Fatalf("call was not accepted: %+v", v)
	}
	return v.Next
}

// contents returns everything in a value as text, to compare two values deeply, or a
// value with its earlier contents.
func contents(t testing.TB, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
