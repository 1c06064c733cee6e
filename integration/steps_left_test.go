package integration

import (
	"encoding/json"
	"net/http"
	"strconv"
	"testing"

	"github.com/caddy-callback/caddy-callback/integration/harness"
)

// startStep starts a server that holds each request for a side call.
func startStep(t *testing.T, cfg harness.Config) *stage {
	t.Helper()
	s := newStage(t)
	cfg.Private = s.sideCall("side", "") + s.toPartner()
	s.Start(t, cfg)
	return s
}

// holds waits until so many clients are held.
func (s *stage) holds(t *testing.T, n int) {
	t.Helper()
	harness.Eventually(t, strconv.Itoa(n)+" clients are held", func() bool {
		var l listed
		if err := json.Unmarshal(s.admin(t, http.MethodGet, "", "").Body, &l); err != nil {
			t.Fatal(err)
		}
		return l.Held == n
	})
}

// TestStepEndsWithTheClientThatLeaves lets the client leave while the side call is made,
// and while its callback is waited for.
func TestStepEndsWithTheClientThatLeaves(t *testing.T) {
	t.Parallel()
	s := startStep(t, harness.Config{TLS: true})
	for _, protocol := range harness.Protocols {
		for _, acked := range []bool{true, false} {
			t.Run(string(protocol), func(t *testing.T) {
				t.Parallel()
				path := s.path()
				release := make(chan struct{})
				if !acked {
					s.partner.Handle("/side"+path, func(w http.ResponseWriter, r *http.Request) {
						select {
						case <-release:
						case <-r.Context().Done():
						}
						w.WriteHeader(http.StatusAccepted)
					})
				}
				req := harness.NewRequest(t, http.MethodPost, protocol.URL(path), "text/plain", "order")
				x := &exchange{stage: s, Pending: harness.Send(s.Client(t, protocol), req)}
				x.received = s.partner.Received(t, "/side"+path)
				x.url = x.received.Header.Get(callbackHeader)
				x.Leave(t)
				close(release)
				x.closed(t)
				if n := s.partner.Arrived(path); n != 0 {
					t.Errorf("the app was asked %d times", n)
				}
			})
		}
	}
}

// TestStepWaitsForItsCallbackWhateverItsClientPrefers sends the preferences that make a
// plain hold answer 202.
func TestStepWaitsForItsCallbackWhateverItsClientPrefers(t *testing.T) {
	t.Parallel()
	s := startStep(t, harness.Config{})
	for _, preference := range []string{"respond-async", "respond-async, wait=1", "respond-async, wait=100"} {
		path := s.path()
		s.partner.Handle(path, harness.Ack(http.StatusOK, nil, appsAnswer))
		req := harness.NewRequest(t, http.MethodPost, harness.HTTP1.URL(path), "text/plain", "order")
		req.Header.Set("Prefer", preference)
		pending := s.again(t, req)
		received := s.partner.Received(t, "/side"+path)
		if preference == "respond-async, wait=1" {
			wantProblem(t, pending.Answer(t), http.StatusGatewayTimeout, "timeout")
			continue
		}
		wantStatus(t, s.partner.Call(t, http.MethodPost, received.Header.Get(callbackHeader), "text/plain", "go on"), http.StatusOK)
		wantAnswer(t, pending.Answer(t), http.StatusOK, appsAnswer)
	}
}

// TestStepWithAKeyEndsWithTheLastOfItsClients has two requests with one key.
func TestStepWithAKeyEndsWithTheLastOfItsClients(t *testing.T) {
	t.Parallel()
	s := startStep(t, harness.Config{})
	path := s.path()
	s.partner.Handle(path, harness.Ack(http.StatusOK, nil, appsAnswer))
	first := s.again(t, withKey(t, path, "k-1", "order"))
	received := s.partner.Received(t, "/side"+path)
	second := s.again(t, withKey(t, path, "k-1", "order"))
	s.holds(t, 2)
	first.Leave(t)
	s.holds(t, 1)
	wantStatus(t, s.partner.Call(t, http.MethodPost, received.Header.Get(callbackHeader), "text/plain", "go on"), http.StatusOK)
	wantAnswer(t, second.Answer(t), http.StatusOK, appsAnswer)

	path = s.path()
	alone := s.again(t, withKey(t, path, "k-2", "order"))
	received = s.partner.Received(t, "/side"+path)
	s.Acknowledged(t)
	alone.Leave(t)
	s.Idle(t)
	wantProblem(t, s.partner.Call(t, http.MethodPost, received.Header.Get(callbackHeader), "text/plain", "late"), http.StatusGone, "closed")
	// The key tells how it has ended. Nothing is done twice.
	wantProblem(t, s.again(t, withKey(t, path, "k-2", "order")).Answer(t), http.StatusGone, "closed")
	s.wantArrivals(t, "/side"+path, 0)
}

// TestStepEndsWhenCaddyExits starts the server again after the exit.
func TestStepEndsWhenCaddyExits(t *testing.T) {
	t.Parallel()
	s := startStep(t, harness.Config{})
	path := s.path()
	pending := s.again(t, harness.NewRequest(t, http.MethodPost, harness.HTTP1.URL(path), "text/plain", "order"))
	received := s.partner.Received(t, "/side"+path)
	s.Acknowledged(t)
	s.Terminate(t)
	if p := wantProblem(t, pending.Answer(t), http.StatusGatewayTimeout, "shutting-down"); p.ResultURL != "" {
		t.Errorf("there is no result, and the client is told of one: %+v", p)
	}
	s.Exited(t, harness.Patience)
	s.Start(t, harness.Config{Private: s.sideCall("side", "") + s.toPartner()})
	wantProblem(t, s.partner.Call(t, http.MethodPost, received.Header.Get(callbackHeader), "text/plain", "late"), http.StatusGone, "closed")
}
