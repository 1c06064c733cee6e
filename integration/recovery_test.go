package integration

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/caddy-callback/caddy-callback/integration/harness"
)

func TestServerAnswersWhileItStillRecovers(t *testing.T) {
	t.Parallel()
	const many = 1200
	s := newStage(t)
	cfg := harness.Config{Private: s.deferred("old", "") + "callback /new/* park\n" + s.toPartner()}
	cfg.Private = strings.Replace(cfg.Private, "callback defer", "callback /old/* defer", 1)
	release := make(chan struct{})
	var mu sync.Mutex
	done := make(map[string]bool)
	url := make(chan string, 1)
	s.partner.HandleEvery(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/new/") {
			url <- r.Header.Get(callbackHeader)
			w.WriteHeader(http.StatusAccepted)
			return
		}
		select {
		case <-release:
			mu.Lock()
			done[r.URL.Path] = true
			mu.Unlock()
		case <-r.Context().Done():
		}
	})
	s.Start(t, cfg)
	sent := make([]*harness.Pending, many)
	for i := range sent {
		sent[i] = harness.Send(s.Client(t, harness.HTTP1), harness.NewRequest(t, http.MethodPost, harness.HTTP1.URL(fmt.Sprintf("/old/%d", i)), "text/plain", "x"))
	}
	var last parked
	for _, p := range sent {
		last = decode[parked](t, p.Answer(t))
	}
	s.Kill(t)
	s.Start(t, cfg)

	// No old request can end, so all of them are still to be done.
	p := s.wantParked(t, s.public(t, harness.NewRequest(t, http.MethodPost, harness.HTTP1.URL("/new/1"), "text/plain", "x")))
	call := s.partner.Call(t, http.MethodPost, harness.Receive(t, "the partner gets the new request", url), "text/plain", "new")
	wantStatus(t, call, http.StatusOK)
	wantAnswer(t, s.fetch(t, p.ResultURL), http.StatusOK, "new")
	if st := s.status(t, last.StatusURL); st.Phase != "waiting" {
		t.Errorf("the status is %+v", st)
	}

	close(release)
	harness.Eventually(t, "everything is recovered", func() bool {
		all := decode[listed](t, s.admin(t, http.MethodGet, "?phase=waiting&limit=1", ""))
		return len(all.Callbacks) == 0 && all.Next == "" && all.Waiting == 0
	})
	mu.Lock()
	defer mu.Unlock()
	if len(done) != many {
		t.Errorf("%d of %d requests were done", len(done), many)
	}
}
