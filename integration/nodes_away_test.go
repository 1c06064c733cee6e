package integration

import (
	"math/rand/v2"
	"net/http"
	"testing"
	"time"

	"github.com/caddy-callback/caddy-callback/integration/harness"
	"github.com/caddy-callback/caddy-callback/module/store/postgres/postgrestest"
)

// awayFor is how long a node is away that the others give up.
const awayFor = 15 * time.Second

// refusedWithin is how long it takes at most until work that cannot be stored is refused, and
// callsWithin the same for calls.
const (
	refusedWithin = 3 * time.Second * harness.TimeFactor
	callsWithin   = 6 * time.Second * harness.TimeFactor
)

// A node that is away for longer than the others wait for it is given up, whatever it was doing.
// When it is back, what it did meanwhile does not count, its clients get their answers, and it
// goes on as another node.
func TestNodeThatWasAwayComesBackAsAnother(t *testing.T) {
	t.Parallel()
	t.Run("paused", func(t *testing.T) {
		t.Parallel()
		url, schema := postgrestest.New(t)
		w := newWork(t, inPostgres(url, schema), inPostgres(url, schema))
		w.goesAndComesBack(t, func() { w.a.Freeze(t) }, func() {
			w.a.Thaw(t)
			w.releaseAll()
		}, func() {})
	})
	for name, cut := range map[string]func(*postgrestest.Proxy){
		"cut off": (*postgrestest.Proxy).Cut, "cut off in silence": (*postgrestest.Proxy).Swallow,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			url, schema := postgrestest.New(t)
			p := postgrestest.Shared(t).NewProxy(t)
			w := newWork(t, inPostgres(p.URL(), schema), inPostgres(url, schema))
			w.goesAndComesBack(t, func() {
				cut(p)
				w.releaseAll()
			}, p.Mend, func() { w.a.refusesAll(t) })
		})
	}
}

// goesAndComesBack has a go away, and come back when b has done its work.
func (w *work) goesAndComesBack(t *testing.T, goes, comesBack, meanwhile func()) {
	t.Helper()
	client := w.a.held(t, "/held/1")
	gone := time.Now()
	goes()
	meanwhile()
	job, delivery := w.takenOver(t)
	t.Logf("figures: given up, a job was taken over after %.1f s, a delivery after %.1f s", job.Sub(gone).Seconds(), delivery.Sub(gone).Seconds())
	wantStatus(t, w.b.callURL(t, http.MethodPost, client.url, "the answer", "Content-Type", "text/plain"), http.StatusOK)
	w.ends(t)
	harness.Until(gone.Add(awayFor))
	comesBack()
	wantAnswer(t, client.Answer(t), http.StatusOK, "the answer")
	w.a.logged(t, "it has joined them again")
	harness.Eventually(t, "it works again", func() bool {
		return w.a.public(t, harness.NewRequest(t, http.MethodGet, w.parkedJob.StatusURL, "", "")).Status == http.StatusOK
	})
	w.a.held(t, "/held/2").stillWaits(t)
	// Whoever believes that the work is still to be done begins within a second.
	harness.Until(time.Now().Add(3 * time.Second))
	w.stays(t)
}

// refusesAll checks that a node that cannot store anything refuses both requests and calls, soon,
// and says when to come again.
func (s *stage) refusesAll(t *testing.T) {
	t.Helper()
	s.refusesSoon(t, refusedWithin, harness.NewRequest(t, http.MethodPost, harness.HTTP1.URL("/held/refused"), "text/plain", "x"))
	s.refusesSoon(t, callsWithin, harness.NewRequest(t, http.MethodPost, harness.BaseURL+"/cb/00000000-0000-4000-8000-000000000000", "text/plain", "x"))
}

// refusesSoon sends a request, which must be refused within that time, and returns how long it
// took.
func (s *stage) refusesSoon(t *testing.T, within time.Duration, req *http.Request) (took time.Duration) {
	t.Helper()
	began := time.Now()
	got := s.public(t, req)
	took = time.Since(began)
	wantProblem(t, got, http.StatusServiceUnavailable, "store-unavailable")
	if got.Header.Get("Retry-After") == "" {
		t.Error("there is no Retry-After")
	}
	if took > within {
		t.Errorf("%s was refused only after %v", req.URL, took)
	}
	return took
}

// Nodes are paused under load, in the middle of whatever they do.
func TestNodesThatArePausedLoseNothing(t *testing.T) {
	t.Parallel()
	random, from := chance(t)
	url, schema := postgrestest.New(t)
	l := newNodesLoad(t, 3)
	l.pause = 20 * time.Millisecond
	cfg := l.config()
	cfg.StoreLine = inPostgres(url, schema)
	stop := l.startAll(t, cfg, rand.New(rand.NewPCG(from, 1)))
	for n := range *nodePauses {
		node := l.nodes[n%3]
		<-time.After(time.Second + time.Duration(random.IntN(int(time.Second))))
		node.Freeze(t)
		<-time.After(awayFor)
		node.Thaw(t)
		node.logged(t, "it has joined them again")
	}
	close(stop)
	l.finish(t)
	l.figures("%d times one of three nodes paused for %v", *nodePauses, awayFor)
}
