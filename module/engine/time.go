package engine

import (
	"context"
	"errors"
	"time"

	"go.uber.org/zap"

	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/store"
)

const (
	// sweepEvery is how often is looked for what is due. Nothing depends on its
	// exactness: expiry is judged when a call arrives.
	sweepEvery = time.Second
	// sweepBatch is how many callbacks are acted on before the next look.
	sweepBatch = 1000
	// lookEvery is how often waiters' callbacks are looked at although nobody
	// said that they have changed.
	lookEvery = 15 * time.Second
)

// sweep expires what was never called and forgets what is past its retention.
func (e *Engine) sweep(ctx context.Context) {
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for {
		for e.sweepOnce(ctx) {
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// sweepOnce acts on what is due, and reports whether there is likely more.
func (e *Engine) sweepOnce(ctx context.Context) (more bool) {
	ids, err := e.store.Due(ctx, callback.At(e.now()), sweepBatch)
	if err != nil {
		return false
	}
	last, done := store.Committed, 0
	for _, id := range ids {
		commit, err := e.act(ctx, id)
		switch {
		case err == nil:
			done++
			last = commit
		case errors.Is(err, store.ErrFailed), errors.Is(err, store.ErrClosed), errors.Is(err, store.ErrFull):
			return false
		default:
			// One that cannot be read must not keep the others from their end.
			e.log.Warn("a callback that is due could not be brought to its end", zap.Stringer("id", id), zap.Error(err))
		}
	}
	return store.Wait(ctx, last) == nil && len(ids) == sweepBatch && done > 0
}

// act does what time asks for: it expires a waiting callback and forgets a
// finished one.
func (e *Engine) act(ctx context.Context, id callback.UUID) (store.Commit, error) {
	expired := false
	r, commit, err := e.store.Update(ctx, store.ByID(id), func(r *callback.Record) (store.Change, error) {
		now := callback.At(e.now())
		if r.Forgettable(now) {
			return store.Change{Delete: true}, nil
		}
		p, err := e.store.Policy(ctx, r.Policy)
		if err != nil {
			return store.Change{}, err
		}
		var next *callback.Record
		next, expired = r.Expire(p, now)
		return store.Change{Next: next}, nil
	})
	if err == nil && expired {
		e.logTransition("callback expired", r)
		e.waiters.tell(r, nil)
		go e.tellCommitted(r, commit)
	}
	return commit, err
}

// follow looks at the callbacks that somebody waits for: at once where another
// node hints at a change, and now and then in any case, since a hint can be lost.
func (e *Engine) follow(ctx context.Context) {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case id := <-e.store.Changes():
			e.look(ctx, id)
		case <-tick.C:
			for _, id := range e.waiters.ids() {
				e.look(ctx, id)
			}
		}
	}
}

// look tells the waiters of a callback if it has ended.
func (e *Engine) look(ctx context.Context, id callback.UUID) {
	r, commit, err := e.store.Find(ctx, store.ByID(id))
	if err != nil || !r.Phase.Final() || store.Wait(ctx, commit) != nil {
		return
	}
	e.waiters.tell(r, nil)
	e.waiters.tellDurable(r, nil)
}
