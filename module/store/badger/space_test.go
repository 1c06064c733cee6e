package badger

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"

	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/store"
)

func openWithFree(t *testing.T, dir string, free *atomic.Uint64) *Store {
	t.Helper()
	o := testOptions(t, dir)
	o.freeSpace = func(string) (uint64, error) { return free.Load(), nil }
	s := mustOpen(t, o)
	t.Cleanup(func() { mustClose(t, s) })
	return s
}

func TestLittleRoomRefusesNewWorkButLetsOldEnd(t *testing.T) {
	var free atomic.Uint64
	free.Store(1 << 40)
	s := openWithFree(t, t.TempDir(), &free)
	p := testPolicy(t, s)
	r := create(t, s, p)

	free.Store(MinMinFree - 1)
	waitFor(t, "the guard", func() bool { return errors.Is(s.Ready(), store.ErrFull) })
	if _, err := s.Create(context.Background(), newRecord(s, p)); !errors.Is(err, store.ErrFull) {
		t.Errorf("Create: %v, want ErrFull", err)
	}
	commit, err := closeRecord(s, p, r.ID)
	if err != nil {
		t.Fatal(err)
	}
	if err := store.Wait(context.Background(), commit); err != nil {
		t.Errorf("ending a callback: %v", err)
	}

	free.Store(1 << 40)
	waitFor(t, "the guard to let go", func() bool { return s.Ready() == nil })
	create(t, s, p)
}

func TestNoRoomAtAllDropsDecisionsAndHeals(t *testing.T) {
	var free atomic.Uint64
	free.Store(1 << 40)
	s := openWithFree(t, t.TempDir(), &free)
	p := testPolicy(t, s)
	r := create(t, s, p)

	free.Store(floor - 1)
	commit, err := closeRecord(s, p, r.ID)
	if err != nil {
		t.Fatal(err)
	}
	if err := store.Wait(context.Background(), commit); !errors.Is(err, store.ErrFull) {
		t.Errorf("commit: %v, want ErrFull", err)
	}
	found, _, err := s.Find(context.Background(), store.ByID(r.ID))
	if err != nil || found.Phase != callback.Waiting {
		t.Errorf("after the drop: %v, %v; want it to wait", found, err)
	}
	wantCounted(t, s, 1)

	free.Store(1 << 40)
	if commit, err = closeRecord(s, p, r.ID); err != nil {
		t.Fatal(err)
	}
	if err := store.Wait(context.Background(), commit); err != nil {
		t.Errorf("once there is room: %v", err)
	}
}

func TestSizeLimitRefusesNewWork(t *testing.T) {
	o := testOptions(t, t.TempDir())
	o.MaxSize = 100 << 10
	s := mustOpen(t, o)
	defer mustClose(t, s)
	p := testPolicy(t, s)
	create(t, s, p)
	if _, err := s.PutBody(context.Background(), make([]byte, 200<<10)); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "the guard", func() bool { return errors.Is(s.Ready(), store.ErrFull) })
}
