package engine

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/store"
	"github.com/caddy-callback/caddy-callback/module/store/storetest"
)

// away is a store whose database can be away.
type away struct {
	store.Shared
	// out lets nothing be changed, and blind lets what is stored be in doubt.
	out, blind atomic.Bool
	// stuck lets it fail to forget.
	stuck atomic.Bool
}

func (a *away) Update(ctx context.Context, key store.Key, decide store.Decide) (*callback.Record, store.Commit, error) {
	if a.out.Load() {
		return nil, nil, fmt.Errorf("%w: it is away", store.ErrFailed)
	}
	r, c, err := a.Shared.Update(ctx, key, decide)
	if a.blind.Load() && err == nil {
		return nil, nil, fmt.Errorf("%w: it may be stored", store.ErrFailed)
	}
	return r, c, err
}

func (a *away) Forget(ctx context.Context, until callback.Time, limit int) (int, error) {
	if a.stuck.Load() {
		return 0, fmt.Errorf("%w: it takes too long", store.ErrFailed)
	}
	return a.Shared.Forget(ctx, until, limit)
}

func (a *away) Create(ctx context.Context, r *callback.Record) (store.Commit, error) {
	c, err := a.Shared.Create(ctx, r)
	if a.blind.Load() && err == nil {
		return nil, fmt.Errorf("%w: it may be stored", store.ErrFailed)
	}
	return c, err
}

// twoOfWhichOneIsAway runs a test with a node whose store can be away, and another.
func twoOfWhichOneIsAway(t *testing.T, test func(t *testing.T, s *away, a, b member)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		m := storetest.NewMemory()
		s, other := &away{Shared: m.Join()}, m.Join()
		test(t, s, member{newNode(t, s, callback.Policy{}), s}, member{newNode(t, other, callback.Policy{}), other})
	})
}

// The node lives on, and its number with it: what it has claimed would be left to it for good.
func TestWhatIsClaimedIsFreeAfterAnOutage(t *testing.T) {
	twoOfWhichOneIsAway(t, func(t *testing.T, s *away, a, b member) {
		cb := a.keyed(t)
		land, ok := a.departs(t, cb)
		release, err := a.turnToAsk(t.Context(), cb.ID)
		if !ok || err != nil {
			t.Fatalf("departed: %t, its turn to ask: %v", ok, err)
		}
		s.out.Store(true)
		land()
		release()
		time.Sleep(time.Minute)
		s.out.Store(false)
		time.Sleep(2 * unclaimEvery)
		synctest.Wait()
		if r := b.find(t, cb.ID).Record; r.Flight != 0 || r.Asking != 0 {
			t.Errorf("node %d serves it, and node %d asks about it", r.Flight, r.Asking)
		}
	})
}

// A client that is told to try again does so at any node.
func TestRequestWhoseCreationIsInDoubtIsServedAtAnotherNode(t *testing.T) {
	twoOfWhichOneIsAway(t, func(t *testing.T, s *away, a, b member) {
		s.blind.Store(true)
		key := callback.Digest{1}
		_, err := a.Create(t.Context(), Spec{Policy: a.policy, Spec: callback.Spec{ExpiresIn: time.Hour, Idempotency: key, Fingerprint: callback.Digest{2}}})
		if err == nil {
			t.Fatal("the creation is not in doubt")
		}
		time.Sleep(2 * unclaimEvery)
		synctest.Wait()
		r, _, err := b.shared.Find(t.Context(), store.ByAlias(key))
		if err != nil {
			t.Fatal(err)
		}
		if b.Serves(r) {
			t.Error("it is left to a node that does not serve it")
		}
	})
}

func TestWhatIsDueIsDoneThoughNothingCanBeForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &away{Shared: storetest.NewMemory().Join()}
		s.stuck.Store(true)
		a := newNode(t, s, callback.Policy{})
		w := a.await(t, a.create(t), true)
		select {
		case n := <-w.C:
			if n.Record.Phase != callback.Expired {
				t.Errorf("the callback is %s", n.Record.Phase)
			}
		case <-time.After(time.Hour):
			t.Error("the callback does not expire")
		}
	})
}

func TestAckIsNotAwaitedForeverAfterAnOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &away{Shared: storetest.NewMemory().Join()}
		a := member{newNode(t, s, callback.Policy{Keys: []string{"erp"}}), s}
		cb, came := a.awaiting(t)
		s.out.Store(true)
		came()
		time.Sleep(time.Minute)
		s.out.Store(false)
		time.Sleep(2 * unclaimEvery)
		synctest.Wait()
		if r := a.find(t, cb.ID); r.Awaited != nil {
			t.Error("its ack is awaited")
		}
	})
}

func TestWhatIsClaimedInDoubtIsFree(t *testing.T) {
	twoOfWhichOneIsAway(t, func(t *testing.T, s *away, a, b member) {
		cb := b.keyed(t)
		land, ok := b.departs(t, cb)
		if !ok {
			t.Fatal("it is served elsewhere")
		}
		land()
		synctest.Wait()
		s.blind.Store(true)
		if _, ok, err := a.Depart(t.Context(), cb); ok || err == nil {
			t.Errorf("departed: %t, %v", ok, err)
		}
		if _, err := a.turnToAsk(t.Context(), cb.ID); err == nil {
			t.Error("it is its turn to ask")
		}
		s.blind.Store(false)
		time.Sleep(2 * unclaimEvery)
		synctest.Wait()
		if r := b.find(t, cb.ID).Record; r.Flight != 0 || r.Asking != 0 {
			t.Errorf("node %d serves it, and node %d asks about it", r.Flight, r.Asking)
		}
	})
}
