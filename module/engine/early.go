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

const (
	// earlyFor is how long a call to the fixed URL waits for its callback: it may have
	// overtaken the ack that names its correlation id.
	earlyFor = 10 * time.Second
	// maxEarly bounds the calls that wait for their callback, for each key.
	maxEarly = 1000
)

// early has the calls to the fixed URL whose callback is not known yet.
type early struct {
	mu sync.Mutex
	// arrived has a channel for each alias that calls wait for. It is closed when a
	// callback gets that alias.
	arrived map[callback.Digest]*arrival
	// count has the number of waiting calls, by key.
	count map[string]int
}

type arrival struct {
	c     chan struct{}
	users int
}

func newEarly() *early {
	return &early{arrived: make(map[callback.Digest]*arrival), count: make(map[string]int)}
}

// enter begins to wait for an alias on behalf of a key. leave must be called
// afterwards.
func (ea *early) enter(key string, alias callback.Digest) (<-chan struct{}, error) {
	ea.mu.Lock()
	defer ea.mu.Unlock()
	if ea.count[key] >= maxEarly {
		return nil, ErrBusy
	}
	ea.count[key]++
	a := ea.arrived[alias]
	if a == nil {
		a = &arrival{c: make(chan struct{})}
		ea.arrived[alias] = a
	}
	a.users++
	return a.c, nil
}

func (ea *early) leave(key string, alias callback.Digest) {
	ea.mu.Lock()
	defer ea.mu.Unlock()
	if ea.count[key]--; ea.count[key] == 0 {
		delete(ea.count, key)
	}
	if a := ea.arrived[alias]; a != nil {
		if a.users--; a.users == 0 {
			delete(ea.arrived, alias)
		}
	}
}

// tell wakes the calls that wait for one of the aliases.
func (ea *early) tell(aliases []callback.Digest) {
	if len(aliases) == 0 {
		return
	}
	ea.mu.Lock()
	defer ea.mu.Unlock()
	for _, alias := range aliases {
		if a := ea.arrived[alias]; a != nil && !isClosed(a.c) {
			close(a.c)
		}
	}
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// ReceiveCorrelated decides on a call to the fixed URL, which names its callback by the
// correlation id, in any spelling if that is a UUID of ours. It finds only callbacks that one of the caller's named keys may call.
// If there is none yet, the call waits for a while. store.ErrNotFound: no callback was
// found in time. ErrBusy: too many calls wait.
func (e *Engine) ReceiveCorrelated(ctx context.Context, in Incoming, correlationID string) (callback.Verdict, *callback.Policy, error) {
	in.Fixed = true
	names := slices.Compact(slices.Sorted(slices.Values(in.Call.Caller.Names)))
	meant := callback.Correlations(names, correlationID)
	verdict, policy, err := e.takeCorrelated(ctx, in, meant)
	if !errors.Is(err, store.ErrNotFound) || len(names) == 0 {
		return verdict, policy, err
	}
	return e.receiveEarly(ctx, in, names[0], meant)
}

// takeCorrelated decides on a call that means one of these, for the first that leads to a
// callback: one whose ack gave the id is meant before any whose request did.
func (e *Engine) takeCorrelated(ctx context.Context, in Incoming, meant []callback.Correlation) (callback.Verdict, *callback.Policy, error) {
	for _, alias := range aliasesOf(meant) {
		verdict, policy, err := e.take(ctx, store.ByAlias(alias), in)
		if !errors.Is(err, store.ErrNotFound) {
			return verdict, policy, err
		}
	}
	return callback.Verdict{}, nil, store.ErrNotFound
}

// aliasesOf returns the aliases that a call can mean, the first first.
func aliasesOf(meant []callback.Correlation) (aliases []callback.Digest) {
	for _, c := range meant {
		aliases = append(aliases, c.ByAck)
	}
	for _, c := range meant {
		aliases = append(aliases, c.ByRequest)
	}
	return aliases
}

// receiveEarly waits for the callback that a call belongs to.
func (e *Engine) receiveEarly(ctx context.Context, in Incoming, key string, meant []callback.Correlation) (callback.Verdict, *callback.Policy, error) {
	arrived, err := e.early.enter(key, meant[0].ByAck)
	if err != nil {
		return callback.Verdict{}, nil, err
	}
	defer e.early.leave(key, meant[0].ByAck)
	// The callback may have arrived after the look-up and before enter.
	if verdict, policy, err := e.takeCorrelated(ctx, in, meant); !errors.Is(err, store.ErrNotFound) {
		return verdict, policy, err
	}
	timer := time.NewTimer(earlyFor)
	defer timer.Stop()
	select {
	case <-arrived:
	case <-timer.C:
	case <-ctx.Done():
		return callback.Verdict{}, nil, ctx.Err()
	}
	verdict, policy, err := e.takeCorrelated(ctx, in, meant)
	if errors.Is(err, store.ErrNotFound) {
		e.observer.Unmatched()
	}
	return verdict, policy, err
}

// Correlate gives a callback the correlation id that the upstream named in its ack, and
// returns its newest record. store.ErrExists: that id belongs to another callback.
func (e *Engine) Correlate(ctx context.Context, id callback.UUID, correlationID string) (*callback.Record, error) {
	r, err := e.transition(ctx, store.ByID(id), Correlated, func(r *callback.Record, p *callback.Policy) store.Change {
		next, _ := r.Correlate(p, correlationID)
		return store.Change{Next: next}
	})
	if err == nil {
		e.early.tell(r.Aliases)
	}
	return r, err
}
