package integration

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/caddy-callback/caddy-callback/integration/harness"
)

// points are the moments at which the server's promises change.
var points = []string{
	// The request is known, and not stored; it is stored, and nobody was told.
	"create.before-commit", "create.after-commit",
	// A job is about to be attempted; its upstream has answered; the outcome is about
	// to be stored; it is stored, and nobody was told.
	"attempt.begun", "attempt.done", "job.before-commit", "job.after-commit",
	// The body of a call is stored, and nothing is decided; the app that is asked has
	// answered; the call is decided, and not stored; it is stored, and neither client nor
	// partner was told.
	"body.stored", "ask.answered", "call.before-commit", "call.after-commit",
	// A result is about to be sent; it has arrived; that is about to be stored; it is
	// stored.
	"send.begun", "send.done", "delivery.before-commit", "delivery.after-commit",
	// The callback that waits for a step is about to be told that the step has ended;
	// it was told.
	"told.before-commit", "told.after-commit",
}

// until makes requests until stop is closed.
func (l *load) until(stop <-chan struct{}) {
	l.begin(func() { l.run(rand.New(rand.NewPCG(1, 1)), new(atomic.Int64), stop) })
}

// finish waits until everything has ended, and audits it.
func (l *load) finish(t *testing.T) {
	t.Helper()
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(l.unfinished())
		}
	})
	harness.Eventually(t, "client and partner have what they want", func() bool { return l.busy.Load() == 0 })
	l.settle(t, l.stage)
	harness.Eventually(t, "nothing is left to be done", func() bool { return len(l.waiting(t)) == 0 })
	l.audit(t)
	l.wantSearchable(t)
}

// figures logs the figures of a test that has passed.
func (l *load) figures(format string, args ...any) {
	logFigures(l.t, l.total(), format, args...)
}

func logFigures(t *testing.T, total totals, format string, args ...any) {
	if !t.Failed() {
		t.Logf("figures: %s: %s; nothing lost, resolved twice or stuck", fmt.Sprintf(format, args...), total)
	}
}

// atEach runs a load with an accident at each of the points, and waits until the load
// has ended.
func atEach(t *testing.T, what string, at []string, accident func(t *testing.T, l *load, point string)) {
	t.Helper()
	var mu sync.Mutex
	var total totals
	t.Run("at", func(t *testing.T) {
		for i, point := range at {
			// With the race detector all of this takes long, and what is durable does
			// not depend on it: try only every fourth point then.
			if i%harness.TimeFactor != 0 {
				continue
			}
			t.Run(point, func(t *testing.T) {
				t.Parallel()
				l := newLoad(t)
				accident(t, l, point)
				l.finish(t)
				mu.Lock()
				defer mu.Unlock()
				total = total.plus(l.total())
			})
		}
	})
	logFigures(t, total, "%s at each of %d points", what, (len(at)+harness.TimeFactor-1)/harness.TimeFactor)
}

func TestCrashAtEveryStepLosesNothingAcknowledged(t *testing.T) {
	t.Parallel()
	atEach(t, "killed", points, func(t *testing.T, l *load, point string) {
		l.FailAt(point, "kill")
		l.Start(t, l.config())
		stop := make(chan struct{})
		l.until(stop)
		l.power.set(true)
		if code := l.Exited(t, harness.Patience); code != -1 {
			t.Errorf("the server has ended with code %d", code)
		}
		l.again(t, stop)
	})
}

func TestExitInTheMiddleOfAStepLosesNothingAcknowledged(t *testing.T) {
	t.Parallel()
	atEach(t, "told to exit", []string{
		"create.before-commit", "create.after-commit", "attempt.done", "job.before-commit",
		"body.stored", "ask.answered", "call.before-commit", "call.after-commit",
		"send.done", "delivery.before-commit", "told.before-commit",
	}, func(t *testing.T, l *load, point string) {
		l.FailAt(point, "delay")
		l.Start(t, l.config())
		stop := make(chan struct{})
		l.until(stop)
		l.power.set(true)
		l.logged(t, "failpoint "+point)
		l.power.set(false)
		l.Terminate(t)
		if code := l.Exited(t, harness.Patience); code != 0 {
			t.Errorf("the server has ended with code %d", code)
		}
		l.again(t, stop)
	})
}

// again restarts the server after an accident, with no further accident and no
// further requests.
func (l *load) again(t *testing.T, stop chan struct{}) {
	t.Helper()
	l.power.set(false)
	close(stop)
	l.FailAt("", "")
	l.Start(t, l.config())
	l.power.set(true)
}

func TestCommitThatFailsLosesNothingAcknowledged(t *testing.T) {
	t.Parallel()
	var commits []string
	for _, point := range points {
		// A commit that is reported as failed may have been stored all the same.
		if strings.HasSuffix(point, "-commit") {
			commits = append(commits, point)
		}
	}
	atEach(t, "an error of the store", commits, func(t *testing.T, l *load, point string) {
		l.FailAt(point, "error")
		l.Start(t, l.config())
		stop := make(chan struct{})
		l.until(stop)
		l.power.set(true)
		l.logged(t, "decisions could not be committed")
		l.logged(t, "the store has been verified and is in use again")
		close(stop)
	})
}
