package engine

import (
	"context"
	"errors"

	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/store"
)

// errUntold says that a step cannot be removed yet: its parent would wait for it for ever.
var errUntold = errors.New("the parent is to be told of the step first")

// Purge removes a callback and its bodies, whatever its phase, and however long it is kept
// otherwise. Who waits for one that has not ended is told that it is closed; work that is
// under way for it ends without effect. Purge returns when that is committed.
// store.ErrNotFound: there is no such callback.
func (e *Engine) Purge(ctx context.Context, key store.Key, reason string) error {
	ctx = context.WithoutCancel(ctx)
	for {
		r, commit, err := e.purge(ctx, key, reason)
		switch {
		case errors.Is(err, errUntold):
			if err := e.endStep(ctx, key, reason); err != nil {
				return err
			}
			continue
		case err != nil:
			return err
		}
		if err := store.Wait(ctx, commit); err != nil {
			return err
		}
		e.waiters.tellDurable(r, nil)
		return nil
	}
}

// purge removes a callback, unless it is a step whose parent does not know how it has
// ended. It returns the record as its waiters are told.
func (e *Engine) purge(ctx context.Context, key store.Key, reason string) (*callback.Record, store.Commit, error) {
	var last *callback.Record
	ended := false
	_, commit, err := e.update(ctx, key, func(r *callback.Record) (store.Change, error) {
		if !r.Parent.IsZero() && !r.Told {
			return store.Change{}, errUntold
		}
		last, ended = r.Purge(reason, callback.At(e.now()))
		return store.Change{Delete: true}, nil
	})
	if err != nil {
		return nil, nil, err
	}
	last = last.Lean()
	if ended {
		e.note(Closed, last, true)
	}
	e.note(Purged, last, false)
	e.waiters.tell(last, nil)
	return last, commit, nil
}

// endStep ends a step, and tells its parent how.
func (e *Engine) endStep(ctx context.Context, key store.Key, reason string) error {
	if _, err := e.CloseCallback(ctx, key, reason, ""); err != nil {
		return err
	}
	step, err := e.FindCommitted(ctx, key)
	if err != nil || !step.Untold() {
		return err
	}
	if err = e.tellParent(ctx, step); errors.Is(err, errLost) {
		// The step's own work was faster.
		return nil
	}
	return err
}
