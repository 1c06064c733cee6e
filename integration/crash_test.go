package integration

import (
	"cmp"
	"flag"
	"math/rand/v2"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddy-callback/caddy-callback/integration/harness"
)

// A long run kills 1,000 times.
var (
	crashes = flag.Int("crashes", 50/harness.TimeFactor, "how often TestNothingAcknowledgedIsLostInCrashes kills the server")
	seed    = flag.Uint64("seed", 0, "where the random numbers of crashes and power cuts come from; 0 for another place each time")
)

// chance returns random numbers whose seed the log of the test names.
func chance(t *testing.T) (random *rand.Rand, from uint64) {
	t.Helper()
	from = cmp.Or(*seed, rand.Uint64())
	t.Logf("-seed %d", from)
	return rand.New(rand.NewPCG(from, from)), from
}

func TestNothingAcknowledgedIsLostInCrashes(t *testing.T) {
	t.Parallel()
	random, from := chance(t)
	l := newLoad(t)
	stop, number := make(chan struct{}), new(atomic.Int64)
	l.begin(func() { l.run(rand.New(rand.NewPCG(from, 1)), number, stop) })
	for range *crashes {
		l.Start(t, l.config())
		l.power.set(true)
		<-time.After(time.Duration(random.IntN(int(700 * time.Millisecond))))
		l.power.set(false)
		l.Kill(t)
	}
	close(stop)
	l.Start(t, l.config())
	l.power.set(true)
	l.finish(t)
	l.figures("%d times kill -9", *crashes)
}
