package callback_test

import (
	"testing"

	"github.com/caddy-callback/caddy-callback/module/callback"
)

// asking returns callbacks about whose calls the app is asked: one because its policy
// says so, and one because its own Own does.
func asking(t testing.TB, p callback.Policy) map[string]*waitingFor {
	t.Helper()
	own := compiled(t, p)
	p.Ask = "/decide"
	shared := compiled(t, p)
	return map[string]*waitingFor{
		"by the policy":  {shared, waiting(shared)},
		"by the own one": {own, callback.New(&secret, own, callback.Spec{CorrelationID: correlation, ExpiresIn: lifetime, Own: &callback.Own{Ask: "/own"}}, born)},
	}
}

type waitingFor struct {
	policy *callback.Policy
	record *callback.Record
}

// said returns the call with the app's decision on it.
func said(c *callback.Call, a callback.Asked) *callback.Call {
	c.Asked = &a
	return c
}

var (
	refused = callback.Asked{Fault: callback.Fault{Slug: "refused", Detail: "The app does not want it.", Status: 422}}
	failing = []string{statusHeader, "Failed"}
)

func TestAppIsAskedAtTheCallbacksOwnPathFirst(t *testing.T) {
	p := compiled(t, callback.Policy{Ask: "/decide"})
	for want, own := range map[string]*callback.Own{"/decide": nil, "/own": {Ask: "/own"}} {
		if got := (&callback.Record{Own: own}).AskPath(p); got != want {
			t.Errorf("asked at %q, want %q", got, want)
		}
	}
	if got := (&callback.Record{Own: &callback.Own{Data: []byte("{}")}}).AskPath(p); got != "/decide" {
		t.Errorf("asked at %q", got)
	}
	if got := waiting(compiled(t, callback.Policy{})).AskPath(compiled(t, callback.Policy{})); got != "" {
		t.Errorf("asked at %q", got)
	}
}

func TestAcceptableCallIsPutToTheApp(t *testing.T) {
	progress := callback.Policy{Progress: []callback.Match{{Location: at("header", "X-Step"), Values: []string{"1"}}}}
	for name, c := range map[string]struct {
		call  *callback.Call
		kind  callback.Kind
		phase callback.Phase
	}{
		"ok":       {newCall("POST", "paid"), callback.Accepted, callback.Resolved},
		"failed":   {newCall("POST", "paid", failing...), callback.Accepted, callback.Failed},
		"progress": {newCall("POST", "half", "X-Step", "1"), callback.Progressed, callback.Waiting},
	} {
		for how, w := range asking(t, progress) {
			before := contents(t, w.record)
			if v := receive(w.record, w.policy, c.call, born); v.Kind != callback.Asks || v.Next != nil || v.Reply != nil || v.Fault.Slug != "" {
				t.Fatalf("%s, asked %s: %+v", name, how, v)
			}
			answered := *c.call
			v := receive(w.record, w.policy, said(&answered, callback.Asked{}), born)
			if v.Kind != c.kind || v.Next == nil || v.Next.Phase != c.phase || v.Reply == nil {
				t.Errorf("%s, asked %s, allowed: %+v", name, how, v)
			}
			if contents(t, w.record) != before {
				t.Errorf("%s, asked %s: the record was changed", name, how)
			}
		}
	}
}

func TestAppIsNotAskedAboutACallThatComesToNothing(t *testing.T) {
	both := bothPolicy()
	both.Keys = []string{"a"}
	for how, w := range asking(t, both) {
		keyed := func(body string, lines ...string) *callback.Call {
			c := newCall("POST", body, lines...)
			c.Caller.Names = []string{"a"}
			return c
		}
		resolved := accept(t, w.record, w.policy, said(keyed("paid"), callback.Asked{}))
		closed, _ := w.record.Close(w.policy, "test", "", born)
		for name, c := range map[string]struct {
			record *callback.Record
			call   *callback.Call
			now    callback.Time
			kind   callback.Kind
		}{
			"wrong method":           {w.record, newCall("BREW", ""), born, callback.WrongMethod},
			"no key":                 {w.record, newCall("POST", "paid"), born, callback.Unauthorized},
			"a person's return":      {w.record, newCall("GET", ""), born, callback.Returned},
			"nonsense":               {w.record, keyed("paid", statusHeader, "Done"), born, callback.Refused},
			"too late":               {w.record, keyed("paid"), born.Add(lifetime), callback.Gone},
			"after it was closed":    {closed, keyed("paid"), born, callback.Gone},
			"the same again":         {resolved, keyed("paid"), born, callback.Repeated},
			"another after the end":  {resolved, keyed("other"), born, callback.Conflict},
			"nonsense after the end": {resolved, keyed("paid", statusHeader, "Done"), born, callback.Conflict},
		} {
			if v := receive(c.record, w.policy, c.call, c.now); v.Kind != c.kind {
				t.Errorf("%s, asked %s: %+v", name, how, v)
			}
		}
	}
}

func TestCallThatTheAppRefusesConsumesNothing(t *testing.T) {
	for how, w := range asking(t, callback.Policy{}) {
		for name, lines := range map[string][]string{"ok": nil, "failed": failing} {
			v := receive(w.record, w.policy, said(newCall("POST", "paid", lines...), refused), born)
			if v.Kind != callback.Refused || v.Fault != refused.Fault || v.Next != nil || v.Reply != nil {
				t.Errorf("%s, asked %s: %+v", name, how, v)
			}
		}
		if v := receive(w.record, w.policy, newCall("POST", "paid"), born); v.Kind != callback.Asks {
			t.Errorf("asked %s: the next call is %v", how, v.Kind)
		}
	}
}

func TestWithoutRetryACallThatTheAppRefusesEndsTheCallbackAsFailed(t *testing.T) {
	progress := []callback.Match{{Location: at("header", "X-Step"), Values: []string{"1"}}}
	for how, w := range asking(t, callback.Policy{Once: true, Progress: progress}) {
		for name, lines := range map[string][]string{"ok": nil, "progress": {"X-Step", "1"}} {
			v := receive(w.record, w.policy, said(newCall("POST", "paid", lines...), refused), born)
			if v.Kind != callback.Refused || v.Fault != refused.Fault || v.Next == nil {
				t.Fatalf("%s, asked %s: %+v", name, how, v)
			}
			want := callback.Failure{DocumentStatus: "Failed", ErrorCode: "refused", ErrorText: refused.Fault.Detail}
			if v.Next.Phase != callback.Failed || *v.Next.Failure != want || v.Next.Call != nil || v.Next.Calls != 1 {
				t.Errorf("%s, asked %s: %s", name, how, contents(t, v.Next))
			}
			if again := receive(v.Next, w.policy, newCall("POST", "paid"), born); again.Kind != callback.Gone || !again.Closed {
				t.Errorf("%s, asked %s: a call after that is %+v", name, how, again)
			}
		}
	}
}

func TestRepeatGetsTheAppsReplyWithoutAsking(t *testing.T) {
	reply := callback.Fields{Type: callback.TypeResponse, Code: 202, Body: "as the app says"}
	for how, w := range asking(t, respondPolicy()) {
		next := accept(t, w.record, w.policy, said(newCall("POST", "paid"), callback.Asked{Reply: &reply}))
		v := receive(next, w.policy, newCall("POST", "paid"), born)
		if v.Kind != callback.Repeated || v.Reply.Status != 202 || v.Reply.Body != "as the app says" {
			t.Errorf("asked %s: %+v", how, v)
		}
	}
}

func TestPersonWhoWasRedirectedByTheAppIsRedirectedAgain(t *testing.T) {
	reply := callback.Fields{Type: callback.TypeRedirect, RedirectURL: "/thanks"}
	for how, w := range asking(t, callback.Policy{Methods: []string{"GET"}}) {
		next := accept(t, w.record, w.policy, said(newCall("GET", ""), callback.Asked{Reply: &reply}))
		reload := newCall("GET", "")
		reload.Query = "reload=1"
		v := receive(next, w.policy, reload, born.Add(5*lifetime))
		if v.Kind != callback.Repeated || v.Reply.Status != 302 || v.Reply.Header.Get("Location") != base+"/thanks" {
			t.Errorf("asked %s: %+v", how, v)
		}
	}
}

func TestWhereManyCallsAreTakenTheAppIsAskedAboutEach(t *testing.T) {
	for how, w := range asking(t, callback.Policy{Multiple: true}) {
		r := accept(t, w.record, w.policy, said(newCall("POST", "one", "Webhook-Id", "1"), callback.Asked{}))
		for _, body := range []string{"one", "two"} {
			if v := receive(r, w.policy, newCall("POST", body), born); v.Kind != callback.Asks || v.Next != nil {
				t.Errorf("asked %s: %q is %+v", how, body, v)
			}
		}
		if v := receive(r, w.policy, newCall("POST", "one", "Webhook-Id", "1"), born); v.Kind != callback.Repeated {
			t.Errorf("asked %s: a repeat is %+v", how, v)
		}
		if v := receive(r, w.policy, said(newCall("POST", "two"), refused), born); v.Kind != callback.Refused || v.Next != nil {
			t.Errorf("asked %s: a refused call is %+v", how, v)
		}
	}
}

func TestOperatorsCallNeitherAsksNorNeedsAKeyOrAMethod(t *testing.T) {
	for how, w := range asking(t, callback.Policy{Keys: []string{"a"}, Methods: []string{"PUT"}}) {
		c := newCall("POST", "by hand")
		v := w.record.Resolve(w.policy, c, lookIn(w.record, w.policy, c), born)
		if v.Kind != callback.Accepted || v.Next.Phase != callback.Resolved {
			t.Errorf("asked %s: %+v", how, v)
		}
		again := newCall("POST", "by hand")
		if v := v.Next.Resolve(w.policy, again, lookIn(v.Next, w.policy, again), born); v.Kind != callback.Repeated {
			t.Errorf("asked %s, again: %+v", how, v)
		}
	}
	p := compiled(t, bothPolicy())
	c := newCall("GET", "")
	if v := waiting(p).Resolve(p, c, lookIn(waiting(p), p, c), born); v.Kind != callback.Accepted {
		t.Errorf("a GET by hand is %+v", v)
	}
}
