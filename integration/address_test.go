package integration

import (
	"net/http"
	"strings"
	"testing"

	"github.com/caddy-callback/caddy-callback/integration/harness"
)

// A URL in a header, or one that a partner is given, is ASCII: the names of hosts are in
// punycode.
func TestNamesInOtherLettersAreSentInPunycode(t *testing.T) {
	t.Parallel()
	const base, status = "http://xn--mnchen-3ya.test", "https://xn--kln-sna.test"
	s := newStage(t)
	s.Start(t, withAPI(s, harness.Config{
		BaseURL:  "http://münchen.test",
		Callback: "status_url https://köln.test",
		Private: harness.Hold("/orders/*", "100ms", "redir https://zürich.example/straße?id={http.callback.id}") +
			harness.Hold("/own/*", "100ms", "base_url http://züri.test/ä\nstatus_url http://züri.test") +
			harness.Hold("/relative/*", "100ms", "redir /danke/ä") + s.toPartner(),
	}, "key off"))
	// at returns a URL at the address where the test finds the site.
	at := func(url string) string {
		_, path, _ := strings.Cut(strings.TrimPrefix(url, "http://"), "/")
		return harness.BaseURL + "/" + path
	}
	send := func(path string) (*exchange, problem) {
		x := s.forward(t, harness.HTTP1, harness.NewRequest(t, http.MethodGet, harness.HTTP1.URL(path+s.path()), "", ""))
		return x, wantProblem(t, x.Answer(t), http.StatusGatewayTimeout, "timeout")
	}
	wantBegin := func(what, got, want string) {
		t.Helper()
		if !strings.HasPrefix(got, want) {
			t.Errorf("%s is %q, want %q", what, got, want)
		}
	}
	x, p := send("")
	wantBegin("the callback URL", x.url, base+"/cb/")
	wantBegin("statusUrl", p.StatusURL, status+"/cbr/")
	reply := s.partner.Call(t, http.MethodPost, at(x.url), "text/plain", "paid")
	wantBegin("Location", reply.Header.Get("Location"), "https://xn--zrich-kva.example/stra%C3%9Fe?id=")
	own, p := send("/own")
	wantBegin("the callback URL", own.url, "http://xn--zri-hoa.test/%C3%A4/cb/")
	wantBegin("statusUrl", p.StatusURL, "http://xn--zri-hoa.test/cbr/")
	relative, _ := send("/relative")
	reply = s.partner.Call(t, http.MethodPost, at(relative.url), "text/plain", "paid")
	wantHeader(t, reply.Header, "Location", base+"/danke/%C3%A4")

	c := s.create(t, `{"alternativeDomain":"https://züri.test/","responseRedirectUrl":"https://münchen.example/danke/ä","deliverTo":"https://köln.example/ä"}`)
	wantBegin("callbackUrl", c.CallbackURL, "https://xn--zri-hoa.test/cb/")
	wantBegin("redirectUri", c.RedirectURI, "https://xn--zri-hoa.test/cb/")
	wantBegin("statusUrl", c.StatusURL, status+"/cbr/")
	wantHeader(t, s.fetch(t, at(strings.Replace(c.CallbackURL, "https", "http", 1))).Header, "Location", "https://xn--mnchen-3ya.example/danke/%C3%A4")
	for _, body := range []string{
		`{"responseRedirectUrl":"http://xn--mnchen-3ya.test/cb/x"}`, `{"responseRedirectUrl":"http://MÜNCHEN.test:80/cb/x"}`,
		`{"alternativeDomain":"https://züri.test","responseRedirectUrl":"https://xn--zri-hoa.test/cbr/x"}`,
		`{"deliverTo":"http://münchen.test/cb/00000000-0000-4000-8000-000000000000"}`, `{"alternativeDomain":"https://a..ä.test"}`,
		`{"responseRedirectUrl":"https://a..ä.test/"}`,
	} {
		wantProblem(t, s.api(t, http.MethodPost, "", body), http.StatusBadRequest, "invalid-request")
	}
}

// People who pay or sign in on a phone come back into an app.
func TestPeopleAreRedirectedIntoApps(t *testing.T) {
	t.Parallel()
	s := openAPI(t, harness.Config{Hold: "redir myapp://done?id={http.callback.correlation_id}&said={http.callback.call.body}"})
	x := s.get(t)
	wantHeader(t, x.call(t, "text/plain", "javascript:alert(1)&a=b").Header, "Location",
		"myapp://done?id="+x.received.Header.Get(correlationHeader)+"&said=javascript%3Aalert%281%29%26a%3Db")
	for _, target := range []string{"myapp://done", "com.example.app:/oauth?a=b", "intent://done#Intent;scheme=myapp;end", "tel:112"} {
		c := s.create(t, `{"responseRedirectUrl":"`+target+`"}`)
		wantHeader(t, s.fetch(t, c.CallbackURL).Header, "Location", target)
	}
	for _, target := range []string{"javascript:alert(1)", "JavaScript://h/%0aalert(1)", "data:text/html,x", "vbscript:x", "file:///etc/passwd", "blob:https://h/x", "About:blank", "shop.example.com:443/x"} {
		got := s.api(t, http.MethodPost, "", `{"responseRedirectUrl":"`+target+`"}`)
		wantProblem(t, got, http.StatusBadRequest, "invalid-request")
	}
}
