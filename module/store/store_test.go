package store_test

import (
	"context"
	"errors"
	"testing"

	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/store"
)

// pending is a write whose end the test decides.
type pending struct {
	done    chan struct{}
	err     error
	hurried bool
}

func (p *pending) Done() <-chan struct{} { return p.done }
func (p *pending) Err() error            { return p.err }
func (p *pending) Hurry()                { p.hurried = true }

func TestWaitReturnsWhatBecameOfTheWrite(t *testing.T) {
	for _, want := range []error{nil, store.ErrFailed} {
		p := &pending{done: make(chan struct{}), err: want}
		close(p.done)
		if err := store.Wait(t.Context(), p); !errors.Is(err, want) {
			t.Errorf("got %v, want %v", err, want)
		}
	}
}

func TestWaitEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := store.Wait(ctx, &pending{done: make(chan struct{})}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestWhoWaitsInTurnHurriesNothing(t *testing.T) {
	p := &pending{done: make(chan struct{})}
	close(p.done)
	if err := store.WaitInTurn(t.Context(), p); err != nil || p.hurried {
		t.Errorf("err %v, hurried %v", err, p.hurried)
	}
	if err := store.Wait(t.Context(), p); err != nil || !p.hurried {
		t.Errorf("err %v, hurried %v", err, p.hurried)
	}
}

func TestCommittedIsDone(t *testing.T) {
	if err := store.Wait(t.Context(), store.Committed); err != nil {
		t.Error(err)
	}
}

func TestKeysSayWhatTheyAreOf(t *testing.T) {
	u := callback.NewUUID()
	for name, c := range map[string]struct{ got, want store.Key }{
		"id":     {store.ByID(u), store.Key{ID: u, Kind: store.KeyID}},
		"state":  {store.ByState(u), store.Key{Digest: u.Digest(), Kind: store.KeyState}},
		"ticket": {store.ByTicket(u), store.Key{Digest: u.Digest(), Kind: store.KeyTicket}},
	} {
		if c.got != c.want {
			t.Errorf("%s: got %+v, want %+v", name, c.got, c.want)
		}
	}
}
