package postgres

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/store"
)

// Create implements store.Store. It returns when the callback is committed.
func (s *Store) Create(_ context.Context, r *callback.Record) (store.Commit, error) {
	if err := s.Ready(); err != nil {
		return nil, err
	}
	if r.Size() > maxRecord {
		return nil, store.ErrTooLarge
	}
	w, err := s.writeOf(found{}, r)
	if err != nil {
		return nil, err
	}
	if err := s.lane.commit(w); err != nil {
		return nil, err
	}
	return store.Committed, nil
}

// Find implements store.Store.
func (s *Store) Find(ctx context.Context, key store.Key) (*callback.Record, store.Commit, error) {
	f, err := s.find(ctx, key)
	if err != nil {
		return nil, nil, err
	}
	return f.record, store.Committed, nil
}

// Update implements store.Store. It returns when the decision is committed.
func (s *Store) Update(ctx context.Context, key store.Key, decide store.Decide) (*callback.Record, store.Commit, error) {
	for try := 0; ; try++ {
		f, err := s.find(ctx, key)
		if err != nil {
			return nil, nil, err
		}
		change, err := decide(f.record)
		if err != nil {
			return nil, nil, err
		}
		if change.Next == nil && !change.Delete || change.Next == f.record {
			return f.record, store.Committed, nil
		}
		if change.Next != nil && change.Next.Size() > maxRecord {
			return nil, nil, store.ErrTooLarge
		}
		w, err := s.writeOf(f, change.Next)
		if err == nil {
			err = s.lane.commit(w)
		}
		switch {
		case err == nil:
			return change.Next, store.Committed, nil
		case !errors.Is(err, errOutrun):
			return nil, nil, err
		}
		if err := pause(ctx, try); err != nil {
			return nil, nil, err
		}
	}
}

// pause waits before a decision is made again, the longer the more often it was outrun.
func pause(ctx context.Context, try int) error {
	if try == 0 {
		return ctx.Err()
	}
	timer := time.NewTimer(rand.N(time.Millisecond << min(try, 5))) //nolint:gosec // a wait is no secret
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
