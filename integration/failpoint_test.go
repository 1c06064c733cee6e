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

// points are the moments at which what is promised changes.
var points = []string{
	// The request is known, and not stored; it is stored, and nobody was told.
	"create.before-commit", "create.after-commit",
	// A job is about to be tried; its upstream has answered; what that means is about to
	// be stored; it is stored, and nobody was told.
	"attempt.begun", "attempt.done", "job.before-commit", "job.after-commit",
	// The body of a call is stored, and nothing is decided; the app that is asked has
	// answered; the call is decided, and not stored; it is stored, and neither client nor
	// partner was told.
	"body.stored", "ask.answered", "call.before-commit", "call.after-commit",
	// A result is about to be sent; it has arrived; that is about to be stored; it is.
	"send.begun", "send.done", "delivery.before-commit", "delivery.after-commit",
	// The end of a step is about to be told to the callback that waits for it; it is.
	"told.before-commit", "told.after-commit",
}

// until makes requests until the server is gone, or has what stop waits for.
func (l *load) until(stop <-chan struct{}) {
	l.begin(func() { l.run(rand.New(rand.NewPCG(1, 1)), new(atomic.Int64), stop) })
}

// finish lets everything come to its end, and audits it.
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
}

// figures logs what a test that has passed has seen.
func (l *load) figures(format string, args ...any) {
	logFigures(l.t, l.total(), format, args...)
}

func logFigures(t *testing.T, total totals, format string, args ...any) {
	if !t.Failed() {
		t.Logf("figures: %s: %s; nothing lost, resolved twice or stuck", fmt.Sprintf(format, args...), total)
	}
}

// atEach lets a load meet with an accident at each of some points, and lets it come to
// its end thereafter.
func atEach(t *testing.T, what string, at []string, accident func(t *testing.T, l *load, point string)) {
	t.Helper()
	var mu sync.Mutex
	var total totals
	t.Run("at", func(t *testing.T) {
		for i, point := range at {
			// What is durable does not depend on the race detector, under which all of
			// this takes long: every fourth will do there.
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

// again starts the server anew after an accident, without another one, and without any
// more requests.
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
		// A commit that is said to have failed may have been written all the same.
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
