package callback_test

import (
	"strings"
	"testing"

	"github.com/caddy-callback/caddy-callback/module/callback"
)

func withRedirectStatus(p callback.Policy, status int) callback.Policy {
	p.Redirect = &callback.Redirect{URL: p.Redirect.URL, Status: status}
	return p
}

func TestReplyToAnAcceptedCall(t *testing.T) {
	bodyOnly := callback.Policy{Respond: &callback.Respond{Body: "hello"}}
	for name, c := range map[string]struct {
		policy   callback.Policy
		method   string
		status   int
		body     string
		location string
	}{
		"default":                 {callback.Policy{}, "POST", 200, "", ""},
		"respond":                 {respondPolicy(), "POST", 201, "thanks for paid", ""},
		"respond without status":  {bodyOnly, "POST", 200, "hello", ""},
		"redirect of a GET":       {redirectPolicy(), "GET", 302, "", base + "/done?order=" + correlation},
		"redirect of a POST":      {redirectPolicy(), "POST", 303, "", base + "/done?order=" + correlation},
		"redirect, own status":    {withRedirectStatus(redirectPolicy(), 307), "GET", 307, "", base + "/done?order=" + correlation},
		"redirect of a PUT, own":  {withRedirectStatus(redirectPolicy(), 308), "PUT", 308, "", base + "/done?order=" + correlation},
		"both, the server's call": {bothPolicy(), "POST", 201, "thanks for paid", ""},
	} {
		t.Run(name, func(t *testing.T) {
			p := compiled(t, c.policy)
			r := accept(t, waiting(p), p, newCall(c.method, "paid")).Reply
			if r.Status != c.status || r.Body != c.body || r.Header.Get("Location") != c.location {
				t.Errorf("got %+v", r)
			}
		})
	}
}

func TestReturnIsRedirectedWithTheConfiguredStatus(t *testing.T) {
	p := compiled(t, withRedirectStatus(bothPolicy(), 307))
	if v := receive(waiting(p), p, newCall("GET", ""), born); v.Kind != callback.Returned || v.Reply.Status != 307 {
		t.Errorf("got %+v", v)
	}
}

func TestEveryReplyHasTheConfiguredHeader(t *testing.T) {
	for _, p := range []callback.Policy{{}, respondPolicy(), redirectPolicy(), bothPolicy()} {
		p.ReplyHeader = callback.Header{{Name: "X-Order", Value: "no. {http.callback.correlation_id}"}}
		compiledPolicy := compiled(t, p)
		for _, method := range []string{"POST", "GET"} {
			v := receive(waiting(compiledPolicy), compiledPolicy, newCall(method, ""), born)
			if v.Reply == nil {
				continue
			}
			if got := v.Reply.Header.Get("X-Order"); got != "no. "+correlation {
				t.Errorf("%s: %q", method, got)
			}
		}
	}
}

func TestDataCannotBreakOutOfAReplyHeader(t *testing.T) {
	p := compiled(t, callback.Policy{ReplyHeader: callback.Header{{Name: "X-Body", Value: "<{http.callback.call.body}>"}}})
	r := accept(t, waiting(p), p, newCall("POST", "a\r\nSet-Cookie: x\x00{http.callback.correlation_id}")).Reply
	if got := r.Header.Get("X-Body"); got != "<aSet-Cookie: x{http.callback.correlation_id}>" {
		t.Errorf("%q", got)
	}
	long := accept(t, waiting(p), p, newCall("POST", strings.Repeat("x", 100_000))).Reply
	if got := long.Header.Get("X-Body"); len(got) > 2048 {
		t.Errorf("%d bytes", len(got))
	}
}

func TestReplyIsKeptAsItWasSent(t *testing.T) {
	p := compiled(t, respondPolicy())
	next := accept(t, waiting(p), p, newCall("POST", "paid"))
	changed := compiled(t, callback.Policy{Respond: &callback.Respond{Status: 204}})
	if v := receive(next, changed, newCall("POST", "paid"), born); v.Kind != callback.Repeated || v.Reply.Status != 201 {
		t.Errorf("got %+v", v)
	}
}

func TestConfiguredBodyHasTheTypeThatCaddyWouldGiveIt(t *testing.T) {
	const text, document = "text/plain; charset=utf-8", "application/json"
	for body, want := range map[string]string{
		"thank you": text, `{"a":1}`: document, " [1]\n": document, "{a}": text, "[": text, `"a"`: text, "17": text, " ": text,
	} {
		if got := callback.ContentType(body); got != want {
			t.Errorf("%q is %s", body, got)
		}
	}
}
