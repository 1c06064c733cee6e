package integration

import (
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddy-callback/caddy-callback/integration/harness"
)

// A long run holds 18,000 over HTTP/1.1 and 50,000 over HTTP/2, for ten minutes each.
var (
	many     = flag.Int("many", 400, "requests that TestManyAreHeldAllTheTime holds over HTTP/1.1")
	manyH2C  = flag.Int("many-h2c", 1200, "requests that TestManyAreHeldAllTheTime holds over HTTP/2")
	manyLast = flag.Duration("many-last", 4*time.Second, "how long TestManyAreHeldAllTheTime holds as many")
)

// streams is how many requests share a client: a connection over HTTP/2 carries no
// more than 250, and others would wait for their turn.
const streams = 200

// hall is clients whose requests are held all the time, each for a random time, and
// the partner that calls back for them.
type hall struct {
	t        *testing.T
	protocol harness.Protocol
	callers  *http.Client
	// door limits the requests that are on their way in, and turn the calls under
	// way.
	door, turn chan struct{}
	// longest is how long a request is held at most.
	longest time.Duration
	// closing is closed when no more requests are to be made, and all that are held
	// are to be answered.
	closing chan struct{}
	calls   sync.WaitGroup
	inside  atomic.Int64
	visits  atomic.Int64
	faults  chan error
}

func newHall(t *testing.T, s *stage, p harness.Protocol, longest time.Duration) *hall {
	t.Helper()
	h := &hall{
		t: t, protocol: p, callers: s.Client(t, harness.HTTP1), door: make(chan struct{}, 256), turn: make(chan struct{}, 64), longest: longest,
		closing: make(chan struct{}), faults: make(chan error, 100),
	}
	s.partner.HandleEvery(h.acknowledge)
	return h
}

// acknowledge is the partner, which acknowledges a request and calls back later.
func (h *hall) acknowledge(w http.ResponseWriter, r *http.Request) {
	asked, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	url := r.Header.Get(callbackHeader)
	w.WriteHeader(http.StatusAccepted)
	<-h.door
	h.inside.Add(1)
	h.calls.Go(func() {
		select {
		case <-time.After(rand.N(h.longest)):
		case <-h.closing:
		}
		h.turn <- struct{}{}
		defer func() { <-h.turn }()
		h.inside.Add(-1)
		reply, err := harness.Send(h.callers, harness.NewRequest(h.t, http.MethodPost, url, "text/plain", "answer to "+string(asked))).Outcome()
		if err != nil || reply.Status != http.StatusOK {
			h.fault("the call for %s: %+v, %v", asked, reply, err)
		}
	})
}

// visit sends one request after the other until the hall closes.
func (h *hall) visit(client *http.Client, name int) {
	for i := 0; ; i++ {
		select {
		case <-h.closing:
			return
		default:
		}
		asked := fmt.Sprintf("request %d of %d", i, name)
		h.door <- struct{}{}
		got, err := harness.Send(client, harness.NewRequest(h.t, http.MethodPost, h.protocol.URL("/"), "text/plain", asked)).Outcome()
		if err != nil || got.Status != http.StatusOK || string(got.Body) != "answer to "+asked {
			h.fault("%s: %+v, %v", asked, got, err)
			return
		}
		h.visits.Add(1)
	}
}

func (h *hall) fault(format string, args ...any) {
	select {
	case h.faults <- fmt.Errorf(format, args...):
	default:
	}
}

func TestManyAreHeldAllTheTime(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		protocol harness.Protocol
		n        int
	}{{harness.HTTP1, *many}, {harness.H2C, *manyH2C}} {
		if c.n == 0 {
			continue
		}
		t.Run(string(c.protocol), func(t *testing.T) {
			t.Parallel()
			s := start(t, harness.Config{Timeout: "1h", Callback: "max_held 100000\nretain 10s"})
			before := s.Memory(t)
			h := newHall(t, s, c.protocol, *manyLast/2)
			var visitors sync.WaitGroup
			var client *http.Client
			for i := range c.n {
				if i%streams == 0 {
					client = s.PatientClient(t, c.protocol)
					t.Cleanup(client.CloseIdleConnections)
				}
				shared := client
				visitors.Go(func() { h.visit(shared, i) })
			}
			harness.Within(t, 2**manyLast+harness.Patience, "all are held", func() bool { return h.inside.Load() > int64(c.n)*9/10 })
			memory := s.measure(t, *manyLast)
			held := h.inside.Load()
			close(h.closing)
			visitors.Wait()
			h.calls.Wait()
			close(h.faults)
			for err := range h.faults {
				t.Error(err)
			}
			early, late := median(memory[5:10]), median(memory[15:])
			if late > early+early/10+48<<20*harness.MemoryFactor {
				t.Errorf("memory grows: %d MiB in the second quarter, %d MiB in the last", early>>20, late>>20)
			}
			t.Logf("figures: %d held over %s for %v: %d requests, all answered with what their partner said; %d MiB in the second quarter, %d MiB in the last, %d KiB for each held request",
				held, c.protocol, *manyLast, h.visits.Load(), early>>20, late>>20, (late-before)/held>>10)
		})
	}
}

// measure reads the server's memory twenty times, spread over that time.
func (s *stage) measure(t *testing.T, while time.Duration) (memory []int64) {
	t.Helper()
	every := time.NewTicker(while / 20)
	defer every.Stop()
	for range 20 {
		<-every.C
		memory = append(memory, s.Memory(t))
	}
	return memory
}

func median(values []int64) int64 {
	values = slices.Sorted(slices.Values(values))
	return values[len(values)/2]
}
