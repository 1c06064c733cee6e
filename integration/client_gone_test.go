package integration

import (
	"net/http"
	"testing"

	"github.com/caddy-callback/caddy-callback/integration/harness"
)

func TestCallIsAcceptedAfterTheClientHasLeft(t *testing.T) {
	t.Parallel()
	s := start(t, harness.Config{TLS: true})
	for _, protocol := range harness.Protocols {
		x := s.send(t, protocol, http.MethodPost, "text/plain", "an order")
		s.Acknowledged(t)
		x.Leave(t)
		s.Idle(t)
		x.resolve(t, "nobody is there")
		x.resolve(t, "nobody is there")
	}
}

func TestCallIsAcceptedAfterTheClientHasLeftBeforeTheAck(t *testing.T) {
	t.Parallel()
	s := start(t, harness.Config{})
	path := s.path()
	release := make(chan struct{})
	s.partner.Handle(path, func(w http.ResponseWriter, _ *http.Request) {
		<-release
		w.WriteHeader(http.StatusAccepted)
	})
	x := s.forward(t, harness.HTTP1, harness.NewRequest(t, http.MethodPost, harness.HTTP1.URL(path), "text/plain", "an order"))
	x.leaveNoticed(t)
	close(release)
	s.Idle(t)
	x.resolve(t, "nobody is there")
}

func TestResultOfAClientThatHasLeftIsNeverSentToAnother(t *testing.T) {
	t.Parallel()
	s := start(t, harness.Config{})
	gone := s.get(t)
	s.Acknowledged(t)
	gone.Leave(t)
	other := s.get(t)
	gone.resolve(t, "for the one that left")
	other.resolve(t, "for the other")
	wantAnswer(t, other.Answer(t), http.StatusOK, "for the other")
}

func TestOnDisconnectCloseEndsTheCallback(t *testing.T) {
	t.Parallel()
	s := start(t, harness.Config{TLS: true, Hold: "on_disconnect close"})
	for _, protocol := range harness.Protocols {
		t.Run(string(protocol), func(t *testing.T) {
			t.Parallel()
			x := s.send(t, protocol, http.MethodPost, "text/plain", "an order")
			x.Leave(t)
			x.closed(t)
		})
	}
}

func TestOnDisconnectCloseEndsTheCallbackBeforeTheAck(t *testing.T) {
	t.Parallel()
	s := start(t, harness.Config{Hold: "on_disconnect close"})
	path := s.path()
	release := make(chan struct{})
	s.partner.Handle(path, func(w http.ResponseWriter, r *http.Request) {
		select {
		case <-release:
		case <-r.Context().Done():
		}
		w.WriteHeader(http.StatusAccepted)
	})
	x := s.forward(t, harness.HTTP1, harness.NewRequest(t, http.MethodPost, harness.HTTP1.URL(path), "text/plain", "an order"))
	x.leaveNoticed(t)
	close(release)
	x.closed(t)
}

func TestOnDisconnectCloseKeepsWhatWasAnsweredInTime(t *testing.T) {
	t.Parallel()
	s := start(t, harness.Config{Hold: "on_disconnect close"})
	x := s.get(t)
	x.stillWaits(t)
	s.CloseClients()
	x.resolve(t, "the one that counts")
}

// leaveNoticed makes the only client leave, and waits until the server has noticed.
func (x *exchange) leaveNoticed(t *testing.T) {
	t.Helper()
	watched := func(n int) func() bool { return func() bool { return x.stage.WatchedClients(t) == n } }
	harness.Eventually(t, "the server watches its client", watched(1))
	x.Leave(t)
	harness.Eventually(t, "the server notices that its client has left", watched(0))
}
