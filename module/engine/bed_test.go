package engine

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
	"go.uber.org/zap"

	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/store"
	"github.com/caddy-callback/caddy-callback/module/store/postgres/postgrestest"
	"github.com/caddy-callback/caddy-callback/module/store/storetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(withServer{m}) }

// withServer are the tests, after which the database's server stops that some of them start.
type withServer struct{ m *testing.M }

func (w withServer) Run() int { return postgrestest.Main(w.m.Run) }

// bed is an engine on a store, with a clock that the test sets.
type bed struct {
	*Engine
	store  *gatedStore
	now    *atomic.Int64
	policy *callback.Policy
}

// gatedStore is a store that can hold its commits back.
type gatedStore struct {
	store.Store
	gate atomic.Pointer[chan struct{}]
	// full says that the store takes no more changes.
	full atomic.Bool
	// puts counts the bodies that were stored.
	puts atomic.Int64
	// fails is what of a body that comes piece by piece fails: new, write or commit.
	fails atomic.Pointer[string]
}

func (g *gatedStore) failing(what string) bool { f := g.fails.Load(); return f != nil && *f == what }

func (g *gatedStore) NewBody(ctx context.Context) (store.BodyWriter, error) {
	if g.failing("new") {
		return nil, store.ErrFull
	}
	w, err := g.Store.NewBody(ctx)
	return failingWriter{w, g}, err
}

// failingWriter is a writer that may fail.
type failingWriter struct {
	store.BodyWriter
	g *gatedStore
}

func (w failingWriter) Write(p []byte) (int, error) {
	if w.g.failing("write") {
		return 0, store.ErrFull
	}
	return w.BodyWriter.Write(p)
}

func (w failingWriter) Commit() (callback.Body, error) {
	if w.g.failing("commit") {
		w.Abort()
		return callback.Body{}, store.ErrFull
	}
	return w.BodyWriter.Commit()
}

func (g *gatedStore) PutBody(ctx context.Context, data []byte) (callback.Body, error) {
	g.puts.Add(1)
	return g.Store.PutBody(ctx, data)
}

func (g *gatedStore) Ready() error {
	if g.full.Load() {
		return store.ErrFull
	}
	return g.Store.Ready()
}

// hold holds commits back until the returned function is called.
func (g *gatedStore) hold() (release func()) {
	gate := make(chan struct{})
	g.gate.Store(&gate)
	return func() {
		g.gate.Store(nil)
		close(gate)
	}
}

func (g *gatedStore) Update(ctx context.Context, key store.Key, decide store.Decide) (*callback.Record, store.Commit, error) {
	r, c, err := g.Store.Update(ctx, key, func(r *callback.Record) (store.Change, error) {
		change, err := decide(r)
		if g.full.Load() && err == nil && change != (store.Change{}) {
			return store.Change{}, store.ErrFull
		}
		return change, err
	})
	if gate := g.gate.Load(); gate != nil && err == nil {
		c = gated{c, *gate}
	}
	return r, c, err
}

// nobody is an observer that does nothing.
type nobody struct{}

func (nobody) Observe(Transition, *callback.Record, bool) {}
func (nobody) Unmatched()                                 {}

type gated struct {
	store.Commit
	gate chan struct{}
}

func (g gated) Done() <-chan struct{} { return g.gate }

var plenty = Limits{MaxMemory: 64 << 20, MaxBody: 1 << 20, MaxWaiting: 1000, MaxHeld: 1000}

func newBed(t *testing.T, limits Limits, policy callback.Policy) *bed {
	t.Helper()
	memory := storetest.NewMemory()
	t.Cleanup(func() {
		if n := memory.Orphans(); n != 0 {
			t.Errorf("%d bodies are left that no callback refers to", n)
		}
	})
	return newBedOn(t, memory.Open(), limits, policy)
}

// newBedOn is newBed on a store of the test's choice.
func newBedOn(t *testing.T, s store.Store, limits Limits, policy callback.Policy) *bed {
	t.Helper()
	return newLoggedBed(t, s, limits, policy, zap.NewNop())
}

// newLoggedBed is newBedOn with a log of the test's choice.
func newLoggedBed(t *testing.T, s store.Store, limits Limits, policy callback.Policy, log *zap.Logger) *bed {
	t.Helper()
	policy.BaseURL = "https://app.example.com"
	policy.Retain = time.Hour
	if err := policy.Compile(); err != nil {
		t.Fatal(err)
	}
	b := &bed{store: &gatedStore{Store: s}, now: new(atomic.Int64), policy: &policy}
	b.now.Store(time.Now().UnixMilli())
	b.Engine = newEngine(b.store, limits, log, nobody{}, func() time.Time { return time.UnixMilli(b.now.Load()) })
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
		if n := b.memory.Used(); n != 0 {
			t.Errorf("%d bytes are still counted as buffered", n)
		}
	})
	return b
}

func (b *bed) pass(d time.Duration) { b.now.Add(d.Milliseconds()) }

func (b *bed) create(t *testing.T) *Callback {
	t.Helper()
	cb, err := b.Create(t.Context(), Spec{Policy: b.policy, Spec: callback.Spec{ExpiresIn: time.Minute}})
	if err != nil {
		t.Fatal(err)
	}
	return cb
}

func (b *bed) await(t *testing.T, cb *Callback, durable bool) *Waiter {
	t.Helper()
	w, err := b.Await(cb.ID, durable)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func (b *bed) call(t *testing.T, cb *Callback, body string) callback.Verdict {
	t.Helper()
	v, err := b.tryCall(t.Context(), cb, body)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func (b *bed) tryCall(ctx context.Context, cb *Callback, body string) (callback.Verdict, error) {
	v, _, err := b.Receive(ctx, Incoming{
		State: b.Engine.store.Secret().State(cb.ID),
		Call:  &callback.Call{Method: "POST", Body: callback.NewBody([]byte(body))},
	})
	return v, err
}

// told waits until a waiter is told.
func told(t *testing.T, w *Waiter) *callback.Record {
	t.Helper()
	select {
	case n := <-w.C:
		defer n.Done()
		return n.Record
	case <-time.After(20 * time.Second):
		t.Fatal("the waiter was not told")
		return nil
	}
}

func eventually(t *testing.T, what string, so func() bool) {
	t.Helper()
	deadline := time.After(20 * time.Second)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !so() {
		select {
		case <-deadline:
			t.Fatalf("waited in vain for %s", what)
		case <-tick.C:
		}
	}
}
