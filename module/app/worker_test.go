package app

import (
	"context"
	"io"
	"testing"

	"go.uber.org/zap"

	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/engine"
	"github.com/caddy-callback/caddy-callback/module/memory"
	"github.com/caddy-callback/caddy-callback/module/store"
)

// strictBody is a body that must not be closed while it is read. It has no lock: the race
// detector reports who does.
type strictBody struct {
	begun, goOn chan struct{}
	closed      bool
}

func (b *strictBody) Read(p []byte) (int, error) {
	close(b.begun)
	<-b.goOn
	if b.closed {
		return 0, io.ErrClosedPipe
	}
	return len(p), nil
}

func (b *strictBody) Close() error {
	b.closed = true
	return nil
}

// strictStore is a store whose bodies are strict.
type strictStore struct {
	store.Store
	body *strictBody
}

func (s strictStore) OpenBody(context.Context, callback.Body, memory.Space) (io.ReadCloser, error) {
	return s.body, nil
}

// A transport closes the body of a request that has been answered, and may still read it.
func TestResultMayBeClosedWhileATransportReadsIt(t *testing.T) {
	strict := &strictBody{begun: make(chan struct{}), goOn: make(chan struct{})}
	e := engine.New(strictStore{newClosingStore(nil), strict}, testLimits, zap.NewNop(), witness{})
	cb := &engine.Callback{Issued: callback.Issued{Policy: new(callback.Policy), Record: &callback.Record{
		Phase: callback.Resolved, Delivery: new(callback.Delivery),
		Call: &callback.Call{Method: "POST", Body: callback.Body{File: "f", Size: 5}},
	}}}
	t.Cleanup(func() { _ = e.Close() })
	m := worker{&Runtime{Engine: e}}.message(cb, new(Deliverer), 1)
	body, _, err := m.Body(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	read, closed := make(chan error), make(chan error)
	go func() {
		_, err := body.Read(make([]byte, 5))
		read <- err
	}()
	<-strict.begun
	go func() { closed <- body.Close() }()
	close(strict.goOn)
	if err := <-read; err != nil {
		t.Errorf("what was read meanwhile: %v", err)
	}
	if err := <-closed; err != nil {
		t.Error(err)
	}
	if _, err := body.Read(make([]byte, 5)); err == nil {
		t.Error("it is read after its end")
	}
}
