package integration

import (
	"net/http"
	"testing"
	"time"

	"github.com/caddy-callback/caddy-callback/integration/harness"
)

func TestTimeoutTellsTheClientWhereToLook(t *testing.T) {
	t.Parallel()
	s := start(t, harness.Config{TLS: true, Timeout: "500ms"})
	for _, protocol := range harness.Protocols {
		t.Run(string(protocol), func(t *testing.T) {
			t.Parallel()
			x := s.send(t, protocol, http.MethodPost, "text/plain", "an order")
			p := wantProblem(t, x.Answer(t), http.StatusGatewayTimeout, "timeout")
			wantPickUp(t, p)
			x.resolve(t, "late but in time")
			wantAnswer(t, s.fetch(t, p.ResultURL), http.StatusOK, "late but in time")
		})
	}
}

func TestTimeoutCountsFromTheArrivalOfTheRequest(t *testing.T) {
	t.Parallel()
	const timeout = 2 * time.Second
	s := start(t, harness.Config{Timeout: timeout.String()})
	path := s.path()
	release := make(chan struct{})
	time.AfterFunc(timeout/2, func() { close(release) })
	s.partner.Handle(path, func(w http.ResponseWriter, _ *http.Request) {
		<-release
		w.WriteHeader(http.StatusAccepted)
	})
	begin := time.Now()
	x := s.forward(t, harness.HTTP1, harness.NewRequest(t, http.MethodGet, harness.HTTP1.URL(path), "", ""))
	wantProblem(t, x.Answer(t), http.StatusGatewayTimeout, "timeout")
	if took := time.Since(begin); took < timeout || took > timeout+timeout/2 {
		t.Errorf("the client was answered after %v", took)
	}
}

func TestUpstreamThatThinksLongerThanTheTimeoutLeavesTheCallbackOpen(t *testing.T) {
	t.Parallel()
	s := start(t, harness.Config{Timeout: "500ms"})
	path := s.path()
	s.partner.Handle(path, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	x := s.forward(t, harness.HTTP1, harness.NewRequest(t, http.MethodPost, harness.HTTP1.URL(path), "text/plain", "an order"))
	p := wantProblem(t, x.Answer(t), http.StatusGatewayTimeout, "timeout")
	wantPickUp(t, p)
	x.resolve(t, "it had the request")
	wantAnswer(t, s.fetch(t, p.ResultURL), http.StatusOK, "it had the request")
}

func TestCallAndTimeoutAgreeOnWhoWasFirst(t *testing.T) {
	t.Parallel()
	s := start(t, harness.Config{Timeout: "500ms"})
	for range 4 {
		begin := time.Now()
		x := s.get(t)
		harness.Until(begin.Add(500 * time.Millisecond))
		x.resolve(t, "at the last moment")
		answer := x.Answer(t)
		if answer.Status == http.StatusOK {
			wantAnswer(t, answer, http.StatusOK, "at the last moment")
			continue
		}
		p := wantProblem(t, answer, http.StatusGatewayTimeout, "timeout")
		wantAnswer(t, s.fetch(t, p.ResultURL), http.StatusOK, "at the last moment")
	}
}

func TestRetainEndsTheTimeForReading(t *testing.T) {
	t.Parallel()
	s := start(t, harness.Config{Timeout: "500ms", Callback: "retain 300ms"})
	x, p := s.timedOut(t)
	x.resolve(t, "read me soon")
	wantAnswer(t, s.fetch(t, p.ResultURL), http.StatusOK, "read me soon")
	harness.Eventually(t, "the callback is forgotten", func() bool {
		return s.fetch(t, p.StatusURL).Status == http.StatusNotFound
	})
	wantProblem(t, x.call(t, "text/plain", "read me soon"), http.StatusNotFound, "unknown-state")
}
