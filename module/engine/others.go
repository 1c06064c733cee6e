package engine

import (
	"context"
	"sync"

	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/store"
)

// Follower is an Observer that may want to know what other nodes do to callbacks, too. Of
// those that they make it is told at their next change.
type Follower interface {
	// Follows reports whether it wants to know at the moment.
	Follows() bool
	// Changed is told of a callback that another node has changed, as it has become by then.
	Changed(r *callback.Record)
	// Missed is told that there are changes by other nodes of which Changed is not told.
	Missed()
}

// maxOthers is how many callbacks that other nodes have changed wait to be looked at. There
// is one look at a time, so that who follows is no burden to the store.
const maxOthers = 1024

// others are callbacks that other nodes have changed.
type others struct {
	told Follower
	mu   sync.Mutex
	// waiting are to be looked at, in their order; each once.
	waiting []callback.UUID
	has     map[callback.UUID]bool
	wake    chan struct{}
}

// newOthers returns nil if nobody can want to know.
func newOthers(shared store.Shared, o Observer) *others {
	told, ok := o.(Follower)
	if !ok || shared == nil {
		return nil
	}
	return &others{told: told, has: make(map[callback.UUID]bool), wake: make(chan struct{}, 1)}
}

// hear takes a hint.
func (o *others) hear(h store.Hint) {
	if o == nil || !o.told.Follows() {
		return
	}
	if h.IsZero() || !o.add(h.ID) {
		o.told.Missed()
		return
	}
	select {
	case o.wake <- struct{}{}:
	default:
	}
}

// add reports whether there is room.
func (o *others) add(id callback.UUID) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.has[id] {
		return true
	}
	if len(o.waiting) >= maxOthers {
		return false
	}
	o.waiting, o.has[id] = append(o.waiting, id), true
	return true
}

// next returns a callback to look at, and whether there is one.
func (o *others) next() (id callback.UUID, ok bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.waiting) == 0 {
		o.waiting = nil
		return id, false
	}
	id, o.waiting = o.waiting[0], o.waiting[1:]
	delete(o.has, id)
	return id, true
}

// followOthers looks at what other nodes have changed, until the context ends.
func (e *Engine) followOthers(ctx context.Context) {
	for {
		select {
		case <-e.others.wake:
		case <-ctx.Done():
			return
		}
		for id, ok := e.others.next(); ok && ctx.Err() == nil; id, ok = e.others.next() {
			// One that is there no more tells nothing.
			if r, _, err := e.store.Find(ctx, store.ByID(id)); err == nil {
				e.others.told.Changed(r)
			}
		}
	}
}
