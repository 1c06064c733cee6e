package integration

import (
	"net/http"
	"testing"
	"time"

	"github.com/caddy-callback/caddy-callback/integration/harness"
)

const (
	healthURL    = harness.BaseURL + "/healthz"
	healthServer = "callback_server {\n\thealth /healthz\n}\nrespond \"the site\" 418"
)

func (s *stage) wantHealth(t *testing.T, status int, word string) {
	t.Helper()
	got := s.callURL(t, http.MethodGet, healthURL, "")
	wantAnswer(t, got, status, word)
	wantHeader(t, got.Header, "Cache-Control", "no-store")
	head := s.callURL(t, http.MethodHead, healthURL, "")
	wantAnswer(t, head, status, "")
	for _, h := range []http.Header{got.Header, head.Header} {
		if status == http.StatusOK {
			wantHeader(t, h, "Retry-After")
		} else {
			wantHeader(t, h, "Retry-After", "5")
		}
	}
}

func TestHealthSaysWhetherWorkIsTaken(t *testing.T) {
	t.Parallel()
	s := start(t, harness.Config{Callback: "max_waiting 2\nmax_held 1", Public: healthServer, Timeout: "1s"})
	s.wantHealth(t, http.StatusOK, "ok")
	x := s.get(t)
	s.wantHealth(t, http.StatusServiceUnavailable, "busy")
	wantProblem(t, x.Answer(t), http.StatusGatewayTimeout, "timeout")
	s.Idle(t)
	s.wantHealth(t, http.StatusOK, "ok")
	wantProblem(t, s.get(t).Answer(t), http.StatusGatewayTimeout, "timeout")
	s.Idle(t)
	s.wantHealth(t, http.StatusServiceUnavailable, "busy")
	s.refuses(t, "")
	x.resolve(t, "one less")
	s.wantHealth(t, http.StatusOK, "ok")
}

func TestHealthIsOnePathAndOnlyLooks(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.Setenv("CB_KEY", envKey)
	s.Start(t, harness.Config{
		Callback: "key env {env.CB_KEY} send\n",
		Public:   "callback_server {\n\tkey env\n\thealth /healthz\n}\nrespond \"the site\" 418",
		Sites:    s.Site("plain", "callback_server\nrespond \"the site\" 418"),
	})
	s.wantHealth(t, http.StatusOK, "ok")
	wantAnswer(t, s.callURL(t, http.MethodGet, healthURL+"?full=1", "", "Accept", "text/html"), http.StatusOK, "ok")
	for _, method := range []string{http.MethodPost, http.MethodOptions, http.MethodDelete} {
		got := s.callURL(t, method, healthURL, "")
		wantProblem(t, got, http.StatusMethodNotAllowed, "method-not-allowed")
		wantHeader(t, got.Header, "Allow", "GET, HEAD")
	}
	for _, url := range []string{harness.BaseURL + "/healthz/", harness.BaseURL + "/HEALTHZ", harness.BaseURL + "/", "http://plain.test/healthz"} {
		wantAnswer(t, s.callURL(t, http.MethodGet, url, ""), http.StatusTeapot, "the site")
	}
}

func TestHealthSaysThatTheServerExits(t *testing.T) {
	t.Parallel()
	s := start(t, harness.Config{Global: "shutdown_delay 5s", Public: healthServer})
	s.wantHealth(t, http.StatusOK, "ok")
	s.Terminate(t)
	harness.Within(t, 4*time.Second, "the server says that it exits", func() bool {
		return s.callURL(t, http.MethodGet, healthURL, "").Status == http.StatusServiceUnavailable
	})
	s.wantHealth(t, http.StatusServiceUnavailable, "exiting")
	if code := s.Exited(t, 30*time.Second); code != 0 {
		t.Errorf("the exit code is %d", code)
	}
}
