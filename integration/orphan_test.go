package integration

import (
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/caddy-callback/caddy-callback/integration/harness"
)

// overInline is a body that is too large for a record.
var overInline = noise(100 << 10)

// bodyFiles returns how many files there are in the store's directory of bodies.
func (s *stage) bodyFiles() (n int) {
	_ = filepath.WalkDir(s.Path("store", "bodies"), func(_ string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			n++
		}
		return nil
	})
	return n
}

// wantBodyFiles waits until there are as many files of bodies.
func (s *stage) wantBodyFiles(t *testing.T, when string, n int) {
	t.Helper()
	harness.Eventually(t, fmt.Sprintf("%s, %d bodies are left", when, n), func() bool { return s.bodyFiles() == n })
}

func TestRefusedCallLeavesNoBody(t *testing.T) {
	t.Parallel()
	s := asking(t, "")
	s.decides(http.StatusForbidden, "no")
	x := s.get(t)
	for range 3 {
		wantProblem(t, x.call(t, "text/plain", overInline), http.StatusForbidden, "refused")
		wantProblem(t, x.callWith(t, correlationHeader, "another", overInline), http.StatusBadRequest, "correlation-mismatch")
		wantProblem(t, x.callWith(t, statusHeader, "nonsense", overInline), http.StatusBadRequest, "invalid-status")
	}
	s.decides(http.StatusInternalServerError, "")
	wantProblem(t, x.call(t, "text/plain", overInline), http.StatusBadGateway, "ask-failed")
	s.wantBodyFiles(t, "after refused calls", 0)
	s.decides(http.StatusOK, "{}")
	x.resolve(t, overInline)
	wantAnswer(t, x.Answer(t), http.StatusOK, overInline)
	x.resolve(t, overInline)
	wantProblem(t, x.call(t, "text/plain", overInline+"x"), http.StatusConflict, "already-resolved")
	s.wantBodyFiles(t, "after repeats and conflicts", 1)
}

func TestRepeatedRequestLeavesOneBody(t *testing.T) {
	t.Parallel()
	s := startDeferring(t, "")
	path := s.path()
	release := s.hang(path, harness.Ack(http.StatusOK, nil, overInline))
	defer release()
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			req := harness.NewRequest(t, http.MethodPost, harness.HTTP1.URL(path), "text/plain", overInline)
			req.Header.Set("Idempotency-Key", "same")
			if got := s.again(t, req).Answer(t); got.Status != http.StatusAccepted {
				t.Errorf("got %d", got.Status)
			}
		})
	}
	all.Wait()
	s.wantBodyFiles(t, "after eight requests that are one", 1)
	release()
	// The result takes the place of the request.
	harness.Eventually(t, "the work is done", func() bool {
		return len(decode[listed](t, s.admin(t, http.MethodGet, "?phase=resolved", "")).Callbacks) == 1
	})
	s.wantBodyFiles(t, "after the work", 1)
}

func TestFullStoreTakesNoMoreBodies(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.Start(t, harness.Config{Private: s.deferred("orders", ""), Store: s.Path("store") + " {\n\tmax_size 4MiB\n}"})
	s.partner.HandleEvery(harness.Ack(http.StatusServiceUnavailable, nil, ""))
	send := func() *harness.Response {
		return s.public(t, harness.NewRequest(t, http.MethodPost, harness.HTTP1.URL(s.path()), "text/plain", noise(1<<20)))
	}
	harness.Eventually(t, "the store is full", func() bool { return send().Status == http.StatusServiceUnavailable })
	before := s.bodyFiles()
	for range 5 {
		wantProblem(t, send(), http.StatusServiceUnavailable, "store-unavailable")
	}
	s.wantBodyFiles(t, "after refused requests", before)
	if n := s.lines("a request could not be served"); n != 1 {
		t.Errorf("the log has %d lines about refused requests", n)
	}
	s.Terminate(t)
	s.Exited(t, harness.Patience)
	if n := s.lines("requests can be served again"); n != 1 {
		t.Errorf("the log has %d lines that say how many were refused", n)
	}
	s.logged(t, "requests can be served again", "the store is full", `"count":`)
}

// lines returns how many lines of the log hold a text.
func (s *stage) lines(text string) (n int) {
	logs, _ := filepath.Glob(s.Path("log-*"))
	for _, path := range logs {
		content, _ := os.ReadFile(path)
		n += strings.Count(string(content), text)
	}
	return n
}

// Calls race for callbacks while the server is killed between storing a body and deciding.
func TestCrashAmongRacingCallsLeavesNoBodies(t *testing.T) {
	t.Parallel()
	const callbacks, racers = 4, 6
	s := newStage(t)
	cfg := withAPI(s, harness.Config{}, "key off")
	s.FailAt("body.stored", "kill")
	s.Start(t, cfg)
	var made []created
	for range callbacks {
		made = append(made, s.create(t, "{}"))
	}
	race := func() {
		var all sync.WaitGroup
		for _, c := range made {
			for i := range racers {
				all.Go(func() {
					// The server may be killed in the middle.
					req := harness.NewRequest(t, http.MethodPost, c.CallbackURL, "text/plain", fmt.Sprint(overInline, i))
					if resp, err := s.Client(t, harness.HTTP1).Do(req); err == nil {
						_ = resp.Body.Close()
					}
				})
			}
		}
		all.Wait()
	}
	race()
	if code := s.Exited(t, harness.Patience); code != -1 {
		t.Errorf("the server has ended with code %d", code)
	}
	s.FailAt("", "")
	s.Start(t, cfg)
	race()
	for _, c := range made {
		if d := s.show(t, c.ID); d.Phase != "resolved" || d.Calls != 1 {
			t.Errorf("%s after %d calls", d.Phase, d.Calls)
		}
	}
	s.wantBodyFiles(t, "after the crash", callbacks)
}
