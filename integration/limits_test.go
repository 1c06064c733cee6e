package integration

import (
	"net/http"
	"strings"
	"testing"

	"github.com/caddy-callback/caddy-callback/integration/harness"
)

func TestMaxHeldLimitsHowManyClientsWait(t *testing.T) {
	t.Parallel()
	s := start(t, harness.Config{Callback: "max_held 2"})
	first, second := s.get(t), s.get(t)
	s.refuses(t, "")
	first.stillWaits(t)
	second.stillWaits(t)
	s.Idle(t)
	s.get(t).stillWaits(t)
}

func TestMaxWaitingLimitsHowManyCallbacksWait(t *testing.T) {
	t.Parallel()
	s := start(t, harness.Config{Callback: "max_waiting 2", Timeout: "500ms"})
	x, _ := s.timedOut(t)
	s.timedOut(t)
	s.refuses(t, "")
	x.resolve(t, "one less")
	s.timedOut(t)
}

func TestMaxMemoryLimitsWhatIsBufferedAtOnce(t *testing.T) {
	t.Parallel()
	s := start(t, harness.Config{Callback: "max_memory 112KiB\nmax_body_size 48KiB", Hold: "inject json url {http.callback.url}"})
	body := `{"a":"` + strings.Repeat("x", 40<<10) + `"}`
	path := s.path()
	release := make(chan struct{})
	s.partner.Handle(path, func(w http.ResponseWriter, _ *http.Request) {
		<-release
		w.WriteHeader(http.StatusAccepted)
	})
	x := s.forward(t, harness.HTTP1, harness.NewRequest(t, http.MethodPost, harness.HTTP1.URL(path), "application/json", body))
	s.refuses(t, body)
	close(release)
	s.Acknowledged(t)
	s.post(t, "application/json", body).stillWaits(t)
	x.stillWaits(t)
}

// refuses checks that a further request is refused at once, with a Retry-After, and
// never reaches the partner.
func (s *stage) refuses(t *testing.T, body string) {
	t.Helper()
	path := s.path()
	answer := s.public(t, harness.NewRequest(t, http.MethodPost, harness.HTTP1.URL(path), "application/json", body))
	wantProblem(t, answer, http.StatusServiceUnavailable, "busy")
	if answer.Header.Get("Retry-After") == "" {
		t.Error("there is no Retry-After")
	}
	if s.partner.Arrived(path) != 0 {
		t.Error("the partner got a request that was refused")
	}
}
