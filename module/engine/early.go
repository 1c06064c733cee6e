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
	// earlyFor is how long a call to the fixed URL is kept that no callback
	// belongs to yet: it may have overtaken the ack that names its correlation id.
	earlyFor = 10 * time.Second
	// maxEarly bounds the calls that are kept so, for each key.
	maxEarly = 1000
)

// early are the calls to the fixed URL that wait for their callback to be known.
type early struct {
	mu sync.Mutex
	// arrived has a channel for each alias that is waited for, closed when a
	// callback has it.
	arrived map[callback.Digest]*arrival
	// count has the number of calls that wait, by key.
	count map[string]int
}

type arrival struct {
	c     chan struct{}
	users int
}

func newEarly() *early {
	return &early{arrived: make(map[callback.Digest]*arrival), count: make(map[string]int)}
}

// enter begins to wait for an alias on behalf of a key. leave must follow.
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

// ReceiveCorrelated decides on a call to the fixed URL, which names its callback by
// the correlation id. The caller's keys decide whose callbacks it can mean. A call
// that no callback belongs to yet is kept for a while. store.ErrNotFound: none has
// come to belong to it. ErrBusy: too many calls are kept.
func (e *Engine) ReceiveCorrelated(ctx context.Context, in Incoming, correlationID string) (callback.Verdict, *callback.Policy, error) {
	in.Fixed = true
	names := slices.Compact(slices.Sorted(slices.Values(in.Call.Caller.Names)))
	for _, name := range names {
		alias := callback.CorrelationAlias(name, correlationID)
		if _, _, err := e.store.Find(ctx, store.ByAlias(alias)); !errors.Is(err, store.ErrNotFound) {
			return e.receiveAlias(ctx, in, alias, err)
		}
	}
	if len(names) == 0 {
		return callback.Verdict{}, nil, store.ErrNotFound
	}
	return e.receiveEarly(ctx, in, names[0], callback.CorrelationAlias(names[0], correlationID))
}

func (e *Engine) receiveAlias(ctx context.Context, in Incoming, alias callback.Digest, err error) (callback.Verdict, *callback.Policy, error) {
	if err != nil {
		return callback.Verdict{}, nil, err
	}
	return e.take(ctx, store.ByAlias(alias), in)
}

// receiveEarly waits for the callback that a call belongs to.
func (e *Engine) receiveEarly(ctx context.Context, in Incoming, key string, alias callback.Digest) (callback.Verdict, *callback.Policy, error) {
	arrived, err := e.early.enter(key, alias)
	if err != nil {
		return callback.Verdict{}, nil, err
	}
	defer e.early.leave(key, alias)
	// It may have arrived before there was a call to tell.
	if _, _, err := e.store.Find(ctx, store.ByAlias(alias)); !errors.Is(err, store.ErrNotFound) {
		return e.receiveAlias(ctx, in, alias, err)
	}
	timer := time.NewTimer(earlyFor)
	defer timer.Stop()
	select {
	case <-arrived:
	case <-timer.C:
	case <-ctx.Done():
		return callback.Verdict{}, nil, ctx.Err()
	}
	verdict, policy, err := e.take(ctx, store.ByAlias(alias), in)
	if errors.Is(err, store.ErrNotFound) {
		e.observer.Unmatched()
	}
	return verdict, policy, err
}

// Correlate gives a callback the correlation id that the upstream has named in its
// ack, and returns it as it then is. store.ErrExists: that id belongs to another
// callback.
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
