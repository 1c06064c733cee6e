package app

import (
	"sync"
	"time"

	"github.com/caddyserver/caddy/v2"
)

// exitCheckEvery is how often is looked whether Caddy exits, and so the longest
// that a held request keeps it from doing so.
const exitCheckEvery = 20 * time.Millisecond

// exiting notices that Caddy exits. The "stopping" event and the end of an app
// cannot tell: they reach only the running configuration, which may no longer have
// us, and HTTP servers may wait for held requests before any app is stopped.
var exiting exitWatch

// exitWatch looks for the exit while anybody watches.
type exitWatch struct {
	mu       sync.Mutex
	watchers int
	exit     chan struct{}
	stop     chan struct{}
}

// watch returns a channel that is closed when Caddy begins to exit. unwatch must
// follow.
func (e *exitWatch) watch() <-chan struct{} {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.watchers++
	if e.watchers == 1 {
		e.exit = make(chan struct{})
		e.stop = make(chan struct{})
		go look(e.exit, e.stop)
	}
	return e.exit
}

func (e *exitWatch) unwatch() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.watchers--
	if e.watchers == 0 {
		close(e.stop)
	}
}

func look(exit, stop chan struct{}) {
	tick := time.NewTicker(exitCheckEvery)
	defer tick.Stop()
	for !caddy.Exiting() {
		select {
		case <-stop:
			return
		case <-tick.C:
		}
	}
	close(exit)
}
