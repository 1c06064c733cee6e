package harness

import (
	"testing"
	"time"
)

// Patience is how long anything may take before a test gives up on it. It is
// far longer than anything should take.
const Patience = 30 * TimeFactor * time.Second

// pollEvery is how often Eventually checks its condition.
const pollEvery = 5 * time.Millisecond

// Eventually waits until cond is true and fails the test if that never happens.
func Eventually(tb testing.TB, what string, cond func() bool) {
	tb.Helper()
	Within(tb, Patience, what, cond)
}

// Within is Eventually with another patience.
func Within(tb testing.TB, patience time.Duration, what string, cond func() bool) {
	tb.Helper()
	if !poll(patience, cond) {
		tb.Fatalf("waited %v in vain: %s", patience, what)
	}
}

// Receive waits for a value and fails the test if none comes.
func Receive[T any](tb testing.TB, what string, from <-chan T) T {
	tb.Helper()
	timeout := time.NewTimer(Patience)
	defer timeout.Stop()
	select {
	case v := <-from:
		return v
	case <-timeout.C:
		tb.Fatalf("waited %v in vain: %s", Patience, what)
		panic("unreachable")
	}
}

// Until waits for a moment on the clock.
func Until(moment time.Time) {
	<-time.After(time.Until(moment))
}

// poll checks cond until it is true or the time is over.
func poll(atMost time.Duration, cond func() bool) bool {
	ticker := time.NewTicker(pollEvery)
	defer ticker.Stop()
	for deadline := time.Now().Add(atMost); time.Now().Before(deadline); <-ticker.C {
		if cond() {
			return true
		}
	}
	return cond()
}
