package app

import (
	"bytes"
	"runtime/pprof"
	"testing"
	"testing/synctest"
)

// lookers returns how many goroutines check for the exit.
func lookers(t *testing.T) int {
	t.Helper()
	var b bytes.Buffer
	if err := pprof.Lookup("goroutine").WriteTo(&b, 2); err != nil {
		t.Fatal(err)
	}
	return bytes.Count(b.Bytes(), []byte("module/app.look("))
}

func TestExitIsLookedForWhileAnybodyWatches(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		before := lookers(t)
		var e exitWatch
		first, second := e.watch(), e.watch()
		if first != second {
			t.Error("two watchers have two channels")
		}
		e.unwatch()
		synctest.Wait()
		if got := lookers(t) - before; got != 1 {
			t.Errorf("%d look while one watches", got)
		}
		e.unwatch()
		synctest.Wait()
		if got := lookers(t) - before; got != 0 {
			t.Errorf("%d look while nobody watches", got)
		}

		third := e.watch()
		e.unwatch()
		synctest.Wait()
		if isClosed(first) || isClosed(third) {
			t.Error("an exit was seen that never was")
		}
	})
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}
