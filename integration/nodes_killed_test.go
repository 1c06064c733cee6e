package integration

import (
	"flag"
	"math/rand/v2"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddy-callback/caddy-callback/integration/harness"
	"github.com/caddy-callback/caddy-callback/module/store/postgres/postgrestest"
)

// A long run kills 1,000 times, and pauses 20 times.
var (
	nodeKills  = flag.Int("node-kills", 20/harness.TimeFactor, "how often TestNodesThatAreKilledLoseNothing kills one of three nodes")
	nodePauses = flag.Int("node-pauses", 2, "how often TestNodesThatArePausedLoseNothing pauses one of three nodes")
)

// takenOverWithin is how long the work of a node that was killed is left at the most.
const takenOverWithin = 12 * time.Second

// startAll starts all nodes of a load on a schema, and the load, which goes on until stop is
// closed.
func (l *load) startAll(t *testing.T, cfg harness.Config, random *rand.Rand) (stop chan struct{}) {
	t.Helper()
	for _, node := range l.nodes {
		node.Start(t, cfg)
	}
	stop = make(chan struct{})
	l.begin(func() { l.run(random, new(atomic.Int64), stop) })
	l.power.set(true)
	return stop
}

// Three nodes are killed one at a time and started again. Two of them at least run at any time,
// one of those for long enough to give up the ones that were killed.
func TestNodesThatAreKilledLoseNothing(t *testing.T) {
	t.Parallel()
	random, from := chance(t)
	url, schema := postgrestest.New(t)
	l := newNodesLoad(t, 3)
	cfg := l.config()
	cfg.StoreLine = inPostgres(url, schema)
	stop := l.startAll(t, cfg, rand.New(rand.NewPCG(from, 1)))
	began := time.Now()
	for range *nodeKills {
		<-time.After(time.Duration(random.IntN(int(700 * time.Millisecond))))
		spared := int(time.Since(began) / (20 * time.Second))
		l.nodes[(spared+1+random.IntN(2))%3].crash(t, cfg)
	}
	close(stop)
	l.finish(t)
	l.figures("%d times kill -9 of one of three nodes", *nodeKills)
}

func TestWorkOfANodeThatIsKilledIsTakenOverInTime(t *testing.T) {
	t.Parallel()
	url, schema := postgrestest.New(t)
	w := newWork(t, inPostgres(url, schema), inPostgres(url, schema))
	killed := time.Now()
	w.a.Kill(t)
	job, delivery := w.takenOver(t)
	for what, at := range map[string]time.Time{"job": job, "delivery": delivery} {
		if after := at.Sub(killed); after > takenOverWithin*harness.TimeFactor {
			t.Errorf("the %s was taken over %v after its node was killed", what, after)
		}
	}
	w.ends(t)
	if !t.Failed() {
		t.Logf("figures: work of a node that was killed was taken over: a job after %.1f s, a delivery after %.1f s", job.Sub(killed).Seconds(), delivery.Sub(killed).Seconds())
	}
}
