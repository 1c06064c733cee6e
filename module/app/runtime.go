package app

import (
	"sync"
	"sync/atomic"

	"go.uber.org/zap"

	"github.com/caddy-callback/caddy-callback/module/engine"
	"github.com/caddy-callback/caddy-callback/module/store"
	"github.com/caddy-callback/caddy-callback/module/trend"
)

// runtimes are the engines of this process, by the identity of their store. They
// outlive configurations: a reload starts the next one before it stops the last,
// and requests of the last one may be held long after.
var runtimes = registry{open: make(map[string]*Runtime)}

// registry makes sure that a store is opened once. caddy.UsagePool cannot be used:
// it forgets a key before its value is destroyed, and here the last user can be a
// request, so that a reload could find the store neither open nor closed.
type registry struct {
	mu   sync.Mutex
	open map[string]*Runtime
}

// Runtime is an engine with the count of its users: configurations, and the
// requests that they hold.
type Runtime struct {
	identity string
	log      *liveLog
	users    atomic.Int64
	store    store.Store
	// Engine works on the store.
	Engine *engine.Engine
	// Feed tells what happens to its callbacks.
	Feed *Feed
	// Trend is what has happened to callbacks in the last hour, as far as this process has
	// seen it.
	Trend *trend.Trend
	// Exit is closed when Caddy exits.
	Exit <-chan struct{}

	appsLock sync.Mutex
	// apps are the configurations that use the runtime, the newest last.
	apps []*App

	// opened is closed when Engine or err is set.
	opened chan struct{}
	err    error
	// closed is closed when the store has been closed.
	closed chan struct{}
	// counting ends with stopCounting.
	counting     sync.WaitGroup
	stopCounting chan struct{}
}

// opening opens a store, with an engine that works on it and tells the observer.
type opening func(*zap.Logger, engine.Observer) (store.Store, *engine.Engine, error)

// acquire returns the runtime with that identity, opening it if there is none.
// It waits for one that is being closed.
func (rs *registry) acquire(identity string, log *zap.Logger, open opening) (*Runtime, error) {
	for {
		rt, fresh := rs.get(identity, log)
		if fresh {
			return rs.start(rt, open)
		}
		if !rt.retain() {
			<-rt.closed
			continue
		}
		<-rt.opened
		if rt.err != nil {
			return nil, rt.err
		}
		rt.log.swap(log)
		return rt, nil
	}
}

// find returns the runtime with that identity, if it is open. It must be released.
func (rs *registry) find(identity string) *Runtime {
	rs.mu.Lock()
	rt := rs.open[identity]
	rs.mu.Unlock()
	if rt == nil || !rt.retain() {
		return nil
	}
	select {
	case <-rt.opened:
		if rt.err == nil {
			return rt
		}
	default:
	}
	rt.Release()
	return nil
}

func (rs *registry) get(identity string, log *zap.Logger) (rt *Runtime, fresh bool) {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	if rt := rs.open[identity]; rt != nil {
		return rt, false
	}
	rt = &Runtime{
		identity: identity,
		log:      newLiveLog(log),
		Feed:     NewFeed(),
		Trend:    trend.New(),
		opened:   make(chan struct{}),
		closed:   make(chan struct{}),

		stopCounting: make(chan struct{}),
	}
	rt.users.Store(1)
	rs.open[identity] = rt
	return rt, true
}

func (rs *registry) start(rt *Runtime, open opening) (*Runtime, error) {
	rt.store, rt.Engine, rt.err = open(zap.New(rt.log), witness{rt.Feed, rt.Trend})
	if rt.err != nil {
		rs.forget(rt)
		close(rt.opened)
		close(rt.closed)
		return nil, rt.err
	}
	rt.Exit = exiting.watch()
	rt.counting.Go(rt.count)
	close(rt.opened)
	return rt, nil
}

func (rs *registry) forget(rt *Runtime) {
	rs.mu.Lock()
	delete(rs.open, rt.identity)
	rs.mu.Unlock()
}

// retain adds a user, unless the last one has gone.
func (rt *Runtime) retain() bool {
	for {
		n := rt.users.Load()
		if n == 0 {
			return false
		}
		if rt.users.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

// Release ends the use by one user. The last one closes the store.
func (rt *Runtime) Release() {
	if rt.users.Add(-1) > 0 {
		return
	}
	close(rt.stopCounting)
	rt.counting.Wait()
	if err := rt.Engine.Close(); err != nil {
		zap.New(rt.log).Error("closing the callback store", zap.Error(err))
	}
	rt.Feed.close()
	exiting.unwatch()
	runtimes.forget(rt)
	close(rt.closed)
}

// Log returns the log of the newest configuration.
func (rt *Runtime) Log() *zap.Logger { return zap.New(rt.log) }

// Exiting reports whether Caddy has begun to exit.
func (rt *Runtime) Exiting() bool {
	select {
	case <-rt.Exit:
		return true
	default:
		return false
	}
}
