package integration

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/caddy-callback/caddy-callback/integration/harness"
)

// deferred returns a directive that processes requests in the background.
func (s *stage) deferred(name, lines string) string {
	return "callback defer {\n\tname " + name + "\n" + lines + "\n\tthen {\n\t\t" + s.toPartner() + "\t}\n}\n"
}

// startDeferring returns a stage whose private site defers.
func startDeferring(t *testing.T, lines string) *stage {
	t.Helper()
	s := newStage(t)
	s.Start(t, harness.Config{Private: s.deferred("orders", lines)})
	return s
}

// ends waits until a callback has ended, and returns its status.
func (s *stage) ends(t *testing.T, url string) (st status) {
	t.Helper()
	harness.Eventually(t, "the callback ends", func() bool {
		st = s.status(t, url)
		return st.Phase != "waiting"
	})
	return st
}

// attempted waits until a failed attempt is recorded.
func (s *stage) attempted(t *testing.T, id string) {
	t.Helper()
	harness.Eventually(t, "an attempt has failed", func() bool {
		return strings.Contains(string(s.admin(t, http.MethodGet, "/"+id, "").Body), `"attempts":1`)
	})
}

// logged waits until the server has written all of the texts in one line.
func (s *stage) logged(t *testing.T, texts ...string) {
	t.Helper()
	harness.Eventually(t, "the log has "+strings.Join(texts, " and "), func() bool {
		logs, _ := filepath.Glob(s.Path("log-*"))
		for _, path := range logs {
			content, _ := os.ReadFile(path)
			for line := range strings.Lines(string(content)) {
				if hasAll(line, texts) {
					return true
				}
			}
		}
		return false
	})
}

func hasAll(line string, texts []string) bool {
	for _, text := range texts {
		if !strings.Contains(line, text) {
			return false
		}
	}
	return true
}

// failing returns a handler that answers with that status until it is told to work.
func failing(status int, works *atomic.Bool, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if works.Load() {
			harness.Ack(http.StatusOK, nil, body)(w, r)
			return
		}
		w.WriteHeader(status)
	}
}

func TestDeferDoesTheRequestInTheBackground(t *testing.T) {
	t.Parallel()
	s := startDeferring(t, "")
	path := s.path()
	s.partner.Handle(path, harness.Ack(http.StatusCreated, http.Header{"Content-Type": {"application/json"}, "X-Made": {"yes"}}, `{"id":9}`))
	req := harness.NewRequest(t, http.MethodPost, harness.HTTP1.URL(path+"?q=1"), "application/json", `{"a":1}`)
	req.Header.Set("X-Mine", "here")
	p := s.wantParked(t, s.public(t, req))
	received := s.partner.Received(t, path)
	if received.Method != http.MethodPost || received.URI != path+"?q=1" || string(received.Body) != `{"a":1}` {
		t.Errorf("the app got %s %s %s", received.Method, received.URI, received.Body)
	}
	wantHeader(t, received.Header, "X-Mine", "here")
	wantHeader(t, received.Header, callbackHeader)
	if st := s.ends(t, p.StatusURL); st.Phase != "resolved" {
		t.Errorf("the status is %+v", st)
	}
	result := s.fetch(t, p.ResultURL)
	wantAnswer(t, result, http.StatusCreated, `{"id":9}`)
	wantHeader(t, result.Header, "Content-Type", "application/json")
	wantHeader(t, result.Header, "X-Made", "yes")
	wantHeader(t, result.Header, statusHeader, "Ok")
	wantHeader(t, result.Header, correlationHeader, received.Header.Get(correlationHeader))
}

func TestDeferredRequestFailsWithTheStatusOfTheApp(t *testing.T) {
	t.Parallel()
	s := startDeferring(t, "")
	path := s.path()
	s.partner.Handle(path, harness.Ack(http.StatusNotFound, nil, "no such order"))
	p := s.wantParked(t, s.public(t, harness.NewRequest(t, http.MethodGet, harness.HTTP1.URL(path), "", "")))
	if st := s.ends(t, p.StatusURL); st.Phase != "failed" || st.ErrorCode != "404" {
		t.Errorf("the status is %+v", st)
	}
	result := s.fetch(t, p.ResultURL)
	wantAnswer(t, result, http.StatusNotFound, "no such order")
	wantHeader(t, result.Header, statusHeader, "Failed")
	wantHeader(t, result.Header, "X-Link-Error-Code", "404")
}

func TestDeferredRequestIsTriedAgainUntilTheAppIsBack(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.Start(t, harness.Config{Private: s.deferred("orders", "")})
	for name, test := range map[string]struct {
		method string
		status int
	}{
		"502 of a GET":   {http.MethodGet, http.StatusBadGateway},
		"502 of a QUERY": {"QUERY", http.StatusBadGateway},
		"503 of a POST":  {http.MethodPost, http.StatusServiceUnavailable},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path, works := s.path(), new(atomic.Bool)
			s.partner.Handle(path, failing(test.status, works, "at last"))
			p := s.wantParked(t, s.public(t, harness.NewRequest(t, test.method, harness.HTTP1.URL(path), "", "")))
			first := s.partner.Received(t, path)
			works.Store(true)
			second := s.partner.Received(t, path)
			if key := first.Header.Get(idempotencyKey); key == "" || key != second.Header.Get(idempotencyKey) {
				t.Errorf("the keys are %q and %q", key, second.Header.Get(idempotencyKey))
			}
			s.ends(t, p.StatusURL)
			wantAnswer(t, s.fetch(t, p.ResultURL), http.StatusOK, "at last")
		})
	}
}

func TestDeferredRequestWaitsForAnAppThatIsDown(t *testing.T) {
	t.Parallel()
	c := harness.New(t)
	s := &stage{Caddy: c}
	s.Start(t, harness.Config{Private: s.deferred("orders", "")})
	p := s.wantParked(t, s.public(t, harness.NewRequest(t, http.MethodPost, harness.HTTP1.URL("/late"), "text/plain", "order")))
	s.attempted(t, p.ID)
	s.partner = harness.NewPartner(t, c)
	s.partner.Handle("/late", harness.Ack(http.StatusOK, nil, "up again"))
	if received := s.partner.Received(t, "/late"); string(received.Body) != "order" {
		t.Errorf("the app got %s", received.Body)
	}
	s.ends(t, p.StatusURL)
	wantAnswer(t, s.fetch(t, p.ResultURL), http.StatusOK, "up again")
}

func TestDeferredPostThatMayHaveBeenDoneIsNotDoneAgain(t *testing.T) {
	t.Parallel()
	s := startDeferring(t, "")
	path := s.path()
	s.partner.Handle(path, harness.Ack(http.StatusBadGateway, nil, ""))
	p := s.wantParked(t, s.public(t, harness.NewRequest(t, http.MethodPost, harness.HTTP1.URL(path), "text/plain", "x")))
	if st := s.ends(t, p.StatusURL); st.Phase != "failed" || st.ErrorCode != "upstream-unknown" {
		t.Errorf("the status is %+v", st)
	}
}

func TestDeferredRequestOutlastsACrash(t *testing.T) {
	t.Parallel()
	s := startDeferring(t, "")
	path, works := s.path(), new(atomic.Bool)
	s.partner.Handle(path, failing(http.StatusServiceUnavailable, works, "done after the crash"))
	p := s.wantParked(t, s.public(t, harness.NewRequest(t, http.MethodPost, harness.HTTP1.URL(path), "text/plain", "x")))
	s.partner.Received(t, path)
	s.attempted(t, p.ID)
	s.Kill(t)
	works.Store(true)
	s.Start(t, harness.Config{Private: s.deferred("orders", "")})
	s.ends(t, p.StatusURL)
	wantAnswer(t, s.fetch(t, p.ResultURL), http.StatusOK, "done after the crash")
}

func TestWorkThatWasUnderWayWhenTheServerEndedIsDoneAgain(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(s *stage, t *testing.T){
		"crash": func(s *stage, t *testing.T) { s.Kill(t) },
		"exit": func(s *stage, t *testing.T) {
			s.Terminate(t)
			s.Exited(t, exitWithin)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStage(t)
			cfg := harness.Config{Private: s.deferred("orders", "")}
			s.Start(t, cfg)
			path, hangs := s.path(), new(atomic.Bool)
			hangs.Store(true)
			s.partner.Handle(path, func(w http.ResponseWriter, r *http.Request) {
				if hangs.Load() {
					<-r.Context().Done()
					return
				}
				_, _ = w.Write([]byte("done"))
			})
			p := s.wantParked(t, s.public(t, harness.NewRequest(t, http.MethodPost, harness.HTTP1.URL(path), "text/plain", "order")))
			first := s.partner.Received(t, path)
			end(s, t)
			hangs.Store(false)
			s.Start(t, cfg)
			second := s.partner.Received(t, path)
			if string(first.Body) != "order" || string(second.Body) != "order" {
				t.Errorf("the app got %s and %s", first.Body, second.Body)
			}
			if key := first.Header.Get(idempotencyKey); key == "" || key != second.Header.Get(idempotencyKey) {
				t.Errorf("the keys are %q and %q", key, second.Header.Get(idempotencyKey))
			}
			if st := s.ends(t, p.StatusURL); st.Phase != "resolved" {
				t.Errorf("the status is %+v", st)
			}
			wantAnswer(t, s.fetch(t, p.ResultURL), http.StatusOK, "done")
		})
	}
}

func TestDeferredRequestFailsWhenItsRouteIsGone(t *testing.T) {
	t.Parallel()
	s := startDeferring(t, "")
	path := s.path()
	s.partner.Handle(path, harness.Ack(http.StatusServiceUnavailable, nil, ""))
	p := s.wantParked(t, s.public(t, harness.NewRequest(t, http.MethodPost, harness.HTTP1.URL(path), "text/plain", "x")))
	s.partner.Received(t, path)
	s.MustReload(t, harness.Config{Private: s.deferred("others", "")})
	if st := s.ends(t, p.StatusURL); st.Phase != "failed" || st.ErrorCode != "route-gone" {
		t.Errorf("the status is %+v", st)
	}
	s.logged(t, "route is gone", `"name":"orders"`, p.ID)
	if r := wantProblem(t, s.fetch(t, p.ResultURL), http.StatusFailedDependency, "failed"); r.ErrorCode != "route-gone" {
		t.Errorf("errorCode is %q", r.ErrorCode)
	}
}
