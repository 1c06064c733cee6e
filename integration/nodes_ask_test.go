package integration

import (
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/caddy-callback/caddy-callback/integration/harness"
)

// app counts who asks it at the same time.
type app struct {
	mu             sync.Mutex
	asks, now, max int
	// pause is how long it takes to answer.
	pause time.Duration
}

func (a *app) decide(w http.ResponseWriter, _ *http.Request) {
	a.mu.Lock()
	a.asks++
	a.now++
	a.max = max(a.max, a.now)
	a.mu.Unlock()
	<-time.After(a.pause)
	a.mu.Lock()
	a.now--
	a.mu.Unlock()
	w.Header().Set("Content-Type", jsonType)
	_, _ = w.Write([]byte(`{"responseBody":"decided"}`))
}

func TestAppIsAskedAboutOneCallAtATimeByAllNodes(t *testing.T) {
	t.Parallel()
	nodes := startNodesWith(t, 3, func(node *stage) harness.Config {
		return harness.Config{Public: askRoute(node), Hold: "ask /decide"}
	})
	a := nodes[0]
	for range 3 {
		asked := &app{pause: 200 * time.Millisecond}
		a.partner.Handle("/decide", asked.decide)
		x := a.post(t, "text/plain", "an order")
		var calls []*harness.Pending
		for _, node := range nodes {
			req := harness.NewRequest(t, http.MethodPost, x.url, "text/plain", "call at "+node.Path())
			calls = append(calls, harness.Send(node.Client(t, harness.HTTP1), req))
		}
		taken := ""
		for i, call := range calls {
			switch got := call.Answer(t); {
			case got.Status == http.StatusOK && string(got.Body) == "decided" && taken == "":
				taken = "call at " + nodes[i].Path()
			case got.Status != http.StatusConflict:
				t.Errorf("a call got %d %s", got.Status, short(got.Body))
			}
		}
		wantAnswer(t, x.Answer(t), http.StatusOK, taken)
		// Who comes next knows by then that another call was taken.
		if asked.max != 1 || asked.asks != 1 {
			t.Errorf("the app was asked %d times, by %d at once", asked.asks, asked.max)
		}
	}
}

// What the app refuses leaves the turn to the call at another node.
func TestCallAtAnotherNodeIsAskedAboutAfterOneThatTheAppRefuses(t *testing.T) {
	t.Parallel()
	nodes := startNodesWith(t, 2, func(node *stage) harness.Config {
		return harness.Config{Public: askRoute(node), Hold: "ask /decide"}
	})
	a, b := nodes[0], nodes[1]
	x := a.post(t, "text/plain", "an order")
	arrived, release := make(chan struct{}), make(chan struct{})
	var first sync.Once
	a.partner.Handle("/decide", func(w http.ResponseWriter, r *http.Request) {
		refused := false
		first.Do(func() {
			close(arrived)
			<-release
			refused = true
		})
		if refused {
			w.WriteHeader(http.StatusForbidden)
		}
	})
	refused := harness.Send(a.Client(t, harness.HTTP1), harness.NewRequest(t, http.MethodPost, x.url, "text/plain", "refused"))
	harness.Receive(t, "the app is asked", arrived)
	next := harness.Send(b.Client(t, harness.HTTP1), harness.NewRequest(t, http.MethodPost, x.url, "text/plain", "taken"))
	harness.Eventually(t, "the other call waits for its turn", func() bool { return b.GoroutinesIn(t, "engine.(*Engine).turnToAsk") == 1 })
	close(release)
	wantProblem(t, refused.Answer(t), http.StatusForbidden, "refused")
	wantStatus(t, next.Answer(t), http.StatusOK)
	wantAnswer(t, x.Answer(t), http.StatusOK, "taken")
	if n := a.partner.Arrived("/decide"); n != 2 {
		t.Errorf("the app was asked %d times", n)
	}
}
