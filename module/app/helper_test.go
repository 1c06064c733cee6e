package app

import (
	"context"
	"sync/atomic"
	"testing"

	"go.uber.org/goleak"
	"go.uber.org/zap"

	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/engine"
	"github.com/caddy-callback/caddy-callback/module/store"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fakeStore is a store that forgets whatever it is given. What no test here needs
// is left to the nil Store within.
type fakeStore struct {
	store.Store
	// closing is called when the store is being closed.
	closing func()
	closed  atomic.Bool
}

func (s *fakeStore) Secret() *callback.Secret                          { return &callback.Secret{1} }
func (s *fakeStore) PutPolicy(context.Context, *callback.Policy) error { return nil }
func (s *fakeStore) Create(context.Context, *callback.Record) (store.Commit, error) {
	return store.Committed, nil
}
func (s *fakeStore) Due(context.Context, callback.Time, int) ([]callback.UUID, error) {
	return nil, nil
}
func (s *fakeStore) Changes() <-chan callback.UUID { return nil }
func (s *fakeStore) Waiting() int                  { return 0 }

func (s *fakeStore) Close() error {
	if s.closing != nil {
		s.closing()
	}
	s.closed.Store(true)
	return nil
}

var testLimits = engine.Limits{MaxMemory: 1 << 20, MaxWaiting: 100, MaxHeld: 100}

// newEngine returns an engine on a fakeStore.
func newEngine(t *testing.T) *engine.Engine {
	t.Helper()
	e := engine.New(new(fakeStore), testLimits, zap.NewNop(), witness{})
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	})
	return e
}
