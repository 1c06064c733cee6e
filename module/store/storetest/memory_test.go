package storetest_test

import (
	"context"
	"errors"
	"io"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/memory"
	"github.com/caddy-callback/caddy-callback/module/store"
	"github.com/caddy-callback/caddy-callback/module/store/storetest"
)

// The suite is tried on a store that is as simple as a store can be.
func TestMemoryPasses(t *testing.T) {
	var memories sync.Map
	storetest.Run(t, func(_ *testing.T, dir string) store.Store {
		m, _ := memories.LoadOrStore(dir, storetest.NewMemory())
		return m.(*storetest.Memory).Open()
	})
}

func TestNodesOnAMemoryPass(t *testing.T) {
	var memories sync.Map
	open := func(_ *testing.T, dir string) store.Shared {
		m, _ := memories.LoadOrStore(dir, storetest.NewMemory())
		return m.(*storetest.Memory).Join()
	}
	storetest.Run(t, func(t *testing.T, dir string) store.Store { return open(t, dir) })
	storetest.RunShared(t, open)
}

// pair is two stores that are open on one memory.
type pair struct {
	*testing.T
	memory    *storetest.Memory
	one, more store.Store
	policy    callback.Policy
}

func newPair(t *testing.T) *pair {
	m := storetest.NewMemory()
	p := &pair{T: t, memory: m, one: m.Open(), more: m.Open(), policy: callback.Policy{BaseURL: "https://app.example.com"}}
	if err := p.policy.Compile(); err != nil {
		t.Fatal(err)
	}
	return p
}

// create creates a callback through the first store.
func (p *pair) create(aliases ...callback.Digest) (*callback.Record, store.Commit) {
	p.Helper()
	r := p.record(aliases...)
	c, err := p.one.Create(p.Context(), r)
	if err != nil {
		p.Fatal(err)
	}
	return r, c
}

func (p *pair) record(aliases ...callback.Digest) *callback.Record {
	r := callback.New(p.one.Secret(), &p.policy, callback.Spec{ExpiresIn: time.Minute}, 1)
	r.Aliases = aliases
	return r
}

// wantReason checks that a store has the callback, with that reason.
func (p *pair) wantReason(s store.Store, key store.Key, want string) {
	p.Helper()
	if r, _, err := s.Find(p.Context(), key); err != nil || r.Reason != want {
		p.Fatalf("found %+v, %v, want the reason %q", r, err, want)
	}
}

// add is the decision to add to the reason.
func add(text string) store.Decide {
	return func(r *callback.Record) (store.Change, error) {
		next := *r
		next.Reason += text
		return store.Change{Next: &next}, nil
	}
}

func remove(*callback.Record) (store.Change, error) { return store.Change{Delete: true}, nil }

func (p *pair) update(s store.Store, key store.Key, decide store.Decide) store.Commit {
	p.Helper()
	_, c, err := s.Update(p.Context(), key, decide)
	if err != nil {
		p.Fatal(err)
	}
	return c
}

func TestWhatOneStoreWritesAllSee(t *testing.T) {
	p := newPair(t)
	if *p.one.Secret() != *p.more.Secret() {
		t.Error("the stores have two secrets")
	}
	r, _ := p.create()
	byID, byTicket := store.ByID(r.ID), store.ByTicket(p.more.Secret().Ticket(r.ID))
	p.wantReason(p.more, byTicket, "")
	p.update(p.more, byTicket, add("a"))
	p.wantReason(p.one, byID, "a")
	c := p.update(p.one, byID, add("b"))
	if _, seen, err := p.more.Find(t.Context(), byID); err != nil || store.Wait(t.Context(), seen) != nil || store.Wait(t.Context(), c) != nil {
		t.Error(err)
	}
	p.wantReason(p.more, byID, "ab")
	if page, _, err := p.more.List(t.Context(), store.Query{}); err != nil || len(page) != 1 || p.more.Waiting() != 1 {
		t.Errorf("listed %d, %v; %d wait", len(page), err, p.more.Waiting())
	}
	p.update(p.more, byID, remove)
	if _, _, err := p.one.Find(t.Context(), byID); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("after it was deleted: %v", err)
	}
}

func TestPoliciesAndBodiesBelongToTheMemory(t *testing.T) {
	p := newPair(t)
	if err := p.one.PutPolicy(t.Context(), &p.policy); err != nil {
		t.Fatal(err)
	}
	if got, err := p.more.Policy(t.Context(), p.policy.Hash()); err != nil || got.Hash() != p.policy.Hash() {
		t.Errorf("the policy is %+v, %v", got, err)
	}
	body, err := p.one.PutBody(t.Context(), []byte("body"))
	if err != nil {
		t.Fatal(err)
	}
	pool := new(memory.Pool)
	pool.SetLimits(100, 100)
	reader, err := p.more.OpenBody(t.Context(), body, pool.For(memory.Nobody))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(reader); err != nil || string(got) != "body" {
		t.Errorf("the body is %q, %v", got, err)
	}
}

func TestWhoIsOutrunDecidesAgain(t *testing.T) {
	p := newPair(t)
	// A commit puts another copy of the record in its place, and whoever decides is outrun.
	committed := func(c store.Commit) {
		if err := store.Wait(t.Context(), c); err != nil {
			t.Fatal(err)
		}
	}
	r, c := p.create()
	committed(c)
	key, asked := store.ByID(r.ID), 0
	p.update(p.one, key, func(r *callback.Record) (store.Change, error) {
		if asked++; asked == 1 {
			committed(p.update(p.more, key, add("a")))
		}
		return add("b")(r)
	})
	p.wantReason(p.more, key, "ab")
	if asked != 2 {
		t.Errorf("it decided %d times", asked)
	}
	_, _, err := p.one.Update(t.Context(), key, func(r *callback.Record) (store.Change, error) {
		p.update(p.more, key, remove)
		return add("c")(r)
	})
	if !errors.Is(err, store.ErrNotFound) {
		t.Errorf("outrun by who deletes it: %v", err)
	}
}

// hints returns all that a store has hinted at.
func hints(s store.Store) (all []store.Hint) {
	for {
		select {
		case h := <-s.Changes():
			all = append(all, h)
		default:
			return all
		}
	}
}

func TestChangeIsHintedAtToTheOthers(t *testing.T) {
	p := newPair(t)
	r, _ := p.create(callback.Digest{1})
	key := store.ByID(r.ID)
	wantHints := func(what string, s store.Store, want int) {
		t.Helper()
		got := hints(s)
		if len(got) != want || want > 0 && got[0].ID != r.ID {
			t.Errorf("%s is hinted at as %v", what, got)
		}
	}
	if got := hints(p.more); len(got) != 1 || got[0].ID != r.ID || !slices.Equal(got[0].Aliases, r.Aliases) {
		t.Errorf("a creation is hinted at as %v", got)
	}
	p.update(p.more, key, add("a"))
	wantHints("an update", p.one, 1)
	p.update(p.one, key, remove)
	wantHints("a deletion", p.more, 1)
	wantHints("what it did itself", p.one, 0)
	wantHints("what it did itself", p.more, 0)

	r, _ = p.create(callback.Digest{1})
	hints(p.more)
	if _, err := p.one.Create(t.Context(), p.record(callback.Digest{1})); !errors.Is(err, store.ErrExists) {
		t.Errorf("another with its alias: %v", err)
	}
	p.update(p.one, store.ByID(r.ID), func(*callback.Record) (store.Change, error) { return store.Change{}, nil })
	wantHints("what changed nothing", p.more, 0)
	for range 5000 {
		p.update(p.one, store.ByID(r.ID), add(""))
	}
	if n := len(hints(p.more)); n == 0 || n == 5000 {
		t.Errorf("%d hints are kept for who does not ask", n)
	}
}

func TestAliasIsUniqueInTheMemory(t *testing.T) {
	p := newPair(t)
	alias := callback.Digest{1}
	r, c := p.create(alias)
	other, _ := p.create()
	take := func(r *callback.Record) (store.Change, error) {
		next := *r
		next.Aliases = []callback.Digest{alias}
		return store.Change{Next: &next}, nil
	}
	check := func(when string) {
		t.Helper()
		if _, err := p.more.Create(t.Context(), p.record(alias)); !errors.Is(err, store.ErrExists) {
			t.Errorf("%s: another with the alias: %v", when, err)
		}
		if _, _, err := p.more.Update(t.Context(), store.ByID(other.ID), take); !errors.Is(err, store.ErrExists) {
			t.Errorf("%s: giving it the alias: %v", when, err)
		}
		if found, _, err := p.more.Find(t.Context(), store.ByAlias(alias)); err != nil || found.ID != r.ID {
			t.Errorf("%s: the alias leads to %+v, %v", when, found, err)
		}
	}
	check("at once")
	if err := store.Wait(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	check("after the commit")
	p.update(p.one, store.ByID(r.ID), remove)
	p.update(p.more, store.ByID(other.ID), take)
}

func TestStoreThatIsClosedLeavesTheOthersAlone(t *testing.T) {
	p := newPair(t)
	r, c := p.create()
	if err := p.one.Close(); err != nil {
		t.Fatal(err)
	}
	select {
	case <-c.Done():
	default:
		t.Error("its write is on its way after it was closed")
	}
	key := store.ByID(r.ID)
	if _, _, err := p.one.Find(t.Context(), key); !errors.Is(err, store.ErrClosed) || !errors.Is(p.one.Ready(), store.ErrClosed) {
		t.Errorf("after it was closed: %v, %v", err, p.one.Ready())
	}
	p.wantReason(p.more, key, "")
	if err := store.Wait(context.WithoutCancel(t.Context()), p.update(p.more, key, add("a"))); err != nil {
		t.Error(err)
	}
	if err := p.more.Close(); err != nil {
		t.Fatal(err)
	}
	again := p.memory.Open()
	defer again.Close()
	p.wantReason(again, key, "a")
	if got := hints(p.one); got != nil {
		t.Errorf("hinted at to who is closed: %v", got)
	}
}
