package app

import (
	"cmp"
	"slices"
	"sync/atomic"

	"go.uber.org/zap"
)

// generations counts the configurations that have started.
var generations atomic.Uint64

// started notes that a configuration uses the runtime. Background work and the admin
// endpoint use the newest one.
func (rt *Runtime) started(a *App) {
	rt.appsLock.Lock()
	defer rt.appsLock.Unlock()
	a.generation = generations.Add(1)
	rt.apps = append(rt.apps, a)
	emitting.Store(a.events)
	rt.Engine.SetWorker(worker{rt})
}

// ended notes that a configuration no longer uses the runtime. If it was the newest, as
// after a failed reload, the one before it takes effect again.
func (rt *Runtime) ended(a *App) {
	before := rt.without(a)
	if before == nil {
		return
	}
	if err := before.adopt(rt); err != nil {
		before.log.Error("the secrets of the configuration before could not be put into effect again", zap.Error(err))
	}
}

// without notes that a configuration no longer uses the runtime. It returns the one that takes
// effect again, nil if there is none.
func (rt *Runtime) without(a *App) *App {
	rt.appsLock.Lock()
	defer rt.appsLock.Unlock()
	newest := rt.apps[len(rt.apps)-1] == a
	rt.apps = slices.DeleteFunc(rt.apps, func(other *App) bool { return other == a })
	switch {
	case len(rt.apps) == 0:
		rt.Engine.SetWorker(nil)
		emitting.CompareAndSwap(a.events, nil)
	case newest:
		before := rt.apps[len(rt.apps)-1]
		rt.Engine.SetLimits(before.limits())
		rt.log.swap(before.log)
		emitting.Store(before.events)
		return before
	}
	return nil
}

// current returns the app of the newest configuration; nil if there is none.
func (rt *Runtime) current() *App {
	rt.appsLock.Lock()
	defer rt.appsLock.Unlock()
	if len(rt.apps) == 0 {
		return nil
	}
	return rt.apps[len(rt.apps)-1]
}

// directive returns the directive with that name in the newest configuration; nil if
// there is none.
func (rt *Runtime) directive(name string) Directive {
	if a := rt.current(); a != nil {
		return a.directives[name]
	}
	return nil
}

// Newest returns the runtime of the newest configuration that has started, and that
// configuration's app; nil if there is none. The runtime must be released.
func Newest() (*Runtime, *App) {
	runtimes.mu.Lock()
	var apps []*App
	for _, rt := range runtimes.open {
		if a := rt.current(); a != nil {
			apps = append(apps, a)
		}
	}
	runtimes.mu.Unlock()
	slices.SortFunc(apps, func(a, b *App) int { return cmp.Compare(b.generation, a.generation) })
	for _, a := range apps {
		if a.rt.retain() {
			return a.rt, a
		}
	}
	return nil, nil
}
