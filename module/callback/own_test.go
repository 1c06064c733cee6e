package callback_test

import (
	"testing"

	"github.com/caddy-callback/caddy-callback/module/callback"
)

func withOwn(p *callback.Policy, own *callback.Own) *callback.Record {
	return callback.New(&secret, p, callback.Spec{CorrelationID: correlation, ExpiresIn: lifetime, Own: own}, born)
}

func withReply(p *callback.Policy, reply callback.Fields) *callback.Record {
	return withOwn(p, &callback.Own{Reply: &reply})
}

func line(name, value string) callback.Header { return callback.Header{{Name: name, Value: value}} }

func TestReplyOfTheCallbacksOwn(t *testing.T) {
	withStatus := withRedirectStatus(redirectPolicy(), 307)
	for name, c := range map[string]struct {
		policy callback.Policy
		reply  callback.Fields
		method string
		want   callback.Reply
	}{
		"empty":            {callback.Policy{}, callback.Fields{Type: callback.TypeResponse}, "POST", callback.Reply{Status: 200}},
		"not the policy's": {respondPolicy(), callback.Fields{Type: callback.TypeResponse}, "POST", callback.Reply{Status: 200}},
		"code and body":    {callback.Policy{}, callback.Fields{Type: callback.TypeResponse, Code: 202, Body: "noted"}, "PUT", callback.Reply{Status: 202, Body: "noted"}},
		"header":           {callback.Policy{}, callback.Fields{Type: callback.TypeResponse, Header: line("X-A", "b")}, "POST", callback.Reply{Status: 200, Header: line("X-A", "b")}},
		"redirect fields":  {callback.Policy{}, callback.Fields{Type: callback.TypeResponse, RedirectURL: "/x"}, "POST", callback.Reply{Status: 200}},
		"redirect of a POST": {callback.Policy{}, callback.Fields{Type: callback.TypeRedirect, RedirectURL: "/x", Code: 418, Body: "no"}, "POST",
			callback.Reply{Status: 303, Header: line("Location", base+"/x")}},
		"redirect of a GET": {callback.Policy{Methods: []string{"GET"}}, callback.Fields{Type: callback.TypeRedirect, RedirectURL: "http://h/x"}, "GET",
			callback.Reply{Status: 302, Header: line("Location", "http://h/x")}},
		"redirect with the policy's status": {withStatus, callback.Fields{Type: callback.TypeRedirect, RedirectURL: "/x"}, "POST",
			callback.Reply{Status: 307, Header: line("Location", base+"/x")}},
		"redirect with a header": {callback.Policy{}, callback.Fields{Type: callback.TypeRedirect, RedirectURL: "/x", Header: line("X-A", "b")}, "POST",
			callback.Reply{Status: 303, Header: append(line("X-A", "b"), line("Location", base+"/x")...)}},
		"no placeholders": {callback.Policy{}, callback.Fields{Type: callback.TypeResponse, Body: "{http.callback.call.body}", Header: line("X-A", "{http.callback.correlation_id}")}, "POST",
			callback.Reply{Status: 200, Body: "{http.callback.call.body}", Header: line("X-A", "{http.callback.correlation_id}")}},
	} {
		t.Run(name, func(t *testing.T) {
			p := compiled(t, c.policy)
			r := withReply(p, c.reply)
			before := contents(t, r)
			if got := accept(t, r, p, newCall(c.method, "paid")).Reply; contents(t, got) != contents(t, c.want) {
				t.Errorf("got %s, want %s", contents(t, got), contents(t, c.want))
			}
			if contents(t, r) != before {
				t.Error("the record handed in was changed")
			}
		})
	}
}

func TestRelativeRedirectLeadsBelowTheCallbacksOwnBaseURL(t *testing.T) {
	p := compiled(t, callback.Policy{})
	reply := callback.Fields{Type: callback.TypeRedirect, RedirectURL: "/done"}
	r := withOwn(p, &callback.Own{Reply: &reply, BaseURL: "https://own.example.com/in"})
	if got := accept(t, r, p, newCall("POST", "paid")).Reply.Header.Get("Location"); got != "https://own.example.com/done" {
		t.Errorf("got %s", got)
	}
}

// If the app returns the fields unchanged, the reply is the one that the call would
// have got without the app.
func TestFieldsThatTheAppIsShownMakeTheReply(t *testing.T) {
	json := callback.Policy{Respond: &callback.Respond{Status: 202, Body: `{"got":"{http.callback.call.body}"}`}}
	own := &callback.Own{Reply: &callback.Fields{Type: callback.TypeRedirect, RedirectURL: "/x", Header: line("X-A", "b")}}
	for name, c := range map[string]struct {
		policy callback.Policy
		own    *callback.Own
		method string
		want   callback.Fields
	}{
		"default":      {callback.Policy{}, nil, "POST", callback.Fields{Type: "response", Code: 200}},
		"respond":      {respondPolicy(), nil, "POST", callback.Fields{Type: "response", Code: 201, Body: `thanks for a"b`, Header: line("X-Seen", correlation)}},
		"JSON":         {json, nil, "POST", callback.Fields{Type: "response", Code: 202, Body: `{"got":"a\"b"}`}},
		"redirect":     {redirectPolicy(), nil, "GET", callback.Fields{Type: "redirect", Code: 200, RedirectURL: base + "/done?order=" + correlation}},
		"POST":         {redirectPolicy(), nil, "POST", callback.Fields{Type: "redirect", Code: 200, RedirectURL: base + "/done?order=" + correlation}},
		"307":          {withRedirectStatus(redirectPolicy(), 307), nil, "POST", callback.Fields{Type: "redirect", Code: 200, RedirectURL: base + "/done?order=" + correlation}},
		"both":         {bothPolicy(), nil, "POST", callback.Fields{Type: "response", Code: 201, Body: `thanks for a"b`, Header: line("X-Seen", correlation), RedirectURL: base + "/done?order=" + correlation}},
		"own":          {respondPolicy(), own, "POST", callback.Fields{Type: "redirect", Code: 200, RedirectURL: "/x", Header: line("X-A", "b")}},
		"own response": {callback.Policy{}, &callback.Own{Reply: &callback.Fields{Type: "response", Body: "x"}}, "POST", callback.Fields{Type: "response", Code: 200, Body: "x"}},
		"own data":     {respondPolicy(), &callback.Own{Data: []byte("1")}, "POST", callback.Fields{Type: "response", Code: 201, Body: `thanks for a"b`, Header: line("X-Seen", correlation)}},
	} {
		t.Run(name, func(t *testing.T) {
			p := compiled(t, c.policy)
			r := withOwn(p, c.own)
			call := newCall(c.method, `a"b`)
			fields := r.ReplyFields(p, call, lookIn(r, p, call))
			if contents(t, fields) != contents(t, c.want) {
				t.Errorf("got %s, want %s", contents(t, fields), contents(t, c.want))
			}
			plain := accept(t, r, p, newCall(c.method, `a"b`)).Reply
			p.Ask = "/decide"
			if got := accept(t, r, p, said(call, callback.Asked{Reply: &fields})).Reply; contents(t, got) != contents(t, plain) {
				t.Errorf("got %s, want %s", contents(t, got), contents(t, plain))
			}
		})
	}
}

func TestAppOverridesEachFieldOfTheReply(t *testing.T) {
	p := compiled(t, callback.Policy{Ask: "/decide", Methods: []string{"GET", "POST"}})
	r := withReply(p, callback.Fields{Type: "response", Code: 202, Body: "noted", Header: line("X-A", "b"), RedirectURL: "/x"})
	before := contents(t, r)
	for name, c := range map[string]struct {
		change func(f *callback.Fields)
		want   callback.Reply
	}{
		"nothing":  {func(*callback.Fields) {}, callback.Reply{Status: 202, Body: "noted", Header: line("X-A", "b")}},
		"code":     {func(f *callback.Fields) { f.Code = 418 }, callback.Reply{Status: 418, Body: "noted", Header: line("X-A", "b")}},
		"no code":  {func(f *callback.Fields) { f.Code = 0 }, callback.Reply{Status: 200, Body: "noted", Header: line("X-A", "b")}},
		"body":     {func(f *callback.Fields) { f.Body = "{http.callback.id}" }, callback.Reply{Status: 202, Body: "{http.callback.id}", Header: line("X-A", "b")}},
		"header":   {func(f *callback.Fields) { f.Header = line("X-C", "d") }, callback.Reply{Status: 202, Body: "noted", Header: line("X-C", "d")}},
		"URL only": {func(f *callback.Fields) { f.RedirectURL = "/y" }, callback.Reply{Status: 202, Body: "noted", Header: line("X-A", "b")}},
		"type": {func(f *callback.Fields) { f.Type = "redirect" },
			callback.Reply{Status: 303, Header: append(line("X-A", "b"), line("Location", base+"/x")...)}},
		"type and URL": {func(f *callback.Fields) { f.Type, f.RedirectURL, f.Header = "redirect", "http://h/", nil },
			callback.Reply{Status: 303, Header: line("Location", "http://h/")}},
	} {
		call := newCall("POST", "paid")
		fields := r.ReplyFields(p, call, lookIn(r, p, call))
		c.change(&fields)
		got := accept(t, r, p, said(call, callback.Asked{Reply: &fields})).Reply
		if contents(t, got) != contents(t, c.want) {
			t.Errorf("%s: got %s, want %s", name, contents(t, got), contents(t, c.want))
		}
	}
	if contents(t, r) != before {
		t.Error("the record was changed")
	}
}

func TestAppRepliesToProgressToo(t *testing.T) {
	p := compiled(t, callback.Policy{Ask: "/decide", Progress: []callback.Match{{Location: at("header", "X-Step"), Values: []string{"1"}}}})
	c := said(newCall("POST", "half", "X-Step", "1"), callback.Asked{Reply: &callback.Fields{Type: "response", Body: "go on"}})
	if v := receive(waiting(p), p, c, born); v.Kind != callback.Progressed || v.Reply.Body != "go on" || v.Next.Reply != nil {
		t.Errorf("got %+v", v)
	}
}

func TestOwnReplyMakesAGetACallLikeAnyOther(t *testing.T) {
	both := bothPolicy()
	both.Keys = []string{"a"}
	p := compiled(t, both)
	get := newCall("GET", "")
	if v := receive(withReply(p, callback.Fields{Type: "response"}), p, get, born); v.Kind != callback.WrongMethod {
		t.Errorf("a GET with a method that is none of the policy's is %+v", v)
	}
	both.Methods = []string{"GET", "POST"}
	p = compiled(t, both)
	r := withReply(p, callback.Fields{Type: "response"})
	if v := receive(r, p, get, born); v.Kind != callback.Unauthorized {
		t.Errorf("a GET without a key is %+v", v)
	}
	get.Caller.Names = []string{"a"}
	if v := receive(r, p, get, born); v.Kind != callback.Accepted || v.Reply.Status != 200 {
		t.Errorf("a GET with a key is %+v", v)
	}
}

func TestPersonReturnsToACallbackWithNoReplyOfItsOwn(t *testing.T) {
	p := compiled(t, bothPolicy())
	if v := receive(withOwn(p, &callback.Own{Data: []byte("1"), Ask: "/decide"}), p, newCall("GET", ""), born); v.Kind != callback.Returned {
		t.Errorf("got %+v", v)
	}
}
