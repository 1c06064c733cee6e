package badger

import (
	"context"
	"errors"
	"os"
	"sync"
	"sync/atomic"
	"testing"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/store"
)

// openWatched opens a store whose log the test reads.
func openWatched(t *testing.T, free *atomic.Uint64) (*Store, *observer.ObservedLogs) {
	t.Helper()
	core, logs := observer.New(zapcore.InfoLevel)
	o := testOptions(t, t.TempDir())
	o.Log = zap.New(core)
	o.freeSpace = func(string) (uint64, error) { return free.Load(), nil }
	return mustOpen(t, o), logs
}

// wantCounts checks which lines a log has, and the sum of their counts.
func wantCounts(t *testing.T, logs *observer.ObservedLogs, want map[string]int64) {
	t.Helper()
	for message, count := range want {
		lines := logs.FilterMessage(message).All()
		if len(lines) != 1 {
			t.Errorf("%d lines say: %s", len(lines), message)
			continue
		}
		if got, _ := lines[0].ContextMap()["count"].(int64); got != count {
			t.Errorf("%s: the count is %d, want %d", message, got, count)
		}
	}
}

func TestStormOfDecisionsThatDoNotFitWritesTwoLines(t *testing.T) {
	var free atomic.Uint64
	free.Store(1 << 40)
	s, logs := openWatched(t, &free)
	p := testPolicy(t, s)
	ids := make([]callback.UUID, 8)
	for i := range ids {
		ids[i] = create(t, s, p).ID
	}
	logs.TakeAll()
	free.Store(floor - 1)
	const each = 50
	var all sync.WaitGroup
	var dropped atomic.Int64
	for _, id := range ids {
		all.Go(func() {
			for range each {
				// Others may be dropping theirs just then.
				commit, err := closeRecord(s, p, id)
				if err == nil {
					err = store.Wait(context.Background(), commit)
					dropped.Add(1)
				}
				if !errors.Is(err, store.ErrFull) {
					t.Errorf("got %v", err)
				}
			}
		})
	}
	all.Wait()
	waitFor(t, "the guard", func() bool { return errors.Is(s.Ready(), store.ErrFull) })
	free.Store(1 << 40)
	waitFor(t, "the guard to let go", func() bool { return s.Ready() == nil })
	mustClose(t, s)
	begun := logs.FilterLevelExact(zapcore.ErrorLevel).Len()
	if begun != 2 {
		t.Errorf("%d lines at level error: %v", begun, logs.All())
	}
	wantCounts(t, logs, map[string]int64{
		"decisions could not be committed and were dropped": 0,
		"decisions are committed again":                     dropped.Load(),
	})
}

func TestStormOfBodiesThatCannotBeWrittenOrReadWritesTwoLinesEach(t *testing.T) {
	var free atomic.Uint64
	free.Store(1 << 40)
	s, logs := openWatched(t, &free)
	body := putBody(t, s)
	<-s.verified
	waitFor(t, "the opening to be over", func() bool {
		s.bodies.fresh.mu.Lock()
		defer s.bodies.fresh.mu.Unlock()
		return !s.bodies.fresh.opening
	})
	if err := errors.Join(os.RemoveAll(s.bodies.dir), os.WriteFile(s.bodies.dir, nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	for range 20 {
		if _, err := s.PutBody(context.Background(), []byte("x")); !errors.Is(err, store.ErrFailed) {
			t.Fatalf("PutBody: %v", err)
		}
		if _, err := s.OpenBody(context.Background(), body, somewhere()); err == nil {
			t.Fatal("a body was read")
		}
	}
	mustClose(t, s)
	wantCounts(t, logs, map[string]int64{
		"a body could not be written": 0, "bodies are written again": 20,
		"a body could not be read": 0, "bodies are read again": 20,
	})
}

// A disk that fails at each commit makes the store fail once a second.
func TestStoreThatFailsOverAndOverWritesThreeLines(t *testing.T) {
	var free atomic.Uint64
	free.Store(1 << 40)
	s, logs := openWatched(t, &free)
	p := testPolicy(t, s)
	s.beforeCommit = func() error { return errors.New("input/output error") }
	for range 3 {
		commit, err := s.Create(context.Background(), newRecord(s, p))
		if err != nil {
			t.Fatal(err)
		}
		if err := store.Wait(context.Background(), commit); !errors.Is(err, store.ErrFailed) {
			t.Fatalf("commit: %v", err)
		}
		waitFor(t, "the store to be in use again", func() bool { return s.Ready() == nil })
	}
	mustClose(t, s)
	wantCounts(t, logs, map[string]int64{
		"the store has failed and accepts nothing until it has been reopened and verified": 0,
		"the store has been verified and is in use again":                                  0,
		"the store has not failed again":                                                   3,
		"decisions could not be committed and were dropped":                                0,
		"decisions are committed again":                                                    3,
	})
}
