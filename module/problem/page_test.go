package problem_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/caddy-callback/caddy-callback/module/page"
	"github.com/caddy-callback/caddy-callback/module/problem"
)

const varies = "Accept, Sec-Fetch-Mode, Sec-Fetch-Dest"

// hostile is a problem that says what a partner has said.
var hostile = problem.Failed.With("<script>alert(1)</script>\u202e")

func init() {
	hostile.Members = []problem.Member{
		{Name: "id", Value: "4f9d3e53-9f5e-4c75-a5cb-6f4a1d64a1a5"}, {Name: "errorCode", Value: `"><img src=x>`},
		{Name: "statusUrl", Value: "https://app.test/cbr/x"}, {Name: "resultUrl", Value: "https://app.test/cbr/x/result"},
	}
}

func TestProblemForPeopleIsAPage(t *testing.T) {
	t.Parallel()
	w := httptest.NewRecorder()
	w.Header().Set("ETag", `"of another answer"`)
	problem.ResultsWaiting(0).Write(problem.For(w, true))
	if w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") != "5" || w.Header().Get("ETag") != "" {
		t.Errorf("%d %v", w.Code, w.Header())
	}
	w = httptest.NewRecorder()
	hostile.Write(problem.For(w, true))
	h := w.Header()
	if w.Code != hostile.Status || h.Get("Content-Type") != page.MediaType || h.Get("Content-Security-Policy") != page.AlonePolicy ||
		h.Get("Cache-Control") != "no-store" || h.Get("Vary") != varies {
		t.Errorf("%d %v", w.Code, h)
	}
	for _, want := range []string{
		"<h1><bdi>The callback reports a failure.</bdi></h1>", "424 Failed Dependency", problem.Failed.Advice,
		"&lt;script&gt;alert(1)&lt;/script&gt;‹U+202E›", "&#34;&gt;&lt;img src=x&gt;", "4f9d3e53-9f5e-4c75-a5cb-6f4a1d64a1a5",
		`<a class="button second" href="https://app.test/cbr/x/result">`,
	} {
		if !strings.Contains(w.Body.String(), want) {
			t.Errorf("the page lacks %s:\n%s", want, w.Body)
		}
	}
}

func TestProblemForProgramsStaysADocument(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		to   func(http.ResponseWriter) http.ResponseWriter
		vary string
	}{
		"it may have been a page":    {func(w http.ResponseWriter) http.ResponseWriter { return problem.For(w, false) }, varies},
		"it can never become a page": {func(w http.ResponseWriter) http.ResponseWriter { return w }, ""},
	} {
		w := httptest.NewRecorder()
		hostile.Write(c.to(w))
		if w.Header().Get("Content-Type") != problem.MediaType || w.Header().Get("Vary") != c.vary || w.Body.String() != string(hostile.Document()) {
			t.Errorf("%s: %v %s", name, w.Header(), w.Body)
		}
	}
}

func TestRequestSaysWhetherItsProblemsArePages(t *testing.T) {
	t.Parallel()
	for accept, want := range map[string]string{"text/html": page.MediaType, "*/*": problem.MediaType} {
		w, r := httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/", nil)
		r.Header.Set("Accept", accept)
		problem.Busy.Write(problem.ForRequest(w, r))
		if got := w.Header().Get("Content-Type"); got != want {
			t.Errorf("%s: %s", accept, got)
		}
	}
}

// What lies below a writer of problems is found by whoever looks for it.
func TestWriterCanBeFlushed(t *testing.T) {
	t.Parallel()
	w := httptest.NewRecorder()
	if err := http.NewResponseController(problem.For(w, true)).Flush(); err != nil || !w.Flushed {
		t.Error(err)
	}
}
