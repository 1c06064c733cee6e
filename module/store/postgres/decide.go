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
	if err := s.commit(w); err != nil {
		return nil, err
	}
	return store.Committed, nil
}

// commit commits a write, and notes the record that it leaves.
func (s *Store) commit(w *write) error {
	err := s.lane.commit(w)
	if err != nil || w.after == nil {
		s.recent.drop(w.id)
		return err
	}
	s.recent.put(found{w.after, w.rev})
	return nil
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
	if r, commit, err := s.updateRecent(ctx, key, decide); !errors.Is(err, errOutrun) {
		return r, commit, err
	}
	for try := 0; ; try++ {
		f, err := s.find(ctx, key)
		if err != nil {
			return nil, nil, err
		}
		change, err := decide(f.record)
		switch {
		case err != nil:
			return nil, nil, err
		case !changes(f, change):
			return f.record, store.Committed, nil
		}
		if err = s.put(f, change); err == nil {
			return change.Next, store.Committed, nil
		} else if !errors.Is(err, errOutrun) {
			return nil, nil, err
		}
		if err := pause(ctx, try); err != nil {
			return nil, nil, err
		}
	}
}

// updateRecent is Update for a record that was read or written a moment ago, and may be behind
// the database. So only a decision that is written counts, and errOutrun says that none was.
func (s *Store) updateRecent(ctx context.Context, key store.Key, decide store.Decide) (*callback.Record, store.Commit, error) {
	f, ok := s.recent.find(key)
	if !ok || ctx.Err() != nil {
		return nil, nil, errOutrun
	}
	change, err := decide(f.record)
	if err != nil || !changes(f, change) {
		return nil, nil, errOutrun
	}
	switch err := s.put(f, change); {
	case errors.Is(err, store.ErrTooLarge):
		return nil, nil, errOutrun
	case err != nil:
		return nil, nil, err
	}
	return change.Next, store.Committed, nil
}

// changes reports whether a decision changes a record.
func changes(f found, c store.Change) bool {
	return c.Next != f.record && (c.Next != nil || c.Delete)
}

// put commits the change of a record.
func (s *Store) put(f found, c store.Change) error {
	if c.Next != nil && c.Next.Size() > maxRecord {
		return store.ErrTooLarge
	}
	w, err := s.writeOf(f, c.Next)
	if err != nil {
		return err
	}
	return s.commit(w)
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
