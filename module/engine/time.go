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
	// sweepEvery is how often the engine looks for what is due. It need not be exact:
	// expiry is decided when a call arrives.
	sweepEvery = time.Second
	// sweepBatch is how many due callbacks a sweep looks at at once. If the work of all
	// of them waits for its turn, it looks at more, up to maxSweepBatch.
	sweepBatch    = 1000
	maxSweepBatch = 64 * sweepBatch
)

// sweep expires waiting callbacks, forgets those past their retention, and finds the
// work that is due.
func (e *Engine) sweep(ctx context.Context) {
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for {
		for batch := sweepBatch; batch > 0; {
			batch = e.sweepOnce(ctx, batch)
		}
		if e.store.Ready() == nil {
			e.outages.works()
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// sweepOnce acts on what is due, and returns how many callbacks to look at next; 0 if
// there are probably no more.
func (e *Engine) sweepOnce(ctx context.Context, batch int) (next int) {
	ids, err := e.store.Due(ctx, callback.At(e.now()), batch)
	if err != nil {
		return 0
	}
	last, done := store.Committed, 0
	for _, id := range ids {
		if e.lanes.knows(id) {
			continue
		}
		acted, commit, err := e.act(ctx, id)
		switch {
		case err == nil && acted:
			done++
			last = commit
		case err == nil:
		case errors.Is(err, store.ErrFailed), errors.Is(err, store.ErrClosed), errors.Is(err, store.ErrFull):
			return 0
		default:
			// A record that cannot be read must not block the others.
			e.outages.due.Failed(causeOf(err), 1, zap.Stringer("id", id), zap.Error(err))
		}
	}
	switch {
	case store.Wait(ctx, last) != nil || len(ids) < batch:
		return 0
	case done > 0:
		return batch
	case batch < maxSweepBatch:
		// Callbacks that wait for their turn must not hide what is due behind them.
		return 4 * batch
	}
	return 0
}

// act does what is due: it expires a waiting callback, removes the bodies of a finished one
// or forgets it, and queues work. It reports whether it changed the record.
func (e *Engine) act(ctx context.Context, id callback.UUID) (acted bool, _ store.Commit, _ error) {
	expired, stripped := false, false
	r, commit, err := e.update(ctx, store.ByID(id), func(r *callback.Record) (store.Change, error) {
		now := callback.At(e.now())
		if acted = r.Forgettable(now); acted {
			return store.Change{Delete: true}, nil
		}
		if e.elsewhere(r.Owner) {
			// What is under way at the expiry counts.
			return store.Change{}, nil
		}
		p, err := e.store.Policy(ctx, r.Policy)
		if err != nil {
			return store.Change{}, err
		}
		var next *callback.Record
		if next, expired = r.Expire(p, now); !expired {
			next, stripped = r.StripBodies(now)
		}
		if next == nil && e.unowned(r) {
			next, acted = r, true
		}
		return store.Change{Next: next}, nil
	})
	if r != nil {
		r = r.Lean()
	}
	if err == nil && expired {
		e.note(Expired, r, true)
		e.waiters.tell(r, nil)
		go e.tellCommitted(r, commit)
	}
	if err == nil && stripped {
		e.note(Stripped, r, false)
		go e.tellCommitted(r, commit)
	}
	if err == nil && r != nil {
		e.offer(r)
	}
	return acted || expired || stripped, commit, err
}
