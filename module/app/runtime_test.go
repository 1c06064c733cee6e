package app

import (
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"go.uber.org/zap"

	"github.com/caddy-callback/caddy-callback/module/engine"
	"github.com/caddy-callback/caddy-callback/module/store"
)

// shelf opens the stores of a test, and counts them.
type shelf struct {
	// closing is called by each store that is being closed.
	closing func()
	opened  atomic.Int32
	// now is how many stores are open.
	now  atomic.Int32
	last *closingStore
}

func (s *shelf) open(log *zap.Logger, o engine.Observer) (store.Store, *engine.Engine, error) {
	s.opened.Add(1)
	if s.now.Add(1) > 1 {
		return nil, nil, errors.New("a store is open twice")
	}
	s.last = newClosingStore(func() {
		if s.closing != nil {
			s.closing()
		}
		s.now.Add(-1)
	})
	return s.last, engine.New(s.last, testLimits, log, o), nil
}

// acquire returns the runtime of the test's own store.
func (s *shelf) acquire(t *testing.T) *Runtime {
	t.Helper()
	rt, err := runtimes.acquire(t.Name(), zap.NewNop(), s.open)
	if err != nil {
		t.Fatal(err)
	}
	return rt
}

// isOpen reports whether the registry knows a store of the test's.
func isOpen(t *testing.T) bool {
	t.Helper()
	runtimes.mu.Lock()
	defer runtimes.mu.Unlock()
	return runtimes.open[t.Name()] != nil
}

func TestStoreIsOpenedOnceAndClosedByItsLastUser(t *testing.T) {
	s := new(shelf)
	first, second := s.acquire(t), s.acquire(t)
	if first != second || s.opened.Load() != 1 {
		t.Fatalf("opened %d times", s.opened.Load())
	}
	if !first.retain() {
		t.Fatal("it cannot be retained")
	}
	first.Release()
	second.Release()
	if s.last.closed.Load() || !isOpen(t) {
		t.Fatal("closed although a request still uses it")
	}
	if first.Exiting() {
		t.Error("Caddy is said to exit")
	}
	first.Release()
	if !s.last.closed.Load() || isOpen(t) {
		t.Error("not closed by its last user")
	}
	if first.retain() {
		t.Error("retained after its end")
	}
	again := s.acquire(t)
	defer again.Release()
	if again == first || s.opened.Load() != 2 {
		t.Errorf("opened %d times", s.opened.Load())
	}
}

func TestStoreThatIsBeingClosedIsWaitedForAndOpenedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		goOn := make(chan struct{})
		s := &shelf{closing: func() { <-goOn }}
		first := s.acquire(t)
		go first.Release()
		synctest.Wait()
		if first.retain() {
			t.Error("retained while it is being closed")
		}

		acquired := make(chan *Runtime)
		go func() { acquired <- s.acquire(t) }()
		synctest.Wait()
		select {
		case <-acquired:
			t.Fatal("acquired while the store is being closed")
		default:
		}
		close(goOn)
		second := <-acquired
		if second == first || s.opened.Load() != 2 {
			t.Errorf("opened %d times", s.opened.Load())
		}
		second.Release()
	})
}

func TestStoreThatIsBeingOpenedIsWaitedFor(t *testing.T) {
	for name, failure := range map[string]error{"and comes": nil, "and fails": errors.New("locked")} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { openSlowly(t, failure) })
		})
	}
}

// openSlowly acquires a store twice while it is being opened.
func openSlowly(t *testing.T, failure error) {
	s, goOn, errs := new(shelf), make(chan struct{}), make(chan error, 2)
	for range 2 {
		go func() {
			rt, err := runtimes.acquire(t.Name(), zap.NewNop(), func(log *zap.Logger, o engine.Observer) (store.Store, *engine.Engine, error) {
				<-goOn
				if failure != nil {
					s.opened.Add(1)
					return nil, nil, failure
				}
				return s.open(log, o)
			})
			errs <- err
			if err == nil {
				rt.Release()
			}
		}()
	}
	synctest.Wait()
	close(goOn)
	for range 2 {
		if err := <-errs; err != failure {
			t.Errorf("error is %v, want %v", err, failure)
		}
	}
	synctest.Wait()
	if s.opened.Load() != 1 || isOpen(t) {
		t.Errorf("opened %d times, still open: %v", s.opened.Load(), isOpen(t))
	}
}

func TestFailedOpenLeavesNothing(t *testing.T) {
	failure := errors.New("the disk is full")
	_, err := runtimes.acquire(t.Name(), zap.NewNop(), func(*zap.Logger, engine.Observer) (store.Store, *engine.Engine, error) { return nil, nil, failure })
	if err != failure || isOpen(t) {
		t.Fatalf("error is %v, still open: %v", err, isOpen(t))
	}
	if exiting.watchers != 0 {
		t.Error("somebody still watches for the exit")
	}
	s := new(shelf)
	s.acquire(t).Release()
	if s.opened.Load() != 1 {
		t.Error("it cannot be opened any more")
	}
}

func TestUsersThatComeAndGoNeverSeeAClosedStore(t *testing.T) {
	s := new(shelf)
	var users sync.WaitGroup
	for range 8 {
		users.Go(func() {
			for range 200 {
				rt, err := runtimes.acquire(t.Name(), zap.NewNop(), s.open)
				if err != nil {
					t.Error(err)
					return
				}
				if s.now.Load() != 1 {
					t.Error("the store is closed under a user")
				}
				if rt.retain() {
					rt.Release()
				} else {
					t.Error("a user cannot retain it")
				}
				rt.Release()
			}
		})
	}
	users.Wait()
	if s.now.Load() != 0 || isOpen(t) {
		t.Error("the last user left it open")
	}
}
