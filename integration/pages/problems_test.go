package pages

import (
	"fmt"
	"net/http"
	"net/url"
	"testing"

	"github.com/caddy-callback/caddy-callback/integration/harness"
)

// noCallback is a callback URL that was never given out.
const noCallback = callbacksURL + "/cb/00000000-0000-4000-8000-000000000000"

// A person whose browser meets a problem sees a page, at whichever directive.
func TestProblemsArePages(t *testing.T) {
	t.Parallel()
	s := start(t, harness.Config{Timeout: "100ms"})
	closed := s.create(t, "{}")
	s.send(t, http.MethodDelete, apiURL+"/"+closed.ID, "", "")
	path := s.path()
	p := comeTo(t, s.Caddy)
	p.open(appURL + path)
	waiting := s.called(t, path)
	for _, test := range []struct{ state, url, title string }{
		{"unknown state", noCallback, "No callback has this URL."},
		{"unknown ticket", callbacksURL + "/cbr/00000000-0000-4000-8000-000000000000", "No callback has this URL."},
		{"method", waiting, "This URL takes no calls with this method."},
		{"closed", closed.CallbackURL, "The callback is closed."},
		{"timeout", appURL + "/orders/late", "The callback has not come in time."},
		{"parameter", apiURL + "?phase=" + url.QueryEscape(hostile[0]), "The request is invalid."},
		{"unknown id", apiURL + "/00000000-0000-4000-8000-000000000000", "No callback has this id."},
		// The browser does not say there what its request is for.
		{"without Fetch Metadata", "http://plain.test/cb/00000000-0000-4000-8000-000000000000", "No callback has this URL."},
	} {
		p.look(test.url, test.state)
		p.wantTitle(test.title)
		p.walk(test.state)
	}
}

// The page of a request that was not answered in time leads to its result.
func TestPageOfATimeoutLeadsToTheResult(t *testing.T) {
	t.Parallel()
	s := start(t, harness.Config{Timeout: "100ms"})
	p := comeTo(t, s.Caddy)
	path := s.path()
	p.open(appURL + path)
	s.call(t, s.called(t, path), "text/plain", "the result")
	result := p.downloads(func() { p.click("Look for the result") })
	if result.content != "the result" || result.name != "result.txt" {
		t.Errorf("the result is %+v", result)
	}
}

// Whatever a partner says of a failure is shown, and does nothing.
func TestHostileFailureIsText(t *testing.T) {
	t.Parallel()
	s := start(t, harness.Config{})
	p := comeTo(t, s.Caddy)
	for _, text := range hostile {
		path := s.path()
		arrive := p.opening(appURL + path)
		s.call(t, s.called(t, path), "text/plain", text, "X-Link-Status", "Failed", "X-Link-Error-Code", text, "X-Link-Error-Text", text, "X-Link-Document-Status", text)
		arrive()
		p.harmless(fmt.Sprintf("%.60q", text))
	}
}
