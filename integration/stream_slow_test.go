package integration

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/caddy-callback/caddy-callback/integration/harness"
)

// stalledWithin is how long a client may take to take a piece of its stream, and how long it
// then takes until it is known that it does not.
const stalledWithin = 10*time.Second + harness.TimeFactor*5*time.Second

// standsStill lets a client read nothing of its stream, and makes calls until Caddy can write
// no more to it.
func (s *stage) standsStill(t *testing.T, p harness.Protocol) *exchange {
	t.Helper()
	req := askingEvents(t, p, s.path())
	resp, err := s.Client(t, p).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = resp.Body.Close() })
	x := &exchange{stage: s, received: s.partner.Received(t, req.URL.Path)}
	x.url = x.received.Header.Get(callbackHeader)
	large := strings.Repeat("0123456789abcde\n", 3<<16)
	for range 8 {
		begin := time.Now()
		x.progress(t, large)
		if took := time.Since(begin); took > harness.TimeFactor*3*time.Second {
			t.Errorf("%s: a call took %v", p, took)
		}
		// Let the stream get as far as it can.
		harness.Until(begin.Add(100 * time.Millisecond))
	}
	return x
}

// writing returns how many streams are being written to.
func (s *stage) writing(t *testing.T) int {
	t.Helper()
	return s.GoroutinesIn(t, "answer.(*Stream).send")
}

func TestClientThatStandsStillHoldsNobodyUpAndIsCutOff(t *testing.T) {
	t.Parallel()
	s := start(t, harness.Config{TLS: true, Hold: withProgress, Callback: "max_memory 32MiB\nmax_body_size 4MiB"})
	var all []*exchange
	for _, p := range harness.Protocols {
		all = append(all, s.standsStill(t, p))
	}
	if n := s.writing(t); n < len(all) {
		t.Fatalf("%d streams stand still, want %d", n, len(all))
	}
	// What is held for them leaves memory to others.
	x := s.get(t)
	large := strings.Repeat("y", 4*mib)
	wantStatus(t, x.call(t, "text/plain", large), http.StatusOK)
	wantAnswer(t, x.Answer(t), http.StatusOK, large)
	harness.Within(t, stalledWithin, "their streams end", func() bool { return s.writing(t) == 0 })
	s.Idle(t)
	for _, x := range all {
		x.resolve(t, "the callback waits on")
	}
}

func TestClientThatStandsStillDoesNotHoldTheExitUp(t *testing.T) {
	t.Parallel()
	// Caddy itself waits until the connection over HTTP/3 of such a client has ended.
	for _, p := range []harness.Protocol{harness.HTTP1, harness.H2C, harness.H2} {
		t.Run(string(p), func(t *testing.T) {
			t.Parallel()
			s := start(t, harness.Config{TLS: true, Hold: withProgress})
			x := s.standsStill(t, p)
			if s.writing(t) == 0 {
				t.Fatal("the stream does not stand still")
			}
			s.Terminate(t)
			s.Exited(t, exitWithin)
			s.Start(t, harness.Config{Hold: withProgress})
			x.resolve(t, "the callback waits on")
		})
	}
}
