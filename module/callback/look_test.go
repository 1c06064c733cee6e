package callback_test

import (
	"testing"

	"github.com/caddy-callback/caddy-callback/module/callback"
)

// TestLookFindsWhatACallWouldFind compares a look with the call that has nothing in it.
func TestLookFindsWhatACallWouldFind(t *testing.T) {
	plain := compiled(t, callback.Policy{})
	withKey := compiled(t, callback.Policy{Keys: []string{"bank"}})
	many := compiled(t, callback.Policy{Multiple: true})
	onlyGet := compiled(t, callback.Policy{Methods: []string{"GET"}})
	both := bothPolicy()
	returns := compiled(t, both)
	keyed := newCall("POST", "paid")
	keyed.Caller = callback.Caller{Shown: true, Known: true, Names: []string{"bank"}}
	shut, _ := accept(t, waiting(many), many, newCall("POST", "paid")).Close(many, "enough", "", born)
	for name, c := range map[string]struct {
		r    *callback.Record
		p    *callback.Policy
		at   callback.Time
		want callback.Kind
	}{
		"waiting":                       {waiting(plain), plain, born, callback.Looked},
		"waiting, with a key":           {waiting(withKey), withKey, born, callback.Looked},
		"waiting, GET only":             {waiting(onlyGet), onlyGet, born, callback.Looked},
		"waiting, both replies":         {waiting(returns), returns, born, callback.Looked},
		"at its end":                    {waiting(plain), plain, born.Add(lifetime), callback.Gone},
		"expired":                       {expired(t, plain), plain, born, callback.Gone},
		"closed":                        {closed(t, plain), plain, born, callback.Gone},
		"called":                        {accept(t, waiting(plain), plain, newCall("POST", "paid")), plain, born, callback.Conflict},
		"called with nothing":           {accept(t, waiting(plain), plain, newCall("POST", "")), plain, born, callback.Repeated},
		"called, with a key":            {accept(t, waiting(withKey), withKey, keyed), withKey, born, callback.Unauthorized},
		"called, takes more":            {accept(t, waiting(many), many, newCall("POST", "paid")), many, born, callback.Looked},
		"called, took more":             {accept(t, waiting(many), many, newCall("POST", "paid")), many, born.Add(lifetime), callback.Gone},
		"called, shut":                  {shut, many, born, callback.Gone},
		"called, both replies":          {accept(t, waiting(returns), returns, newCall("POST", "paid")), returns, born, callback.Conflict},
		"called, and a key is not told": {accept(t, waiting(plain), plain, newCall("POST", "paid")), withKey, born, callback.Unauthorized},
	} {
		for _, method := range callback.LookMethods {
			before := contents(t, c.r)
			look := newCall(method, "")
			v := c.r.Look(c.p, look, lookIn(c.r, c.p, look), c.at)
			if v.Kind != c.want || v.Next != nil || look.Method != method || contents(t, c.r) != before {
				t.Errorf("%s: %s found %+v, want %d", name, method, v, c.want)
			}
		}
	}
}
