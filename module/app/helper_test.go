package app

import (
	"sync/atomic"
	"testing"

	"go.uber.org/goleak"

	"github.com/caddy-callback/caddy-callback/module/engine"
	"github.com/caddy-callback/caddy-callback/module/store"
	"github.com/caddy-callback/caddy-callback/module/store/storetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// closingStore is a store in memory that calls closing when it is closed.
type closingStore struct {
	store.Store
	// closing is called when the store is being closed.
	closing func()
	closed  atomic.Bool
}

func newClosingStore(closing func()) *closingStore {
	return &closingStore{Store: storetest.NewMemory().Open(), closing: closing}
}

func (s *closingStore) Close() error {
	if s.closing != nil {
		s.closing()
	}
	defer s.closed.Store(true)
	return s.Store.Close()
}

var testLimits = engine.Limits{MaxMemory: 1 << 20, MaxWaiting: 100, MaxHeld: 100}
