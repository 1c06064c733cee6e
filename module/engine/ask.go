package engine

import (
	"context"
	"sync"
	"time"

	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/failpoint"
	"github.com/caddy-callback/caddy-callback/module/store"
)

// Ask asks an app about a call. fields is the reply that the call would get.
type Ask func(ctx context.Context, cb *Callback, call *callback.Call, fields callback.Fields) *callback.Asked

// asking makes sure that the app is asked about one call to a callback at a time.
type asking struct {
	mu    sync.Mutex
	turns map[callback.UUID]*turn
}

type turn struct {
	// free holds one token, which acquire takes and release puts back.
	free  chan struct{}
	users int
}

func newAsking() *asking { return &asking{turns: make(map[callback.UUID]*turn)} }

// acquire waits until no other call to the callback is being asked about. release must
// be called afterwards.
func (a *asking) acquire(ctx context.Context, id callback.UUID) (release func(), err error) {
	a.mu.Lock()
	t := a.turns[id]
	if t == nil {
		t = &turn{free: make(chan struct{}, 1)}
		t.free <- struct{}{}
		a.turns[id] = t
	}
	t.users++
	a.mu.Unlock()
	leave := func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		if t.users--; t.users == 0 {
			delete(a.turns, id)
		}
	}
	select {
	case <-t.free:
		return func() { t.free <- struct{}{}; leave() }, nil
	case <-ctx.Done():
		leave()
		return nil, ctx.Err()
	}
}

// turnToAsk waits until no other call to the callback is being asked about, here or at another
// node. release must be called afterwards.
func (e *Engine) turnToAsk(ctx context.Context, id callback.UUID) (release func(), err error) {
	here, err := e.asking.acquire(ctx, id)
	if err != nil || e.shared == nil {
		return here, err
	}
	for {
		self, ok, err := e.claim(ctx, id, askingOf)
		switch {
		case err != nil:
			e.unclaimDoubtful(err, id, self, askingOf, here)
			return nil, err
		case ok:
			return func() { e.unclaim(id, self, askingOf, here) }, nil
		}
		select {
		case <-time.After(elsewhereEvery):
		case <-ctx.Done():
			here()
			return nil, ctx.Err()
		}
	}
}

// askThenReceive asks the app about a call, and decides on the call with the app's
// answer.
func (e *Engine) askThenReceive(ctx context.Context, id callback.UUID, in Incoming) (callback.Verdict, *callback.Policy, error) {
	release, err := e.turnToAsk(ctx, id)
	if err != nil {
		return callback.Verdict{}, nil, err
	}
	defer release()
	cb, err := e.Find(ctx, store.ByID(id))
	if err != nil {
		return callback.Verdict{}, nil, err
	}
	// Another call may have been accepted while this one waited for its turn.
	verdict, _, err := e.verdictOn(ctx, cb.Record, in)
	if err != nil {
		return callback.Verdict{}, nil, err
	}
	if verdict.Kind == callback.Asks {
		missed := false
		fields := cb.ReplyFields(cb.Policy, in.Call, cb.Lookup(in.Call, &missed))
		switch {
		case missed:
			return callback.Verdict{}, nil, callback.ErrSecretGone
		case in.Call.Unpacked.WasBusy():
			return callback.Verdict{}, nil, ErrBusy
		}
		in.Call.Asked = in.Ask(ctx, cb, in.Call, fields)
		_ = failpoint.Hit("ask.answered")
	}
	d, err := e.apply(ctx, store.ByID(id), in)
	return e.takeWhole(ctx, store.ByID(id), in, d, err)
}
