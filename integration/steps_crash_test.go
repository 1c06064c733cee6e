package integration

import (
	"net/http"
	"sync"
	"testing"

	"github.com/caddy-callback/caddy-callback/integration/harness"
)

// crash kills the server and starts it again.
func (s *stage) crash(t *testing.T, cfg harness.Config) {
	t.Helper()
	s.Kill(t)
	s.Start(t, cfg)
}

// hang makes the partner take the first request for a path and not answer it, until
// the returned function is called; others are answered with answer.
func (s *stage) hang(path string, answer http.HandlerFunc) (release func()) {
	gate := make(chan struct{})
	var first sync.Once
	s.partner.Handle(path, func(w http.ResponseWriter, r *http.Request) {
		first.Do(func() { <-gate })
		answer(w, r)
	})
	return sync.OnceFunc(func() { close(gate) })
}

// The server is killed between each two steps of a chain: the request goes on to its
// result as if nothing had happened.
func TestChainOutlastsACrashBetweenAnyTwoSteps(t *testing.T) {
	t.Parallel()
	const all = 6
	for point := range all {
		t.Run([]string{
			"after the 202", "while the first side call is made", "after the first ack", "after the first callback",
			"after the second ack", "after the second callback",
		}[point], func(t *testing.T) {
			t.Parallel()
			s := newStage(t)
			cfg := harness.Config{Private: s.chain()}
			s.Start(t, cfg)
			path := s.path()
			s.partner.Handle(path, harness.Ack(http.StatusOK, nil, appsAnswer))
			release := func() {}
			if point < 2 {
				release = s.hang("/one"+path, harness.Ack(http.StatusAccepted, nil, ""))
			}
			defer release()
			crash := func(at int) {
				if at == point {
					s.crash(t, cfg)
				}
			}
			j := s.travel(t, "park", path)
			crash(0)
			j.arrives(t, "/one")
			if point == 1 {
				crash(1)
				release()
				j.arrives(t, "/one")
			}
			release()
			first := j.url
			crash(2)
			j.resolve(t, "one is done")
			crash(3)
			j.arrives(t, "/two")
			if j.url == first {
				t.Error("both steps have one callback")
			}
			crash(4)
			j.resolve(t, "two is done")
			crash(5)
			got := s.partner.Received(t, path)
			if string(got.Body) != "two is done" {
				t.Errorf("the app got %s", got.Body)
			}
			wantHeader(t, got.Header, "X-Outer", "one is done")
			wantAnswer(t, j.result(t), http.StatusOK, appsAnswer)
		})
	}
}

func TestThenIsRunAgainAfterACrashUnderTheSameKey(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	cfg := harness.Config{Private: step("park", "", s.side("/side"), s.toPartner())}
	s.Start(t, cfg)
	path := s.path()
	release := s.hang(path, harness.Ack(http.StatusOK, nil, appsAnswer))
	defer release()
	j := s.travel(t, "park", path)
	j.arrives(t, "/side")
	j.resolve(t, "go on")
	before := s.partner.Received(t, path)
	s.crash(t, cfg)
	release()
	after := s.partner.Received(t, path)
	key := before.Header.Get("Idempotency-Key")
	if key == "" || after.Header.Get("Idempotency-Key") != key || string(after.Body) != "go on" {
		t.Errorf("before the crash the app got the key %q, after it %q with %s", key, after.Header.Get("Idempotency-Key"), after.Body)
	}
	wantAnswer(t, j.result(t), http.StatusOK, appsAnswer)
	if n := s.partner.Arrived("/side" + path); n != 0 {
		t.Errorf("the side call was made %d times more", n)
	}
}

// A held request ends with its server, and its callback with it: the request cannot go on.
func TestCallbackOfAStepEndsWithTheCrashThatEndedItsHold(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	cfg := harness.Config{Private: step("hold", "", s.side("/side"), s.toPartner())}
	s.Start(t, cfg)
	j := s.setOut(t, "hold")
	j.arrives(t, "/side")
	s.committed(t, 1)
	s.crash(t, cfg)
	if answer, err := j.Outcome(); err == nil {
		t.Errorf("the client got %d", answer.Status)
	}
	wantProblem(t, j.call(t, "text/plain", "nobody waits"), http.StatusGone, "closed")
	j.notDone(t)
}

// The client of a request with a key can come back: until then a call is not used up.
func TestStepWithAKeyGoesOnWhenItsClientComesBackAfterACrash(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	cfg := harness.Config{Private: step("hold", "", s.side("/side"), s.toPartner())}
	s.Start(t, cfg)
	path := s.path()
	s.partner.Handle(path, harness.Ack(http.StatusOK, nil, appsAnswer))
	s.again(t, withKey(t, path, "k-1", "order"))
	first := s.partner.Received(t, "/side"+path)
	s.Acknowledged(t)
	s.crash(t, cfg)
	url := first.Header.Get(callbackHeader)
	early := s.partner.Call(t, http.MethodPost, url, "text/plain", "checked")
	wantProblem(t, early, http.StatusServiceUnavailable, "nobody-waits")
	wantHeader(t, early.Header, "Retry-After", "5")
	if n := s.partner.Arrived(path); n != 0 {
		t.Fatal("the app was asked for nobody")
	}
	back := s.again(t, withKey(t, path, "k-1", "order"))
	var status int
	harness.Eventually(t, "the client is back", func() bool {
		status = s.partner.Call(t, http.MethodPost, url, "text/plain", "checked").Status
		return status != http.StatusServiceUnavailable
	})
	if status != http.StatusOK {
		t.Errorf("the call got %d", status)
	}
	wantAnswer(t, back.Answer(t), http.StatusOK, appsAnswer)
	if got := s.partner.Received(t, path); string(got.Body) != "checked" {
		t.Errorf("the app got %s", got.Body)
	}
}
