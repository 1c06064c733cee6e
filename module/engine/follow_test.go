package engine

import (
	"cmp"
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"

	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/store"
	"github.com/caddy-callback/caddy-callback/module/store/storetest"
)

// wire is a store of several nodes whose hints the test delivers, and that counts questions.
type wire struct {
	store.Shared
	hints       chan store.Hint
	found, ends atomic.Int64
}

func (w *wire) Changes() <-chan store.Hint { return w.hints }

func (w *wire) Find(ctx context.Context, key store.Key) (*callback.Record, store.Commit, error) {
	w.found.Add(1)
	return w.Shared.Find(ctx, key)
}

func (w *wire) Ended(ctx context.Context, ids []callback.UUID) ([]callback.UUID, error) {
	w.ends.Add(1)
	return w.Shared.Ended(ctx, ids)
}

// newNode returns an engine that is one of several on the same store.
func newNode(t *testing.T, s store.Shared, policy callback.Policy) *bed {
	t.Helper()
	return newNodeAt(t, s, policy, time.Now)
}

// newNodeAt is newNode with another clock.
func newNodeAt(t *testing.T, s store.Shared, policy callback.Policy, now func() time.Time) *bed {
	t.Helper()
	policy.BaseURL = "https://app.example.com"
	policy.Retain = cmp.Or(policy.Retain, time.Hour)
	if err := policy.Compile(); err != nil {
		t.Fatal(err)
	}
	b := &bed{policy: &policy}
	limits := Limits{MaxMemory: 64 << 20, MaxWaiting: 10_000, MaxHeld: 10_000, Concurrency: 16}
	b.Engine = newEngine(s, limits, zap.NewNop(), nobody{}, now)
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
	return b
}

// twoNodes runs a test with an engine that gets only the hints that the test gives it, and
// another one on the same store. Time passes only while all wait.
func twoNodes(t *testing.T, test func(t *testing.T, a *bed, heard *wire, b *bed)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		m := storetest.NewMemory()
		heard := &wire{Shared: m.Join(), hints: make(chan store.Hint, 10*lookBatch)}
		a, b := newNode(t, heard, callback.Policy{}), newNode(t, m.Join(), callback.Policy{})
		synctest.Wait()
		test(t, a, heard, b)
	})
}

// resolve lets a call be the answer to a callback.
func (b *bed) resolve(t *testing.T, cb *Callback) {
	t.Helper()
	if v, err := b.tryCall(t.Context(), cb, "answer"); err != nil || v.Kind != callback.Accepted {
		t.Fatalf("the call is %v, %v", v.Kind, err)
	}
}

// wantToldAfter checks that a waiter is told that its callback is resolved, so long after
// the test asks, and stops it.
func wantToldAfter(t *testing.T, w *Waiter, least, most time.Duration) {
	t.Helper()
	began := time.Now()
	select {
	case n := <-w.C:
		if took := time.Since(began); took < least || took > most || n.Record.Phase != callback.Resolved {
			t.Errorf("told of phase %v after %v, want %v to %v", n.Record.Phase, took, least, most)
		}
		n.Done()
	case <-time.After(time.Minute):
		t.Error("never told")
	}
	w.Stop()
}

func TestHintWakesWhoWaitsAtAnotherNode(t *testing.T) {
	twoNodes(t, func(t *testing.T, a *bed, heard *wire, b *bed) {
		for _, durable := range []bool{false, true} {
			cb := a.create(t)
			w := a.await(t, cb, durable)
			b.resolve(t, cb)
			heard.hints <- store.Hint{ID: cb.ID}
			wantToldAfter(t, w, 0, 0)
		}
	})
}

// Hints can be lost, with the connection on which they come.
func TestWhoWaitsIsToldWithoutAnyHint(t *testing.T) {
	twoNodes(t, func(t *testing.T, a *bed, heard *wire, b *bed) {
		held, polls := a.create(t), a.create(t)
		w := a.await(t, held, true)
		changes, err := a.AwaitChange(polls.ID)
		if err != nil {
			t.Fatal(err)
		}
		b.resolve(t, held)
		b.resolve(t, polls)
		wantToldAfter(t, w, 0, sharedLookEvery*6/5)
		wantToldAfter(t, changes, 0, sharedLookEvery*6/5)
	})
}

func TestLostHintsLetAllBeLookedAt(t *testing.T) {
	twoNodes(t, func(t *testing.T, a *bed, heard *wire, b *bed) {
		var all []*Waiter
		for range 3 * lookers {
			cb := a.create(t)
			all = append(all, a.await(t, cb, true))
			b.resolve(t, cb)
		}
		heard.hints <- store.Hint{}
		for _, w := range all {
			wantToldAfter(t, w, 0, 0)
		}
	})
}

// Every node hears of every change, and of most of them nobody here waits.
func TestHintAboutWhatNobodyWaitsForCostsNoQuestion(t *testing.T) {
	twoNodes(t, func(t *testing.T, a *bed, heard *wire, b *bed) {
		cb := a.create(t)
		w := a.await(t, cb, true)
		b.resolve(t, cb)
		before := heard.found.Load()
		for range 5 * lookBatch {
			heard.hints <- store.Hint{ID: callback.NewUUID()}
		}
		for range 5 {
			heard.hints <- store.Hint{ID: cb.ID}
		}
		wantToldAfter(t, w, 0, 0)
		synctest.Wait()
		if n := heard.found.Load() - before; n == 0 || n > 5 {
			t.Errorf("the store was asked for %d callbacks", n)
		}
	})
}

// Thousands of held clients must not be thousands of questions every two seconds.
func TestStoreIsAskedForManyWhoWaitAtOnce(t *testing.T) {
	twoNodes(t, func(t *testing.T, a *bed, heard *wire, b *bed) {
		const many = 2*lookBatch + 1
		var last *Callback
		waiters := make([]*Waiter, many)
		for i := range waiters {
			last = a.create(t)
			waiters[i] = a.await(t, last, true)
		}
		b.resolve(t, last)
		found, ends := heard.found.Load(), heard.ends.Load()
		wantToldAfter(t, waiters[many-1], 0, sharedLookEvery*6/5)
		synctest.Wait()
		if found, ends = heard.found.Load()-found, heard.ends.Load()-ends; found != 1 || ends != 3 {
			t.Errorf("the store was asked %d times which have ended, and for %d callbacks", ends, found)
		}
		for _, w := range waiters[:many-1] {
			w.Stop()
		}
	})
}

// There is no record any more that says so.
func TestWhoWaitsIsToldOfARemovalAtAnotherNode(t *testing.T) {
	twoNodes(t, func(t *testing.T, a *bed, heard *wire, b *bed) {
		for _, hinted := range []bool{true, false} {
			cb := a.create(t)
			waiters := map[string]*Waiter{"held": a.await(t, cb, false), "durable": a.await(t, cb, true)}
			watching, err := a.AwaitChange(cb.ID)
			if err != nil {
				t.Fatal(err)
			}
			waiters["watching"] = watching
			b.purgeNow(t, cb.ID)
			if hinted {
				heard.hints <- store.Hint{ID: cb.ID}
			}
			for name, w := range waiters {
				select {
				case n := <-w.C:
					if r := n.Record; r.ID != cb.ID || r.Phase != callback.Closed || r.Reason == "" {
						t.Errorf("%s: told of %+v", name, r)
					}
				case <-time.After(2 * sharedLookEvery):
					t.Errorf("%s: not told, hinted: %t", name, hinted)
				}
			}
			watching.Stop()
		}
	})
}
