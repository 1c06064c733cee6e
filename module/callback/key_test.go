package callback_test

import (
	"testing"

	"github.com/caddy-callback/caddy-callback/module/callback"
)

func TestCallNeedsAKeyThatIsAskedFor(t *testing.T) {
	t.Parallel()
	const ok, unauthorized, forbidden = callback.Accepted, callback.Unauthorized, callback.Forbidden
	policies := []callback.Policy{{}, {Keys: []string{"a", "b"}}, {OwnKey: true}, {Keys: []string{"a", "b"}, OwnKey: true}}
	for name, c := range map[string]struct {
		caller callback.Caller
		// want is the decision if the policy requires no key, named keys, the
		// callback's own key, or both.
		want [4]callback.Kind
	}{
		"no key":                  {callback.Caller{}, [4]callback.Kind{ok, unauthorized, unauthorized, unauthorized}},
		"unknown key":             {callback.Caller{Shown: true}, [4]callback.Kind{ok, unauthorized, unauthorized, unauthorized}},
		"named key":               {callback.Caller{Shown: true, Known: true, Names: []string{"b"}}, [4]callback.Kind{ok, ok, ok, ok}},
		"one of two names":        {callback.Caller{Shown: true, Known: true, Names: []string{"c", "a"}}, [4]callback.Kind{ok, ok, ok, ok}},
		"another named key":       {callback.Caller{Shown: true, Known: true, Names: []string{"c"}}, [4]callback.Kind{ok, forbidden, ok, forbidden}},
		"key that may not send":   {callback.Caller{Shown: true, Known: true}, [4]callback.Kind{ok, forbidden, forbidden, forbidden}},
		"the callback's own key":  {callback.Caller{Shown: true, Own: true}, [4]callback.Kind{ok, unauthorized, ok, ok}},
		"own key of another name": {callback.Caller{Shown: true, Known: true, Own: true}, [4]callback.Kind{ok, forbidden, ok, ok}},
	} {
		for i, policy := range policies {
			p := compiled(t, policy)
			call := newCall("POST", "x")
			call.Caller = c.caller
			v := receive(waiting(p), p, call, born)
			if v.Kind != c.want[i] || (v.Next != nil) != (v.Kind == ok) {
				t.Errorf("%s, policy %d: %v, next is %v", name, i, v.Kind, v.Next)
			}
		}
	}
}

func TestWhoHasNoKeyLearnsNothingOfTheCallback(t *testing.T) {
	t.Parallel()
	p := compiled(t, callback.Policy{Keys: []string{"a"}, Once: true, RequireStatus: true, Respond: bothPolicy().Respond, Redirect: bothPolicy().Redirect})
	good := newCall("POST", "x", statusHeader, "Ok")
	good.Caller.Names = []string{"a"}
	for name, r := range map[string]*callback.Record{"waiting": waiting(p), "resolved": accept(t, waiting(p), p, good)} {
		before := contents(t, r)
		for _, call := range []*callback.Call{newCall("POST", ""), newCall("POST", "x", statusHeader, "Ok")} {
			for _, now := range []callback.Time{born, born.Add(2 * lifetime)} {
				if v := receive(r, p, call, now); v.Kind != callback.Unauthorized || v.Next != nil || v.Reply != nil {
					t.Errorf("%s, %s: %+v", name, call.Method, v)
				}
			}
		}
		if v := receive(r, p, newCall("GET", ""), born); v.Kind != callback.Returned || v.Next != nil {
			t.Errorf("%s: a person who returns, and has no key, gets %+v", name, v)
		}
		if contents(t, r) != before {
			t.Errorf("%s: the record has changed", name)
		}
	}
}

func TestKeyMakesNoOtherPayload(t *testing.T) {
	t.Parallel()
	p := compiled(t, callback.Policy{Keys: []string{"a", "b"}})
	first, again := newCall("POST", "x"), newCall("POST", "x")
	first.Caller.Names, again.Caller.Names = []string{"a"}, []string{"b"}
	if v := receive(accept(t, waiting(p), p, first), p, again, born); v.Kind != callback.Repeated {
		t.Errorf("the same call with another key is %v", v.Kind)
	}
}

func TestCallIsAdmittedBeforeItIsRead(t *testing.T) {
	t.Parallel()
	both := bothPolicy()
	both.Keys = []string{"a"}
	p, plain := compiled(t, both), compiled(t, callback.Policy{Keys: []string{"a"}})
	named := callback.Caller{Shown: true, Known: true, Names: []string{"a"}}
	for name, c := range map[string]struct {
		policy *callback.Policy
		method string
		caller callback.Caller
		want   callback.Kind
	}{
		"a person's return":      {p, "GET", callback.Caller{}, callback.Accepted},
		"the server's call":      {p, "POST", named, callback.Accepted},
		"no key":                 {p, "POST", callback.Caller{}, callback.Unauthorized},
		"a GET that is no call":  {plain, "GET", named, callback.WrongMethod},
		"HEAD beside the return": {p, "HEAD", named, callback.WrongMethod},
	} {
		if got := c.policy.Admit(c.method, c.caller); got != c.want {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}

func TestKeyOpensOnlyTheCallbacksThatItIsFor(t *testing.T) {
	t.Parallel()
	const ok, unauthorized, forbidden = callback.Accepted, callback.Unauthorized, callback.Forbidden
	policies := []callback.Policy{{}, {Keys: []string{"a", "b"}}, {OwnKey: true}, {Keys: []string{"a"}, OwnKey: true}}
	limited := func(c callback.Caller) callback.Caller {
		c.Shown, c.Known, c.Only = true, true, map[string][]string{"a": {"orders", "returns"}, "c": {"billing"}}
		return c
	}
	for name, c := range map[string]struct {
		caller callback.Caller
		of     string
		want   [4]callback.Kind
	}{
		"for the callback":                   {limited(callback.Caller{Names: []string{"a"}}), "orders", [4]callback.Kind{ok, ok, ok, ok}},
		"for others":                         {limited(callback.Caller{Names: []string{"a"}}), "billing", [4]callback.Kind{ok, forbidden, forbidden, forbidden}},
		"for others, with its own":           {limited(callback.Caller{Names: []string{"a"}, Own: true}), "billing", [4]callback.Kind{ok, forbidden, ok, ok}},
		"for others, and one for all":        {limited(callback.Caller{Names: []string{"a", "b"}}), "billing", [4]callback.Kind{ok, ok, ok, forbidden}},
		"for callbacks with names":           {limited(callback.Caller{Names: []string{"a"}}), "", [4]callback.Kind{ok, forbidden, forbidden, forbidden}},
		"the server's, for others":           {limited(callback.Caller{Names: []string{"a"}, Own: true, Required: []string{"a"}}), "billing", [4]callback.Kind{forbidden, forbidden, forbidden, forbidden}},
		"the server's, for the callback":     {limited(callback.Caller{Names: []string{"a"}, Required: []string{"a", "c"}}), "orders", [4]callback.Kind{ok, ok, ok, ok}},
		"one for the server, one for others": {limited(callback.Caller{Names: []string{"a", "c"}, Required: []string{"c"}}), "orders", [4]callback.Kind{forbidden, forbidden, forbidden, forbidden}},
	} {
		for i, policy := range policies {
			p := compiled(t, policy)
			r := waiting(p)
			r.Name = c.of
			call := newCall("POST", "x")
			call.Caller = c.caller
			admitted := r.Admit(p, call, born).Kind
			if v := receive(r, p, call, born); v.Kind != c.want[i] || v.Kind != admitted || (v.Next != nil) != (v.Kind == ok) {
				t.Errorf("%s, policy %d: %v, before its body %v, next is %v", name, i, v.Kind, admitted, v.Next)
			}
			looked := callback.Looked
			if len(c.caller.Required) > 0 && c.want[0] == forbidden {
				looked = forbidden
			}
			if v := r.Look(p, call, lookIn(r, p, call), born); v.Kind != looked {
				t.Errorf("%s, policy %d: a look is %v", name, i, v.Kind)
			}
		}
	}
}

// A person shows no key of a callback's, but where the server asks for one it has to open
// the callback, too.
func TestNobodyIsSentOnByACallbackThatTheServersKeyDoesNotOpen(t *testing.T) {
	t.Parallel()
	p := compiled(t, bothPolicy())
	for of, want := range map[string]callback.Kind{"orders": callback.Returned, "billing": callback.Forbidden} {
		r := waiting(p)
		r.Name = of
		call := newCall("GET", "")
		call.Caller = callback.Caller{Shown: true, Known: true, Names: []string{"a"}, Only: map[string][]string{"a": {"orders"}}, Required: []string{"a"}}
		if v := receive(r, p, call, born); v.Kind != want {
			t.Errorf("%s: %v", of, v.Kind)
		}
	}
}
