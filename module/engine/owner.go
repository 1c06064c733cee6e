package engine

import (
	"context"
	"errors"
	"time"

	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/store"
)

// errLost: another node does the work by now, and its outcome counts.
var errLost = errors.New("another node does this work")

// update is store.Update. A decision takes along what was noted of the callback. In a store of
// several nodes it also says who does the work that is due after it.
func (e *Engine) update(ctx context.Context, key store.Key, decide store.Decide) (*callback.Record, store.Commit, error) {
	var notes carried
	r, commit, err := e.store.Update(ctx, key, func(r *callback.Record) (store.Change, error) {
		c, err := decide(r)
		notes = carried{of: r.ID}
		switch {
		case err != nil:
		case c.Next != nil:
			if e.shared != nil {
				c.Next = e.assigned(c.Next)
			}
			if c.Next == r {
				next := *r
				c.Next = &next
			}
			notes.added = e.notes.join(c.Next, r)
		case c.Delete:
			notes.removed = true
		}
		return c, err
	})
	switch {
	case err != nil:
	case notes.removed:
		e.notes.gone(notes.of)
	case notes.added > 0:
		e.notes.written(notes.of, notes.added)
	}
	return r, commit, err
}

// carried is what a decision has done to the notes of a callback.
type carried struct {
	of      callback.UUID
	added   uint64
	removed bool
}

// assigned returns a record with the owner of the work that is due: the one that it has, as
// long as that lives, or else this node, if it can do the work.
func (e *Engine) assigned(r *callback.Record) *callback.Record {
	owner, now := callback.Node(0), callback.At(e.now())
	if t, due := workOf(r, now); due {
		switch {
		case e.elsewhere(r.Owner):
			owner = r.Owner
		case e.can(r, t, now):
			owner = e.self()
		}
	}
	if owner == r.Owner {
		return r
	}
	next := *r
	next.Owner = owner
	return &next
}

// rollout is how long work is left to nodes whose configuration says how it is done, before one
// takes it whose does not: the configuration of the nodes is not changed at once.
const rollout = 10 * time.Minute

// can reports whether this node is to do work of a record that is due.
func (e *Engine) can(r *callback.Record, t task, now callback.Time) bool {
	if t.kind == telling {
		return true
	}
	worker := e.worker.Load()
	if worker == nil {
		return false
	}
	can := (*worker).CanDeliver
	if t.kind == attempting {
		can = (*worker).CanAttempt
	}
	return can(r) || t.since.Add(rollout) <= now
}

// giveBack leaves the work of a record to another node.
func (e *Engine) giveBack(ctx context.Context, id callback.UUID) error {
	_, _, err := e.update(ctx, store.ByID(id), func(r *callback.Record) (store.Change, error) {
		if !e.misowned(r) {
			return store.Change{}, nil
		}
		return store.Change{Next: r}, nil
	})
	return err
}

// misowned reports whether a record has another owner than it should have.
func (e *Engine) misowned(r *callback.Record) bool {
	return e.shared != nil && e.assigned(r) != r
}

// owns reports whether this node does the work of a callback.
func (e *Engine) owns(r *callback.Record) bool { return r.Owner == e.self() }
