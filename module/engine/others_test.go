package engine

import (
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"

	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/store"
	"github.com/caddy-callback/caddy-callback/module/store/storetest"
)

// curious is an observer that follows what other nodes do.
type curious struct {
	nobody
	mu      sync.Mutex
	follows bool
	changed []callback.UUID
	missed  int
}

func (c *curious) Follows() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.follows
}

func (c *curious) Changed(r *callback.Record) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.changed = append(c.changed, r.ID)
}

func (c *curious) Missed() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.missed++
}

// told returns what the observer was told since it was asked last.
func (c *curious) told() (changed []callback.UUID, missed int) {
	synctest.Wait()
	c.mu.Lock()
	defer c.mu.Unlock()
	changed, missed = c.changed, c.missed
	c.changed, c.missed = nil, 0
	return changed, missed
}

func TestWhoFollowsIsToldWhatOtherNodesChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := storetest.NewMemory()
		heard := &wire{Shared: m.Join(), hints: make(chan store.Hint, 10*maxOthers)}
		o := new(curious)
		a := newEngine(heard, Limits{MaxMemory: 64 << 20, MaxWaiting: 10_000, MaxHeld: 100}, zap.NewNop(), o, time.Now)
		defer func() { _ = a.Close() }()
		b := newNode(t, m.Join(), callback.Policy{})
		cb := b.create(t)
		heard.hints <- store.Hint{ID: cb.ID}
		if changed, missed := o.told(); len(changed)+missed != 0 {
			t.Errorf("told %v and %d though it does not follow", changed, missed)
		}
		o.follows = true
		heard.hints <- store.Hint{ID: cb.ID}
		heard.hints <- store.Hint{ID: callback.NewUUID()}
		if changed, missed := o.told(); len(changed) != 1 || changed[0] != cb.ID || missed != 0 {
			t.Errorf("told %v and %d", changed, missed)
		}
		heard.hints <- store.Hint{}
		if changed, missed := o.told(); len(changed) != 0 || missed != 1 {
			t.Errorf("told %v and %d though all hints were lost", changed, missed)
		}
	})
}

func TestWhatOtherNodesChangeWaitsInBounds(t *testing.T) {
	t.Parallel()
	o := new(curious)
	o.follows = true
	waiting := newOthers(storetest.NewMemory().Join(), o)
	id := callback.NewUUID()
	for range 3 {
		waiting.hear(store.Hint{ID: id})
	}
	for range maxOthers + 9 {
		waiting.hear(store.Hint{ID: callback.NewUUID()})
	}
	if len(waiting.waiting) != maxOthers || o.missed != 10 {
		t.Errorf("%d wait, %d were missed", len(waiting.waiting), o.missed)
	}
	if first, ok := waiting.next(); !ok || first != id {
		t.Errorf("first comes %v", first)
	}
	for n := maxOthers - 1; n > 0; n-- {
		if _, ok := waiting.next(); !ok {
			t.Fatalf("%d are missing", n)
		}
	}
	if _, ok := waiting.next(); ok || len(waiting.has) != 0 {
		t.Error("there are more than came")
	}
	var none *others
	none.hear(store.Hint{})
}
