package engine

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
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
	now := callback.At(e.now())
	if e.shared != nil {
		e.forget(ctx, now)
	}
	ids, err := e.store.Due(ctx, now, batch)
	if err != nil {
		return 0
	}
	s := sweeping{last: store.Committed}
	each(ids, e.sweepers(), func(id callback.UUID) { s.act(ctx, e, id) })
	switch {
	case s.failed.Load() || store.Wait(ctx, s.last) != nil || len(ids) < batch:
		return 0
	case s.done > 0:
		return batch
	case batch < maxSweepBatch:
		// Callbacks that wait for their turn must not hide what is due behind them.
		return 4 * batch
	}
	return 0
}

// forget removes the callbacks past their retention from a store of several nodes, many at
// once. Those that it does not remove are removed one by one.
func (e *Engine) forget(ctx context.Context, now callback.Time) {
	for {
		if n, err := e.shared.Forget(ctx, now, sweepBatch); n < sweepBatch || err != nil {
			return
		}
	}
}

// sharedSweepers is how many callbacks are acted on at once in a store of several nodes, which
// commits each decision before the next of the same goroutine.
const sharedSweepers = 64

func (e *Engine) sweepers() int {
	if e.shared == nil {
		return 1
	}
	return sharedSweepers
}

// sweeping is what has come of a sweep so far.
type sweeping struct {
	// failed says that the store takes no changes.
	failed atomic.Bool

	mu sync.Mutex
	// done is how many callbacks were changed, and last the commit of one of the last.
	done int
	last store.Commit
}

// act does what is due for a callback.
func (s *sweeping) act(ctx context.Context, e *Engine, id callback.UUID) {
	if s.failed.Load() || e.lanes.knows(id) {
		return
	}
	acted, commit, err := e.act(ctx, id)
	switch {
	case err == nil && acted:
		s.mu.Lock()
		defer s.mu.Unlock()
		s.done++
		s.last = commit
	case err == nil:
	case errors.Is(err, store.ErrFailed), errors.Is(err, store.ErrClosed), errors.Is(err, store.ErrFull):
		s.failed.Store(true)
	default:
		// A record that cannot be read must not block the others.
		e.outages.due.Failed(causeOf(err), 1, zap.Stringer("id", id), zap.Error(err))
	}
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
		if next == nil && e.misowned(r) {
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
