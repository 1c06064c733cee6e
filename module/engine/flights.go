package engine

import (
	"sync"

	"github.com/caddy-callback/caddy-callback/module/callback"
)

// flights are the requests with an Idempotency-Key that are still being served. A
// second request with the same key waits until the first has landed.
type flights struct {
	mu   sync.Mutex
	open map[callback.UUID]chan struct{}
}

func newFlights() *flights { return &flights{open: make(map[callback.UUID]chan struct{})} }

// Depart notes that the request of a callback is being served. ok is false if it
// already is. Otherwise land must be called afterwards.
func (e *Engine) Depart(id callback.UUID) (land func(), ok bool) {
	f := e.flights
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.open[id] != nil {
		return nil, false
	}
	landed := make(chan struct{})
	f.open[id] = landed
	return func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		delete(f.open, id)
		close(landed)
	}, true
}

// Landed returns a channel that is closed when the request of a callback has been
// served. It is nil if none is being served.
func (e *Engine) Landed(id callback.UUID) <-chan struct{} {
	e.flights.mu.Lock()
	defer e.flights.mu.Unlock()
	return e.flights.open[id]
}
