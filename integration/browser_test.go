package integration

import (
	"net/http"
	"strings"
	"testing"

	"github.com/caddy-callback/caddy-callback/integration/harness"
)

// A page of another site can send what a form can send. If the API asks for no key,
// such a page is recognized by its Origin.
func TestPagesOfOtherSitesCannotUseAnOpenAPI(t *testing.T) {
	t.Parallel()
	s := openAPI(t, harness.Config{})
	c := s.create(t, "{}", "Origin", "http://api.test")
	for _, origin := range []string{"http://evil.test", "https://api.test.evil.test", "null", "http://api.test:81"} {
		for _, path := range []string{"/" + c.ID + "/resolve", "/" + c.ID + "/redeliver"} {
			wantProblem(t, s.api(t, http.MethodPost, path, "", "Origin", origin), http.StatusForbidden, "cross-site")
		}
		wantProblem(t, s.api(t, http.MethodGet, "/"+c.ID, "", "Origin", origin), http.StatusForbidden, "cross-site")
	}
	if got := s.show(t, c.ID); got.Phase != "waiting" {
		t.Errorf("%+v", got)
	}
	// Its own page, behind a proxy that has changed Host.
	s.create(t, "{}", "Origin", "https://app.test", "Sec-Fetch-Site", "same-origin")
}

// No page of another site can read our answers, and no cache may keep them.
func TestNothingIsSharedWithOtherSitesOrCaches(t *testing.T) {
	t.Parallel()
	s := openAPI(t, harness.Config{Hold: "redir /thanks"})
	x, fresh := s.get(t), s.get(t)
	c := s.create(t, `{"responseBody":"thanks"}`)
	preflight := []string{"Origin", "http://evil.test", "Access-Control-Request-Method", "POST", "Access-Control-Request-Headers", "content-type"}
	for _, url := range []string{x.url, harness.BaseURL + "/cb", harness.BaseURL + "/cbq/state?state=" + x.state(), c.StatusURL, c.ResultURL, apiURL, apiURL + "/" + c.ID} {
		for _, method := range []string{http.MethodOptions, http.MethodHead, http.MethodGet, "TRACE"} {
			if method == http.MethodGet && url == x.url {
				continue
			}
			got := s.callURL(t, method, url, "", preflight...)
			wantNotShared(t, method+" "+url, got)
			if method == http.MethodOptions && got.Status < 400 {
				t.Errorf("%s %s: %d", method, url, got.Status)
			}
		}
	}
	for what, got := range map[string]*harness.Response{
		"redirect":      s.callURL(t, http.MethodGet, x.url, "", preflight[:2]...),
		"return":        s.callURL(t, http.MethodGet, x.url, "", preflight[:2]...),
		"see other":     s.callURL(t, http.MethodPost, fresh.url, "paid", preflight[:2]...),
		"reply":         s.callURL(t, http.MethodPost, c.CallbackURL, "paid", preflight[:2]...),
		"repeat":        s.callURL(t, http.MethodPost, c.CallbackURL, "paid", preflight[:2]...),
		"conflict":      s.callURL(t, http.MethodPost, c.CallbackURL, "not paid", preflight[:2]...),
		"status":        s.callURL(t, http.MethodGet, c.StatusURL, "", preflight[:2]...),
		"result":        s.callURL(t, http.MethodGet, c.ResultURL, "", preflight[:2]...),
		"held answer":   fresh.Answer(t),
		"unknown state": s.callURL(t, http.MethodPost, harness.BaseURL+"/cb/00000000-0000-4000-8000-000000000000", "", preflight[:2]...),
	} {
		wantNotShared(t, what, got)
	}
}

func wantNotShared(t *testing.T, what string, got *harness.Response) {
	t.Helper()
	if cache := got.Header.Get("Cache-Control"); cache != "no-store" {
		t.Errorf("%s: %d with Cache-Control %q", what, got.Status, cache)
	}
	for name := range got.Header {
		if strings.HasPrefix(name, "Access-Control-") {
			t.Errorf("%s: %d with %s", what, got.Status, name)
		}
	}
}

// Headers with which an app configures its own site must have no effect at the
// address of results.
func TestResultDoesNothingInABrowser(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.Start(t, withAPI(s, harness.Config{Private: "callback park {\nuse_body off\n}\n" + s.toPartner()}, "key off"))
	path := s.path()
	script := "<script>alert(1)</script>"
	hostile := http.Header{
		"Content-Type": {"text/html"}, "Content-Security-Policy": {"default-src *"}, "X-Content-Type-Options": {"off"}, "Refresh": {"0; url=http://evil.test"},
		"Set-Cookie": {"session=stolen"}, "Access-Control-Allow-Origin": {"*"}, "Access-Control-Allow-Credentials": {"true"},
		"Clear-Site-Data": {`"*"`}, "Strict-Transport-Security": {"max-age=0"}, "Service-Worker-Allowed": {"/"}, "Cache-Control": {"public"},
		"Content-Disposition": {"inline"},
	}
	s.partner.Handle(path, harness.Ack(http.StatusAccepted, hostile, script))
	got := harness.Do(t, s.Client(t, harness.HTTP1), harness.NewRequest(t, http.MethodPost, harness.HTTP1.URL(path), "", ""))
	p := decode[parked](t, got)
	url := s.partner.Received(t, path).Header.Get(callbackHeader)
	wantStatus(t, s.partner.Call(t, http.MethodPost, url, "", ""), http.StatusOK)
	for _, result := range []*harness.Response{s.fetch(t, p.ResultURL), s.api(t, http.MethodGet, "/"+p.ID+"/result", "")} {
		wantSafeToOpen(t, result.Header)
		wantNotShared(t, "the result", result)
		for _, name := range []string{"Set-Cookie", "Refresh", "Clear-Site-Data", "Strict-Transport-Security", "Service-Worker-Allowed"} {
			if value := result.Header.Get(name); value != "" {
				t.Errorf("the result has %s: %s", name, value)
			}
		}
		if string(result.Body) != script {
			t.Errorf("the result is %q", result.Body)
		}
	}
}

// The reply to a call is text, whatever a partner puts into it.
func TestReplyThatRepeatsACallIsText(t *testing.T) {
	t.Parallel()
	s := start(t, harness.Config{Hold: `respond "{http.callback.call.query.name}"`})
	x := s.get(t)
	x.url += "?name=%3Cscript%3Ealert(1)%3C/script%3E"
	reply := x.call(t, "text/html", "<script>")
	wantAnswer(t, reply, http.StatusOK, "<script>alert(1)</script>")
	if got := reply.Header.Get("Content-Type"); !strings.HasPrefix(got, "text/plain") {
		t.Errorf("Content-Type is %q", got)
	}
	wantHeader(t, reply.Header, "X-Content-Type-Options", "nosniff")
}

// A key that was removed from the configuration opens nothing, not even callbacks
// that were created before.
func TestKeyThatIsTakenAwayOpensNothing(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.Setenv("CB_OLD", strings.Repeat("o", 40))
	s.Setenv("CB_NEW", strings.Repeat("n", 40))
	hold := "callback hold {\nkey bank\n}\n" + s.toPartner()
	s.Start(t, harness.Config{Callback: "key bank {env.CB_OLD} send", Private: hold})
	x := s.get(t)
	s.MustReload(t, harness.Config{Callback: "key bank {env.CB_NEW} send", Private: hold})
	wantStatus(t, x.callWith(t, "Authorization", "Bearer "+strings.Repeat("o", 40), "forged"), http.StatusUnauthorized)
	wantStatus(t, x.callWith(t, "Authorization", "Bearer "+strings.Repeat("n", 40), "paid"), http.StatusOK)
	wantAnswer(t, x.Answer(t), http.StatusOK, "paid")
}

// The admin endpoint of a running server shows neither the state of a callback nor a
// key.
func TestAdminOutputHoldsNoSecrets(t *testing.T) {
	t.Parallel()
	s := keyed(t, harness.Config{Hold: "key include"})
	x := s.get(t)
	key := x.takeKey(t)
	for _, path := range []string{
		"/config/", "/metrics", "/debug/vars", "/debug/pprof/goroutine?debug=2", "/debug/pprof/cmdline", "/callbacks", "/callbacks?limit=1", "/reverse_proxy/upstreams",
	} {
		got := s.Admin(t, harness.NewRequest(t, http.MethodGet, "http://127.0.0.1"+path, "", ""))
		wantStatus(t, got, http.StatusOK)
		wantNoKey(t, string(got.Body), key)
		if strings.Contains(string(got.Body), x.state()) {
			t.Errorf("%s has the state", path)
		}
	}
	wantStatus(t, x.callWith(t, "Authorization", "Bearer "+key, "done"), http.StatusOK)
}
