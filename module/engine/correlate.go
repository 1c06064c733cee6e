package engine

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/store"
)

// ExpectAck notes, before a request is sent upstream, that the upstream's ack is to name
// the correlation id of a callback that can be called with these keys. came must be
// called once the callback has the id, or when no ack can come any more.
func (e *Engine) ExpectAck(id callback.UUID, keys []string) (came func()) {
	cameHere := e.early.expect(keys)
	if e.shared == nil || len(keys) == 0 {
		return cameHere
	}
	return sync.OnceFunc(func() {
		cameHere()
		e.background.Go(func() { e.ackCannotCome(id) })
	})
}

// ReceiveCorrelated decides on a call to the fixed URL, which names its callback by the
// correlation id, in any spelling if that is a UUID of ours. It finds only callbacks that
// one of the caller's named keys opens, and none that has expired or is closed: that is
// nobody's concern at a URL that all share. If there is none, the call waits as long as
// the ack may come that names it. store.ErrNotFound: it belongs to no callback. ErrBusy:
// too many calls wait.
func (e *Engine) ReceiveCorrelated(ctx context.Context, in Incoming, correlationID string) (callback.Verdict, *callback.Policy, error) {
	in.Fixed = true
	keys := slices.Compact(slices.Sorted(slices.Values(in.Call.Caller.Names)))
	meant := callback.Correlations(keys, correlationID)
	verdict, policy, err := e.takeCorrelated(ctx, in, meant)
	if errors.Is(err, store.ErrNotFound) {
		return e.receiveEarly(ctx, in, keys, meant)
	}
	return verdict, policy, err
}

// Expects reports whether a call with that correlation id may belong to a callback that one
// of the caller's keys opens: one has the id, or an ack is awaited that may give it. If the
// store cannot say, it does.
func (e *Engine) Expects(ctx context.Context, c callback.Caller, correlationID string) bool {
	if e.early.awaits(c.Names) || e.shared != nil && e.awaitsElsewhere(ctx, c.Names, callback.At(e.now())) {
		return true
	}
	for _, meant := range callback.Correlations(c.Names, correlationID) {
		for _, alias := range []callback.Digest{meant.ByAck, meant.ByRequest} {
			r, _, err := e.store.Find(ctx, store.ByAlias(alias))
			if err == nil && !slices.ContainsFunc(c.Names, func(key string) bool { return c.Opens(key, r.Name) }) {
				continue
			}
			if !errors.Is(err, store.ErrNotFound) {
				return true
			}
		}
	}
	return false
}

// takeCorrelated decides on a call that means one of these, for the first that leads to a
// callback: one whose ack gave the id is meant before any whose request did.
func (e *Engine) takeCorrelated(ctx context.Context, in Incoming, meant []callback.Correlation) (callback.Verdict, *callback.Policy, error) {
	var aliases []callback.Digest
	for _, c := range meant {
		verdict, policy, err := e.takeAlias(ctx, in, c.ByAck)
		if !isNobodys(verdict, err) {
			return verdict, policy, err
		}
		if err != nil && !c.ByRequest.IsZero() {
			aliases = append(aliases, c.ByRequest)
		}
	}
	for _, alias := range aliases {
		verdict, policy, err := e.takeAlias(ctx, in, alias)
		if !isNobodys(verdict, err) {
			return verdict, policy, err
		}
	}
	return callback.Verdict{}, nil, store.ErrNotFound
}

// takeAlias decides on a call for the callback with that alias, whatever the app that is
// asked said of the call for another callback.
func (e *Engine) takeAlias(ctx context.Context, in Incoming, alias callback.Digest) (callback.Verdict, *callback.Policy, error) {
	in.Call.Asked = nil
	return e.take(ctx, store.ByAlias(alias), in)
}

// isNobodys reports whether a call has found no callback, one that has no use for it, or one
// that none of the caller's keys opens.
func isNobodys(verdict callback.Verdict, err error) bool {
	if err != nil {
		return errors.Is(err, store.ErrNotFound)
	}
	return verdict.Kind == callback.Gone || verdict.Kind == callback.Forbidden || verdict.Kind == callback.Unauthorized
}

// receiveEarly waits for the callback that a call belongs to. Only an ack can still name
// it: a request that gives an id came before any call that means it.
func (e *Engine) receiveEarly(ctx context.Context, in Incoming, keys []string, meant []callback.Correlation) (callback.Verdict, *callback.Policy, error) {
	byAck := make([]callback.Correlation, len(meant))
	for i, c := range meant {
		byAck[i].ByAck = c.ByAck
	}
	if e.shared != nil {
		return e.receiveAwaited(ctx, in, keys, byAck)
	}
	call, err := e.early.enter(keys, byAck)
	if err != nil {
		return callback.Verdict{}, nil, err
	}
	if call != nil {
		defer e.early.leave(call)
	}
	// The ack may have come after the look-up and before enter.
	verdict, policy, err := e.takeCorrelated(ctx, in, byAck)
	if call == nil || !errors.Is(err, store.ErrNotFound) {
		return verdict, policy, err
	}
	timer := time.NewTimer(earlyFor)
	defer timer.Stop()
	select {
	case <-call.woken:
	case <-timer.C:
	case <-ctx.Done():
		return callback.Verdict{}, nil, ctx.Err()
	}
	return e.takeCorrelated(ctx, in, byAck)
}

// Unmatched counts a call to the fixed URL that belongs to no callback.
func (e *Engine) Unmatched() { e.observer.Unmatched() }

// Correlate gives a callback the correlation id that the upstream named in its ack, and
// returns its newest record. store.ErrExists: that id belongs to another callback.
func (e *Engine) Correlate(ctx context.Context, id callback.UUID, correlationID string) (*callback.Record, error) {
	r, err := e.transition(ctx, store.ByID(id), Correlated, func(r *callback.Record, p *callback.Policy) store.Change {
		next, _ := r.Correlate(p, correlationID, callback.At(e.now()))
		return store.Change{Next: next}
	})
	if err == nil {
		e.early.tell(r.Aliases)
	}
	return r, err
}
