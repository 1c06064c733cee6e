// Package storetest tests the promises of store.Store: one suite that every store
// must pass. For the tests of packages that use a store it has one in memory.
package storetest

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/memory"
	"github.com/caddy-callback/caddy-callback/module/store"
)

// patience is how long a store's background work may take, and limit how long one
// test may take. Only a store that does not keep its promises reaches them.
const (
	patience = 30 * time.Second
	limit    = time.Minute
)

// now is the moment at which the tests take place: a store has no clock.
const now = callback.Time(1_800_000_000_000)

// Run tests a store. open opens the store whose data is in dir, or creates it if
// there is none; the suite closes what it has opened.
func Run(t *testing.T, open func(t *testing.T, dir string) store.Store) {
	for _, group := range [][]test{finding, aliases, aliasRaces, updating, deleting, listing, searching, timing, policies, bodies, dropping, lifetime, concurrency, tallying, machines} {
		for _, c := range group {
			t.Run(c.name, func(t *testing.T) {
				t.Parallel()
				c.run(newHouse(t, open))
			})
		}
	}
}

type test struct {
	name string
	run  func(h *house)
}

// house is a directory with an open store in it.
type house struct {
	*testing.T
	ctx    context.Context
	open   func(t *testing.T, dir string) store.Store
	dir    string
	store  store.Store
	policy *callback.Policy
	// memory is what bodies are read into.
	memory *memory.Pool
}

func newHouse(t *testing.T, open func(t *testing.T, dir string) store.Store) *house {
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	t.Cleanup(cancel)
	h := &house{T: t, ctx: ctx, open: open, dir: t.TempDir(), policy: compiled(t, callback.Policy{BaseURL: "https://app.example.com"})}
	h.memory = new(memory.Pool)
	h.memory.SetLimits(64<<20, 64<<20)
	h.store = open(t, h.dir)
	t.Cleanup(func() {
		h.close()
		if n := h.memory.Used(); n != 0 {
			h.Errorf("%d bytes of memory are still taken", n)
		}
	})
	return h
}

// space is the memory that bodies are read into.
func (h *house) space() memory.Space { return h.memory.For(memory.Nobody) }

// Context ends after the limit, so that no test waits forever.
func (h *house) Context() context.Context { return h.ctx }

func compiled(t testing.TB, p callback.Policy) *callback.Policy {
	t.Helper()
	if err := p.Compile(); err != nil {
		t.Fatal(err)
	}
	return &p
}

func (h *house) close() {
	h.Helper()
	if h.store == nil {
		return
	}
	if err := h.store.Close(); err != nil {
		h.Errorf("closing the store: %v", err)
	}
	h.store = nil
}

func (h *house) reopen() {
	h.Helper()
	h.close()
	h.store = h.open(h.T, h.dir)
}

// beforeAndAfter runs a check at once, when the write is committed, and when the
// store has been closed and opened again.
func (h *house) beforeAndAfter(c store.Commit, check func(when string)) {
	h.Helper()
	check("before the commit")
	h.wait(c)
	check("after the commit")
	h.reopen()
	check("after reopening")
}

// newRecord returns a callback that waits, with state and ticket derived from the
// store's secret.
func (h *house) newRecord() *callback.Record {
	return callback.New(h.store.Secret(), h.policy, callback.Spec{Name: "orders", CorrelationID: "order-4711", ExpiresIn: time.Hour}, now)
}

func (h *house) create(r *callback.Record) store.Commit {
	h.Helper()
	c, err := h.store.Create(h.Context(), r)
	if err != nil {
		h.Fatalf("creating a callback: %v", err)
	}
	if c == nil {
		h.Fatal("creating a callback gave no commit")
	}
	return c
}

// created returns a new callback that is committed.
func (h *house) created() *callback.Record {
	h.Helper()
	r := h.newRecord()
	h.wait(h.create(r))
	return r
}

func (h *house) update(key store.Key, decide store.Decide) (*callback.Record, store.Commit) {
	h.Helper()
	r, c, err := h.store.Update(h.Context(), key, decide)
	if err != nil {
		h.Fatalf("updating a callback: %v", err)
	}
	if c == nil {
		h.Fatal("updating a callback gave no commit")
	}
	return r, c
}

// wait waits for a commit, which must succeed.
func (h *house) wait(c store.Commit) {
	h.Helper()
	ctx, cancel := context.WithTimeout(h.Context(), patience)
	defer cancel()
	if err := store.Wait(ctx, c); err != nil {
		h.Fatalf("waiting for a commit: %v", err)
	}
}

// isDone reports whether a commit is done at this moment.
func isDone(c store.Commit) bool {
	select {
	case <-c.Done():
		return true
	default:
		return false
	}
}

// wantRecord checks that the key finds the record.
func (h *house) wantRecord(when string, key store.Key, want *callback.Record) {
	h.Helper()
	got, c, err := h.store.Find(h.Context(), key)
	if err != nil {
		h.Fatalf("%s: finding %+v: %v", when, key, err)
	}
	if c == nil {
		h.Fatalf("%s: finding gave no commit", when)
	}
	h.wantSame(when, got, want)
}

func (h *house) wantSame(when string, got, want *callback.Record) {
	h.Helper()
	if encoded(h, got) != encoded(h, want) {
		h.Fatalf("%s: got  %+v\n\twant %+v", when, got, want)
	}
}

func (h *house) wantNotFound(when string, keys ...store.Key) {
	h.Helper()
	for _, key := range keys {
		if r, c, err := h.store.Find(h.Context(), key); !errors.Is(err, store.ErrNotFound) || r != nil || c != nil {
			h.Fatalf("%s: finding %+v: %+v, %v, %v", when, key, r, c, err)
		}
	}
}

// keysOf returns all keys of a callback.
func (h *house) keysOf(id callback.UUID) []store.Key {
	secret := h.store.Secret()
	return []store.Key{store.ByID(id), store.ByState(secret.State(id)), store.ByTicket(secret.Ticket(id))}
}

// eventually waits until a store's background work is done.
func (h *house) eventually(what string, done func() bool) {
	h.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(patience); !done(); <-tick.C {
		if time.Now().After(deadline) {
			h.Fatalf("%s: not after %s", what, patience)
		}
	}
}

func (h *house) wantWaiting(when string, want int) {
	h.Helper()
	h.eventually(when+": counting those that wait", func() bool { return h.store.Waiting() == want })
}

type fataler interface {
	Helper()
	Fatalf(format string, args ...any)
}

// encoded returns all that a store keeps of a record.
func encoded(t fataler, r *callback.Record) string {
	t.Helper()
	if r == nil {
		t.Fatalf("there is no record")
	}
	b, err := store.EncodeRecord(r)
	if err != nil {
		t.Fatalf("%v", err)
	}
	return string(b)
}

// nothing is the decision to change nothing.
func nothing(*callback.Record) (store.Change, error) { return store.Change{}, nil }

// remove is the decision to delete.
func remove(*callback.Record) (store.Change, error) { return store.Change{Delete: true}, nil }

// closeFor returns the decision to close a callback that waits.
func (h *house) closeFor(reason string) store.Decide {
	return func(r *callback.Record) (store.Change, error) {
		next, _ := r.Close(h.policy, reason, "", now)
		return store.Change{Next: next}, nil
	}
}
