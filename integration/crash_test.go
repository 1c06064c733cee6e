package integration

import (
	"math/rand/v2"
	"os"
	"strconv"
	"sync/atomic"
	"testing"
	"time"
)

// crashRounds is how often the server is killed. CALLBACK_CRASH_ROUNDS asks for more.
const crashRounds = 8

// fromEnvironment returns the number that a variable has, or another one.
func fromEnvironment(t *testing.T, name string, otherwise uint64) uint64 {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return otherwise
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return n
}

func TestNothingAcknowledgedIsLostInCrashes(t *testing.T) {
	t.Parallel()
	seed := fromEnvironment(t, "CALLBACK_CRASH_SEED", rand.Uint64())
	rounds := fromEnvironment(t, "CALLBACK_CRASH_ROUNDS", crashRounds)
	t.Logf("CALLBACK_CRASH_SEED=%d CALLBACK_CRASH_ROUNDS=%d", seed, rounds)
	random := rand.New(rand.NewPCG(seed, seed))
	l := newLoad(t)
	stop, number := make(chan struct{}), new(atomic.Int64)
	l.begin(func() { l.run(rand.New(rand.NewPCG(seed, 1)), number, stop) })
	for range rounds {
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
	l.figures("%d times kill -9", rounds)
}
