package outage_test

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/caddy-callback/caddy-callback/module/outage"
)

var errFull, errFailed = errors.New("full"), errors.New("failed")

// watched returns an outage and what it has written since the last look, as text.
func watched() (*outage.Outage, func() []string) {
	core, logs := observer.New(zapcore.DebugLevel)
	return outage.New(zap.New(core), "begins", "ends"), func() (lines []string) {
		for _, e := range logs.TakeAll() {
			line := e.Level.String() + " " + e.Message
			for _, f := range e.Context {
				line += " " + f.Key + "=" + f.String
				if f.String == "" {
					line += fmt.Sprint(f.Integer)
				}
			}
			lines = append(lines, line)
		}
		slices.Sort(lines)
		return lines
	}
}

func want(t *testing.T, when string, got []string, lines ...string) {
	t.Helper()
	if !slices.Equal(got, lines) {
		t.Errorf("%s: the log has %q, want %q", when, got, lines)
	}
}

func TestStormWritesTwoLines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o, lines := watched()
		o.Works()
		want(t, "while all is well", lines())
		if !o.Failed(errFull, 2, zap.String("id", "a")) {
			t.Error("the first failure is not the first")
		}
		want(t, "at the beginning", lines(), "error begins cause=full id=a")
		var all sync.WaitGroup
		for range 8 {
			all.Go(func() {
				for range 1000 {
					if o.Failed(errFull, 1, zap.String("id", "b")) {
						t.Error("another failure is the first")
					}
					o.Works()
				}
			})
		}
		all.Wait()
		time.Sleep(time.Second)
		o.Failed(errFull, 1)
		time.Sleep(outage.Calm - 1)
		o.Works()
		want(t, "in the middle", lines())
		time.Sleep(time.Nanosecond)
		o.Works()
		o.Works()
		want(t, "at the end", lines(), "info ends cause=full count=8003 lasted=1000000000")
		o.Failed(errFull, 1)
		want(t, "at the next", lines(), "error begins cause=full")
	})
}

func TestEachCauseHasItsLines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o, lines := watched()
		o.Failed(errFull, 1)
		time.Sleep(outage.Calm / 2)
		o.Failed(errFailed, 3)
		want(t, "at the beginning", lines(), "error begins cause=failed", "error begins cause=full")
		time.Sleep(outage.Calm / 2)
		o.Works()
		want(t, "when one is over", lines(), "info ends cause=full count=1 lasted=0")
		o.Over()
		o.Over()
		want(t, "when nothing can fail", lines(), "info ends cause=failed count=3 lasted=0")
	})
}
