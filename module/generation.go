package module

import (
	"slices"
	"sync/atomic"
)

// generations counts the configurations that have started.
var generations atomic.Uint64

// started notes that a configuration uses the runtime. The newest one is what
// background work and the admin endpoint go by.
func (rt *runtime) started(a *App) {
	rt.appsLock.Lock()
	defer rt.appsLock.Unlock()
	a.generation = generations.Add(1)
	rt.apps = append(rt.apps, a)
	emitting.Store(a.events)
	rt.engine.SetWorker(worker{rt})
}

// ended notes that a configuration uses the runtime no more. If it never came to
// serve, the one before it counts again.
func (rt *runtime) ended(a *App) {
	rt.appsLock.Lock()
	defer rt.appsLock.Unlock()
	newest := rt.apps[len(rt.apps)-1] == a
	rt.apps = slices.DeleteFunc(rt.apps, func(other *App) bool { return other == a })
	switch {
	case len(rt.apps) == 0:
		rt.engine.SetWorker(nil)
		emitting.CompareAndSwap(a.events, nil)
	case newest:
		before := rt.apps[len(rt.apps)-1]
		rt.engine.SetLimits(before.limits())
		rt.log.swap(before.log)
		emitting.Store(before.events)
	}
}

// current returns the app of the newest configuration; nil if there is none.
func (rt *runtime) current() *App {
	rt.appsLock.Lock()
	defer rt.appsLock.Unlock()
	if len(rt.apps) == 0 {
		return nil
	}
	return rt.apps[len(rt.apps)-1]
}

// route returns the directive with that name in the newest configuration; nil if
// there is none.
func (rt *runtime) route(name string) *Handler {
	if a := rt.current(); a != nil {
		return a.routes[name]
	}
	return nil
}
