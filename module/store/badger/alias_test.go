package badger

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	badgerdb "github.com/dgraph-io/badger/v4"

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

// wantNoLinks checks that the overlay is empty.
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

// inconsistent returns an error if the aliases in the database contradict the records
// there.
func inconsistent(s *Store) error {
	return s.db.View(func(txn *badgerdb.Txn) error {
		owners := make(map[string]callback.UUID)
		err := each(txn, keyRecord, func(_, value []byte) error {
			r, err := store.DecodeRecord(value)
			if err != nil {
				return err
			}
			for _, alias := range r.Aliases {
				if owner, taken := owners[string(alias[:])]; taken && owner != r.ID {
					return fmt.Errorf("two records have alias %d", alias[0])
				}
				owners[string(alias[:])] = r.ID
			}
			return nil
		})
		if err != nil {
			return err
		}
		err = each(txn, keyAlias, func(alias, id []byte) error {
			if owner, taken := owners[string(alias)]; !taken || owner != callback.UUID(id) {
				return fmt.Errorf("alias %d leads to a record that does not have it", alias[0])
			}
			delete(owners, string(alias))
			return nil
		})
		if err == nil && len(owners) > 0 {
			return fmt.Errorf("%d aliases lead nowhere", len(owners))
		}
		return err
	})
}

// each calls yield for every key of a keyspace.
func each(txn *badgerdb.Txn, space byte, yield func(rest, value []byte) error) error {
	it := txn.NewIterator(badgerdb.IteratorOptions{Prefix: []byte{space}})
	defer it.Close()
	for it.Rewind(); it.Valid(); it.Next() {
		value, err := it.Item().ValueCopy(nil)
		if err != nil {
			return err
		}
		if err := yield(it.Item().KeyCopy(nil)[1:], value); err != nil {
			return err
		}
	}
	return nil
}

// An alias that one callback gives up and another gets must not be deleted after it
// was set, and must never belong to both: in whatever order the callbacks are in a
// group, and however the group is split into transactions.
func TestAliasGoesFromOneCallbackToAnotherBeforeAnythingIsCommitted(t *testing.T) {
	for name, size := range map[string]int{"in one transaction": 10, "in many transactions": 600 << 10} {
		t.Run(name, func(t *testing.T) { swapAliases(t, size) })
	}
}

func swapAliases(t *testing.T, size int) {
	a, b := callback.Digest{1}, callback.Digest{2}
	dir := t.TempDir()
	s := mustOpen(t, testOptions(t, dir))
	p := testPolicy(t, s)
	var ids []callback.UUID
	for range 2 {
		r := newRecord(s, p)
		r.Call = &callback.Call{Method: "POST", Body: callback.NewBody(make([]byte, size))}
		putRaw(t, s, r)
		ids = append(ids, r.ID)
	}
	x, y := ids[0], ids[1]
	mustWait(t, relabel(t, s, x, a), relabel(t, s, y, b))

	blocked, release := blockFirstCommit(s)
	block := s.beforeCommit
	s.beforeCommit = func() error {
		if err := inconsistent(s); err != nil {
			t.Error(err)
		}
		return block()
	}
	begin(t, s, p)
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

// A power failure at any moment must not leave an alias that two callbacks have, or
// one that leads to a callback that does not have it.
func TestAliasesAreTrueAfterEveryTransaction(t *testing.T) {
	s := openForTest(t, t.TempDir())
	p := testPolicy(t, s)
	s.beforeCommit = func() error {
		if err := inconsistent(s); err != nil {
			t.Error(err)
		}
		return nil
	}
	var wg sync.WaitGroup
	for m := range 8 {
		wg.Go(func() {
			random := rand.New(rand.NewPCG(uint64(m), 7))
			r := newRecord(s, p)
			r.Call = &callback.Call{Method: "POST", Body: callback.NewBody(make([]byte, 200<<10))}
			if _, err := s.Create(context.Background(), r); err != nil {
				t.Error(err)
			}
			for range 60 {
				decide := withAliases(callback.Digest{byte(random.IntN(4))}, callback.Digest{byte(random.IntN(4))})
				_, commit, err := s.Update(context.Background(), store.ByID(r.ID), decide)
				if err == nil && random.IntN(4) == 0 {
					err = store.Wait(context.Background(), commit)
				}
				if err != nil && !errors.Is(err, store.ErrExists) {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	create(t, s, p)
	if err := inconsistent(s); err != nil {
		t.Error(err)
	}
	wantNoLinks(t, s)
}

func TestOnlyOneHasAClaimOnAnAlias(t *testing.T) {
	o := newOverlay()
	k := linkKey{store.KeyAlias, callback.Digest{1}}
	var claims atomic.Int32
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 500 {
				o.claim(k)
				if n := claims.Add(1); n != 1 {
					t.Errorf("%d have a claim", n)
				}
				runtime.Gosched()
				claims.Add(-1)
				o.unclaim([]linkKey{k})
			}
		})
	}
	wg.Wait()
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
	commits := []store.Commit{
		relabel(t, s, x), relabel(t, s, y, a, b), relabel(t, s, y, a), relabel(t, s, x, b), relabel(t, s, x), relabel(t, s, y, b),
	}
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

// Otherwise a decision could be committed although the one that it is based on was
// dropped.
func TestNothingIsDecidedWhileDecisionsAreDropped(t *testing.T) {
	var free atomic.Uint64
	free.Store(1 << 40)
	s := openWithFree(t, t.TempDir(), &free)
	p := testPolicy(t, s)
	x, y := create(t, s, p).ID, create(t, s, p).ID
	blocked, release := blockFirstCommit(s)
	begin(t, s, p)
	<-blocked
	free.Store(floor - 1)
	lost := relabel(t, s, x, callback.Digest{1})

	// While this decision is being made, its callback cannot be dropped.
	deciding, decide := make(chan struct{}), make(chan struct{})
	decided := make(chan error)
	go func() {
		_, _, err := s.Update(context.Background(), store.ByID(x), func(r *callback.Record) (store.Change, error) {
			close(deciding)
			<-decide
			return withAliases(callback.Digest{2})(r)
		})
		decided <- err
	}()
	<-deciding
	close(release)
	waitFor(t, "decisions to be refused", func() bool {
		_, _, err := s.Update(context.Background(), store.ByID(y), withAliases(callback.Digest{3}))
		return errors.Is(err, store.ErrFull)
	})
	close(decide)
	if err := <-decided; !errors.Is(err, store.ErrFull) {
		t.Errorf("a decision on top of one that is dropped: %v", err)
	}
	if err := store.Wait(context.Background(), lost); !errors.Is(err, store.ErrFull) {
		t.Errorf("commit: %v", err)
	}
	free.Store(1 << 40)
	mustWait(t, relabel(t, s, y, callback.Digest{1}, callback.Digest{2}, callback.Digest{3}))
	wantNoLinks(t, s)
}
