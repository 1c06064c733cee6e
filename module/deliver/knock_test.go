package deliver

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/caddy-callback/caddy-callback/module/callback"
)

func TestKnockSaysWhoAnswers(t *testing.T) {
	t.Parallel()
	const mark = callback.Origin("the-mark")
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		at, rest, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
		if r.Method != http.MethodPost || callback.ParsePath("/"+rest).Resource != callback.CallPath {
			t.Errorf("%s %s", r.Method, r.URL)
		}
		switch at {
		case "ours":
			if mark.ComesBack(r.Header) {
				w.WriteHeader(http.StatusLoopDetected)
				_, _ = w.Write([]byte(`{"type":"https://example.com/problems.md#loop-detected"}`))
			}
		case "moved":
			http.Redirect(w, r, "/ours/cb/x", http.StatusFound)
		case "endless":
			for range 1000 {
				_, _ = w.Write(make([]byte, 1<<10))
			}
		case "html":
			_, _ = w.Write([]byte("<html>"))
		}
	}))
	defer s.Close()
	for base, want := range map[string]Knocked{
		s.URL + "/ours/":          {Status: 508, Problem: "loop-detected"},
		s.URL + "/moved":          {Status: 302},
		s.URL + "/endless":        {Status: 200},
		s.URL + "/html":           {Status: 200},
		"http://127.0.0.1:1":      {Error: "connection failed"},
		"http://no such host":     {Error: "address not allowed"},
		"http://nobody.invalid/a": {Error: "connection failed"},
	} {
		if got := Knock(t.Context(), base, mark); got != want {
			t.Errorf("%s: %+v, want %+v", base, got, want)
		}
	}
}
