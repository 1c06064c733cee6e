package app

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"

	"go.uber.org/zap"

	"github.com/caddy-callback/caddy-callback/module/store"
)

// opener opens closingStores, or fails.
type opener struct {
	identity string
	err      error
	opened   []*closingStore
}

func (o *opener) Identity() (string, error) { return o.identity, nil }

func (o *opener) Open(*zap.Logger) (store.Store, error) {
	if o.err != nil {
		return nil, o.err
	}
	s := newClosingStore(nil)
	o.opened = append(o.opened, s)
	return s, nil
}

// newApp returns an app that is provisioned, on the opener's store.
func newApp(o *opener) *App {
	return &App{opener: o, identity: o.identity, log: zap.NewNop(), ready: make(chan struct{}), gone: make(chan struct{}), MaxHeld: 1, MaxWaiting: 1}
}

func TestStoreStaysOpenOverReloads(t *testing.T) {
	o := &opener{identity: t.Name()}
	before, after := newApp(o), newApp(o)
	start(t, before)
	held, err := before.Use(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	start(t, after)
	end(t, before)
	late, err := before.Use(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	late.Release()
	if len(o.opened) != 1 || o.opened[0].closed.Load() {
		t.Fatalf("opened %d times", len(o.opened))
	}
	end(t, after)
	if o.opened[0].closed.Load() {
		t.Error("closed although a request is held")
	}
	held.Release()
	if !o.opened[0].closed.Load() {
		t.Error("not closed with the last request")
	}
	if _, err := after.Use(t.Context()); err != errNotRunning {
		t.Errorf("error is %v", err)
	}
}

func start(t *testing.T, a *App) {
	t.Helper()
	if err := a.Start(); err != nil {
		t.Fatal(err)
	}
}

func end(t *testing.T, a *App) {
	t.Helper()
	if err := errors.Join(a.Stop(), a.Cleanup(), a.Cleanup()); err != nil {
		t.Fatal(err)
	}
}

func TestRequestsWaitForTheStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newApp(&opener{identity: t.Name()})
		used := make(chan error)
		go func() {
			rt, err := a.Use(t.Context())
			if err == nil {
				rt.Release()
			}
			used <- err
		}()
		synctest.Wait()
		select {
		case err := <-used:
			t.Errorf("it did not wait: %v", err)
		default:
		}
		start(t, a)
		if err := <-used; err != nil {
			t.Error(err)
		}
		end(t, a)
	})
}

func TestRequestsDoNotWaitForAStartThatNeverComes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newApp(&opener{identity: t.Name(), err: errors.New("the disk is full")})
		ctx, leave := context.WithCancel(t.Context())
		used := make(chan error, 2)
		go func() {
			_, err := a.Use(ctx)
			used <- err
		}()
		synctest.Wait()
		leave()
		if err := <-used; err != context.Canceled {
			t.Errorf("the client has left, and the error is %v", err)
		}
		go func() {
			_, err := a.Use(t.Context())
			used <- err
		}()
		synctest.Wait()
		if err := a.Start(); !errors.Is(err, a.opener.(*opener).err) {
			t.Errorf("error is %v", err)
		}
		end(t, a)
		if err := <-used; err != errNotRunning {
			t.Errorf("the app has ended, and the error is %v", err)
		}
	})
}

func TestAppThatWasNeverProvisionedCanBeCleanedUp(t *testing.T) {
	if err := new(App).Cleanup(); err != nil {
		t.Error(err)
	}
}

// serve sends a request through a handler with nothing behind it.
