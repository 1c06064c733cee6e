package engine

import (
	"context"
	"errors"

	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/store"
)

// errLost: another node does the work by now, and its outcome counts.
var errLost = errors.New("another node does this work")

// update is store.Update. In a store of several nodes a decision also says who does the work
// that is due after it.
func (e *Engine) update(ctx context.Context, key store.Key, decide store.Decide) (*callback.Record, store.Commit, error) {
	if e.shared == nil {
		return e.store.Update(ctx, key, decide)
	}
	return e.store.Update(ctx, key, func(r *callback.Record) (store.Change, error) {
		c, err := decide(r)
		if err == nil && c.Next != nil {
			c.Next = e.assigned(c.Next)
		}
		return c, err
	})
}

// assigned returns a record with the owner of the work that is due: the one that it has, as
// long as that lives, or else this node.
func (e *Engine) assigned(r *callback.Record) *callback.Record {
	owner := callback.Node(0)
	if _, due := workOf(r, callback.At(e.now())); due {
		owner = e.self()
		if e.elsewhere(r.Owner) {
			owner = r.Owner
		}
	}
	if owner == r.Owner {
		return r
	}
	next := *r
	next.Owner = owner
	return &next
}

// unowned reports whether a record has work that is due and that no node owns.
func (e *Engine) unowned(r *callback.Record) bool {
	return e.shared != nil && e.assigned(r) != r
}

// owns reports whether this node does the work of a callback.
func (e *Engine) owns(r *callback.Record) bool { return r.Owner == e.self() }
