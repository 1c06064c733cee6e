package engine

import (
	"context"
	"sync"
	"time"

	"github.com/caddy-callback/caddy-callback/module/callback"
)

// flights are the requests with an Idempotency-Key that this process is serving. A second
// request with the same key waits until the first has landed. Where several nodes use the
// store, the record says which of them serves the request.
type flights struct {
	mu   sync.Mutex
	open map[callback.UUID]chan struct{}
}

func newFlights() *flights { return &flights{open: make(map[callback.UUID]chan struct{})} }

// depart notes a request. ok is false if it is being served already.
func (f *flights) depart(id callback.UUID) (land func(), ok bool) {
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

// Depart notes that the request of a callback is being served. ok is false if it
// already is, here or at another node. Otherwise land must be called afterwards.
func (e *Engine) Depart(ctx context.Context, cb *Callback) (land func(), ok bool, err error) {
	landHere, ok := e.flights.depart(cb.ID)
	if !ok || e.shared == nil {
		return landHere, ok, nil
	}
	self := e.self()
	// What this request has made is this node's: nobody has taken it away since.
	if !cb.made || cb.Flight != self {
		self, ok, err = e.claim(ctx, cb.ID, flightOf)
	}
	switch {
	case err != nil:
		e.unclaimDoubtful(err, cb.ID, self, flightOf, landHere)
		return nil, false, err
	case !ok:
		landHere()
		return nil, false, nil
	}
	return func() { e.unclaim(cb.ID, self, flightOf, landHere) }, true, nil
}

// Landed returns a channel that is closed when this process has served the request of a
// callback. It is nil if the process is not serving it.
func (e *Engine) Landed(id callback.UUID) <-chan struct{} {
	e.flights.mu.Lock()
	defer e.flights.mu.Unlock()
	return e.flights.open[id]
}

// Serves reports whether the request of a callback is being served, here or at another node.
func (e *Engine) Serves(r *callback.Record) bool {
	return e.Landed(r.ID) != nil || e.elsewhere(r.Flight)
}

// Elsewhere returns a channel that is closed when it is to be looked again whether another
// node has served the request of a callback. It is nil if none is serving it.
func (e *Engine) Elsewhere(r *callback.Record) <-chan struct{} {
	if !e.elsewhere(r.Flight) {
		return nil
	}
	again := make(chan struct{})
	time.AfterFunc(elsewhereEvery, func() { close(again) })
	return again
}
