package callback_test

import (
	"testing"

	"github.com/caddy-callback/caddy-callback/module/callback"
)

// TestWhatIsAdmittedDependsOnItsBody compares what is said before the body of a call is read
// with what is said after that.
func TestWhatIsAdmittedDependsOnItsBody(t *testing.T) {
	t.Parallel()
	plain := compiled(t, callback.Policy{})
	withKey := compiled(t, callback.Policy{Keys: []string{"bank"}})
	many := compiled(t, callback.Policy{Multiple: true})
	both := bothPolicy()
	returns := compiled(t, both)
	taken := func(p *callback.Policy) *callback.Record { return accept(t, waiting(p), p, newCall("POST", "paid")) }
	shut, _ := taken(many).Close(many, "enough", "", born)
	for name, c := range map[string]struct {
		r      *callback.Record
		p      *callback.Policy
		method string
		at     callback.Time
		want   callback.Kind
		closed bool
	}{
		"waiting":                     {waiting(plain), plain, "POST", born, callback.Accepted, false},
		"waiting, without its key":    {waiting(withKey), withKey, "POST", born, callback.Unauthorized, false},
		"waiting, by another method":  {waiting(plain), plain, "GET", born, callback.WrongMethod, false},
		"at its end":                  {waiting(plain), plain, "POST", born.Add(lifetime), callback.Gone, false},
		"expired":                     {expired(t, plain), plain, "POST", born, callback.Gone, false},
		"closed":                      {closed(t, plain), plain, "POST", born, callback.Gone, true},
		"closed, without its key":     {closed(t, withKey), withKey, "POST", born, callback.Unauthorized, false},
		"called":                      {taken(plain), plain, "POST", born, callback.Accepted, false},
		"called, takes more":          {taken(many), many, "POST", born, callback.Accepted, false},
		"called, took more":           {taken(many), many, "POST", born.Add(lifetime), callback.Gone, false},
		"called, shut":                {shut, many, "POST", born, callback.Gone, true},
		"closed, and a person's page": {closed(t, returns), returns, "GET", born, callback.Accepted, false},
	} {
		call := newCall(c.method, "paid")
		before := contents(t, c.r)
		v := c.r.Admit(c.p, call, c.at)
		if v.Kind != c.want || v.Closed != c.closed || v.Next != nil || contents(t, c.r) != before {
			t.Errorf("%s: %+v, want kind %d, closed %v", name, v, c.want, c.closed)
		}
		if v.Kind == callback.Accepted {
			continue
		}
		if received := receive(c.r, c.p, call, c.at); received.Kind != v.Kind || received.Closed != v.Closed {
			t.Errorf("%s: admitted as %+v, received as %+v", name, v, received)
		}
	}
}
