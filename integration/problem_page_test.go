package integration

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/caddy-callback/caddy-callback/integration/harness"
)

// varies says on what it depends whether an answer is a page.
const varies = "Accept, Sec-Fetch-Mode, Sec-Fetch-Dest"

// aloneHash begins the policy of a page that has its style within.
const aloneHash = "style-src 'sha256-"

// asBrowser are the header lines of a navigation.
var asBrowser = []string{
	"Accept", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
	"Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "document", "Sec-Fetch-Site", "none",
}

// wantPage checks that a response is a page that no cache keeps, with these texts.
func wantPage(t *testing.T, got *harness.Response, status int, texts ...string) {
	t.Helper()
	wantStatus(t, got, status)
	wantHeader(t, got.Header, "Content-Type", "text/html; charset=utf-8")
	wantHeader(t, got.Header, "X-Content-Type-Options", "nosniff")
	wantNotStored(t, got.Header)
	wantVaries(t, got)
	if !strings.Contains(got.Header.Get("Content-Security-Policy"), "default-src 'none'") {
		t.Errorf("the policy is %q", got.Header.Get("Content-Security-Policy"))
	}
	for _, text := range texts {
		if !strings.Contains(string(got.Body), text) {
			t.Errorf("the page lacks %s:\n%s", text, got.Body)
		}
	}
}

// wantVaries checks that a response says that it depends on the client whether it is a page.
func wantVaries(t *testing.T, got *harness.Response) {
	t.Helper()
	if !slices.Contains(got.Header.Values("Vary"), varies) {
		t.Errorf("Vary is %q", got.Header.Values("Vary"))
	}
}

// wantProblemPage checks that a response is the page of a problem, which loads nothing.
func wantProblemPage(t *testing.T, got *harness.Response, status int, texts ...string) {
	t.Helper()
	wantPage(t, got, status, append(texts, "<h2>Details</h2>")...)
	if !strings.Contains(got.Header.Get("Content-Security-Policy"), aloneHash) {
		t.Errorf("the policy is %q", got.Header.Get("Content-Security-Policy"))
	}
}

// Whoever answers, a navigation gets a page of a problem, and a program the document.
func TestPeopleSeeProblemsAsPages(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.Setenv("CB_KEY", strings.Repeat("k", 40))
	s.Start(t, withAPI(s, harness.Config{
		Callback: "key app {env.CB_KEY} create read",
		Timeout:  "300ms",
		Public:   "callback_server {\nhealth /healthz\n}",
	}, ""))
	const nobody = "00000000-0000-4000-8000-000000000000"
	for name, test := range map[string]struct {
		method, url string
		status      int
		slug, text  string
	}{
		"call":            {http.MethodPost, harness.BaseURL + "/cb/" + nobody, http.StatusNotFound, "unknown-state", "ask for another one"},
		"nowhere":         {http.MethodGet, harness.BaseURL + "/cb/" + strings.ToUpper("a"+nobody[1:]), http.StatusNotFound, "unknown-state", "ask for another one"},
		"status":          {http.MethodGet, harness.BaseURL + "/cbr/" + nobody, http.StatusNotFound, "unknown-ticket", "ask for another one"},
		"result":          {http.MethodGet, harness.BaseURL + "/cbr/" + nobody + "/result", http.StatusNotFound, "unknown-ticket", "ask for another one"},
		"method":          {http.MethodPost, harness.BaseURL + "/cbr/" + nobody, http.StatusMethodNotAllowed, "method-not-allowed", "not one to be opened"},
		"fixed URL":       {http.MethodPost, harness.BaseURL + "/cb", http.StatusUnauthorized, "key-required", "exactly as you were given it"},
		"health":          {http.MethodPost, harness.BaseURL + "/healthz", http.StatusMethodNotAllowed, "method-not-allowed", "not one to be opened"},
		"API":             {http.MethodGet, apiURL, http.StatusUnauthorized, "key-required", "exactly as you were given it"},
		"path of the API": {http.MethodGet, apiURL + "/x/y", http.StatusNotFound, "unknown-path", "address is complete"},
		"held":            {http.MethodPost, harness.HTTP1.URL(s.path()), http.StatusGatewayTimeout, "timeout", "Look for the result"},
		"tunnel":          {http.MethodGet, harness.HTTP1.URL(s.path()), http.StatusBadRequest, "upgrade", "cannot be used in this way"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			more := []string{}
			if name == "tunnel" {
				more = []string{"Connection", "Upgrade", "Upgrade", "websocket"}
			}
			wantProblemPage(t, s.callURL(t, test.method, test.url, "", append(more, asBrowser...)...), test.status, test.text)
			got := s.callURL(t, test.method, test.url, "", more...)
			wantProblem(t, got, test.status, test.slug)
			wantVaries(t, got)
		})
	}
}

// What handle_errors gets is not answered by the directive, whoever asks.
func TestSiteMakesItsOwnPagesOfErrors(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.Start(t, harness.Config{Private: s.HoldAndForward("", "300ms", "errors caddy") + "handle_errors {\nrespond \"own page: {http.callback.error.title}\"\n}\n"})
	got := s.callURL(t, http.MethodPost, harness.HTTP1.URL(s.path()), "", asBrowser...)
	wantAnswer(t, got, http.StatusGatewayTimeout, "own page: The callback has not come in time.")
}

// A problem that a block answers with is no page, even if it is a person whose request is
// carried out: it may be the result of a program's.
func TestProblemOfAJobIsADocument(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.Start(t, harness.Config{Private: "callback defer {\nname later\nthen {\ncallback hold 200ms\n" + s.toPartner() + "}\n}\n"})
	got := s.callURL(t, http.MethodPost, harness.HTTP1.URL(s.path()), "", asBrowser...)
	wantStatus(t, got, http.StatusAccepted)
	p := decode[parked](t, got)
	result := s.callURL(t, http.MethodGet, p.ResultURL, "", "Prefer", "wait=20")
	if mediaType := result.Header.Get("Content-Type"); strings.Contains(mediaType, "html") || strings.Contains(string(result.Body), "<html") {
		t.Errorf("%d %s %s", result.Status, mediaType, result.Body)
	}
}
