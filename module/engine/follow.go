package engine

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/store"
)

const (
	// lookEvery is how often the callbacks of waiters are looked at without a hint that
	// they have changed, and sharedLookEvery is the same where other nodes change them.
	lookEvery       = 15 * time.Second
	sharedLookEvery = 2 * time.Second
	// lookBatch is how many callbacks the store is asked about at once.
	lookBatch = 1000
	// lookers is how many callbacks are looked at at once.
	lookers = 8
)

// follow looks at the callbacks that have waiters: at once if another node hints at a
// change, and regularly in any case, because a hint can be lost.
func (e *Engine) follow(ctx context.Context) {
	every := lookEvery
	if e.shared != nil {
		every = sharedLookEvery
	}
	for {
		// Nodes that began together must not ask the store together.
		timer := time.NewTimer(every*4/5 + rand.N(every*2/5)) //nolint:gosec // a wait is no secret
		select {
		case <-ctx.Done():
		case h := <-e.store.Changes():
			e.heed(ctx, h)
		case <-timer.C:
			e.lookAround(ctx)
		}
		timer.Stop()
		if ctx.Err() != nil {
			return
		}
	}
}

// heed looks at what a hint, and those that have come with it, are about.
func (e *Engine) heed(ctx context.Context, h store.Hint) {
	changed := make(map[callback.UUID]bool)
	for n := 1; ; n++ {
		e.others.hear(h)
		if h.IsZero() {
			e.lookAround(ctx)
			return
		}
		e.early.tell(h.Aliases)
		if e.waiters.has(h.ID) {
			changed[h.ID] = true
		}
		if n == lookBatch {
			break
		}
		select {
		case h = <-e.store.Changes():
			continue
		default:
		}
		break
	}
	var ids []callback.UUID
	for id := range changed {
		ids = append(ids, id)
	}
	e.look(ctx, ids)
}

// lookAround looks at all callbacks that have waiters. Of those whose end alone is waited for
// a store of several nodes is asked first which have ended, for there can be many.
func (e *Engine) lookAround(ctx context.Context) {
	ends, changes := e.waiters.ids()
	if e.shared == nil {
		e.look(ctx, append(ends, changes...))
		return
	}
	e.look(ctx, changes)
	for batch := range slices.Chunk(ends, lookBatch) {
		ended, err := e.shared.Ended(ctx, batch)
		if err != nil {
			return
		}
		e.look(ctx, ended)
	}
}

// look tells the waiters of callbacks about their committed records.
func (e *Engine) look(ctx context.Context, ids []callback.UUID) {
	each(ids, lookers, func(id callback.UUID) { e.lookAt(ctx, id) })
}

// each calls do for each callback, for so many at once.
func each(ids []callback.UUID, atOnce int, do func(callback.UUID)) {
	next := make(chan callback.UUID)
	var done sync.WaitGroup
	for range min(atOnce, len(ids)) {
		done.Go(func() {
			for id := range next {
				do(id)
			}
		})
	}
	for _, id := range ids {
		next <- id
	}
	close(next)
	done.Wait()
}

// removedElsewhere is what who waits is told of a callback that another node has removed.
const removedElsewhere = "it was removed"

func (e *Engine) lookAt(ctx context.Context, id callback.UUID) {
	r, commit, err := e.store.Find(ctx, store.ByID(id))
	if errors.Is(err, store.ErrNotFound) && e.waiters.has(id) {
		// No record says any more how it has ended. This is what it does where it is removed.
		r, commit, err = &callback.Record{ID: id, Phase: callback.Closed, FinishedAt: callback.At(e.now()), Reason: removedElsewhere}, store.Committed, nil
	}
	if err != nil || store.Wait(ctx, commit) != nil {
		return
	}
	r = r.Lean()
	e.waiters.tell(r, nil)
	e.waiters.tellDurable(r, nil)
}
