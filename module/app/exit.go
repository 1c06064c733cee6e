package app

import (
	"sync"
	"time"

	"github.com/caddyserver/caddy/v2"
)

// exitCheckEvery is how often we check whether Caddy exits, and so how long a held
// request can delay the exit.
const exitCheckEvery = 20 * time.Millisecond

// exiting notices that Caddy exits. The "stopping" event and the stop of the app are
// not enough: they reach only the running configuration, which may no longer have this
// app, and HTTP servers may wait for held requests before any app is stopped.
var exiting exitWatch

// exitWatch checks for the exit as long as it has watchers.
type exitWatch struct {
	mu       sync.Mutex
	watchers int
	exit     chan struct{}
	stop     chan struct{}
}

// watch returns a channel that is closed when Caddy begins to exit. The caller must call
// unwatch in the end.
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
