package badger

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"

	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/store"
)

// withAliases returns the decision to give a callback these aliases, and no others.
func withAliases(aliases ...callback.Digest) store.Decide {
	return func(r *callback.Record) (store.Change, error) {
		next := *r
		next.Aliases = aliases
		return store.Change{Next: &next}, nil
	}
}

// relabel gives a callback other aliases and does not wait for the commit.
func relabel(t *testing.T, s *Store, id callback.UUID, aliases ...callback.Digest) store.Commit {
	t.Helper()
	_, commit, err := s.Update(context.Background(), store.ByID(id), withAliases(aliases...))
	if err != nil {
		t.Fatal(err)
	}
	return commit
}

func mustWait(t *testing.T, commits ...store.Commit) {
	t.Helper()
	for _, c := range commits {
		if err := store.Wait(context.Background(), c); err != nil {
			t.Fatal(err)
		}
	}
}

// wantAlias checks to which callback an alias leads, zero for none.
func wantAlias(t *testing.T, s *Store, when string, alias callback.Digest, want callback.UUID) {
	t.Helper()
	r, _, err := s.Find(context.Background(), store.ByAlias(alias))
	switch {
	case want.IsZero() && !errors.Is(err, store.ErrNotFound):
		t.Errorf("%s: alias %d leads to %+v, %v; want none", when, alias[0], r, err)
	case !want.IsZero() && (err != nil || r.ID != want):
		t.Errorf("%s: alias %d leads to %+v, %v; want %s", when, alias[0], r, err, want)
	}
}

// wantNoLinks checks that nothing is left over in the overlay.
func wantNoLinks(t *testing.T, s *Store) {
	t.Helper()
	for i := range s.overlay.shards {
		shard := &s.overlay.shards[i]
		shard.mu.Lock()
		if n := len(shard.links) + len(shard.claims) + len(shard.entries); n > 0 {
			t.Errorf("%d links, %d claims and %d entries are left over", len(shard.links), len(shard.claims), len(shard.entries))
		}
		shard.mu.Unlock()
	}
}

// Whatever order callbacks have in a group, what one of them gives up and another
// gets must not be deleted after it was set.
func TestAliasGoesFromOneCallbackToAnotherBeforeAnythingIsCommitted(t *testing.T) {
	a, b := callback.Digest{1}, callback.Digest{2}
	dir := t.TempDir()
	s := mustOpen(t, testOptions(t, dir))
	p := testPolicy(t, s)
	x, y := create(t, s, p).ID, create(t, s, p).ID
	mustWait(t, relabel(t, s, x, a), relabel(t, s, y, b))

	blocked, release := blockFirstCommit(s)
	if _, err := closeRecord(s, p, begin(t, s, p)); err != nil {
		t.Fatal(err)
	}
	<-blocked
	commits := []store.Commit{
		relabel(t, s, y, b), relabel(t, s, x), relabel(t, s, y, a), relabel(t, s, x, b),
		// And back, and forth again.
		relabel(t, s, y), relabel(t, s, x, a), relabel(t, s, y, b), relabel(t, s, x), relabel(t, s, y, a), relabel(t, s, x, b),
	}
	check := func(when string) {
		t.Helper()
		wantAlias(t, s, when, a, y)
		wantAlias(t, s, when, b, x)
	}
	check("before the commit")
	close(release)
	mustWait(t, commits...)
	check("after the commit")
	wantNoLinks(t, s)
	mustClose(t, s)
	s = openForTest(t, dir)
	check("after reopening")
}

// begin creates a callback without waiting for its commit.
func begin(t *testing.T, s *Store, p *callback.Policy) callback.UUID {
	t.Helper()
	r := newRecord(s, p)
	if _, err := s.Create(context.Background(), r); err != nil {
		t.Fatal(err)
	}
	return r.ID
}

func TestDroppedDecisionsLeaveAliasesAsTheyWere(t *testing.T) {
	var free atomic.Uint64
	free.Store(1 << 40)
	s := openWithFree(t, t.TempDir(), &free)
	p := testPolicy(t, s)
	a, b := callback.Digest{1}, callback.Digest{2}
	x, y := create(t, s, p).ID, create(t, s, p).ID
	mustWait(t, relabel(t, s, x, a))

	blocked, release := blockFirstCommit(s)
	begin(t, s, p)
	<-blocked
	free.Store(floor - 1)
	commits := []store.Commit{relabel(t, s, x), relabel(t, s, y, a, b), relabel(t, s, y, b)}
	wantAlias(t, s, "before the drop", b, y)
	wantAlias(t, s, "before the drop", a, callback.UUID{})
	close(release)
	for _, c := range commits {
		if err := store.Wait(context.Background(), c); !errors.Is(err, store.ErrFull) {
			t.Errorf("commit: %v, want ErrFull", err)
		}
	}
	wantAlias(t, s, "after the drop", a, x)
	wantAlias(t, s, "after the drop", b, callback.UUID{})
	if _, _, err := s.Update(context.Background(), store.ByID(y), withAliases(a)); !errors.Is(err, store.ErrExists) {
		t.Errorf("an alias that is in use again: %v", err)
	}
	wantNoLinks(t, s)
}
