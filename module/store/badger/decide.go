package badger

import (
	"context"
	"errors"
	"fmt"

	badgerdb "github.com/dgraph-io/badger/v4"

	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/store"
)

// Create implements store.Store.
func (s *Store) Create(_ context.Context, r *callback.Record) (store.Commit, error) {
	if err := s.Ready(); err != nil {
		return nil, err
	}
	if r.Size() > maxRecord {
		return nil, store.ErrTooLarge
	}
	e := s.overlay.acquire(r.ID)
	defer s.overlay.release(e)
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.loaded && e.record != nil {
		return nil, fmt.Errorf("callback %s exists already", r.ID)
	}
	if err := s.accept(e, r); err != nil {
		return nil, err
	}
	return e.group, nil
}

// Find implements store.Store.
func (s *Store) Find(_ context.Context, key store.Key) (*callback.Record, store.Commit, error) {
	id, err := s.resolve(key)
	if err != nil {
		return nil, nil, err
	}
	if e := s.overlay.peek(id); e != nil {
		defer s.overlay.release(e)
		e.mu.Lock()
		defer e.mu.Unlock()
		if e.loaded {
			if e.record == nil || !leadsTo(key, e.record) {
				return nil, nil, store.ErrNotFound
			}
			return e.record, e.commit(), nil
		}
	}
	r, err := s.read(id)
	if err != nil {
		return nil, nil, err
	}
	if !leadsTo(key, r) {
		return nil, nil, store.ErrNotFound
	}
	return r, store.Committed, nil
}

// Update implements store.Store.
func (s *Store) Update(_ context.Context, key store.Key, decide store.Decide) (*callback.Record, store.Commit, error) {
	id, err := s.resolve(key)
	if err != nil {
		return nil, nil, err
	}
	e := s.overlay.acquire(id)
	defer s.overlay.release(e)
	e.mu.Lock()
	defer e.mu.Unlock()
	if err := s.load(e); err != nil {
		return nil, nil, err
	}
	if !leadsTo(key, e.record) {
		return nil, nil, store.ErrNotFound
	}
	change, err := decide(e.record)
	if err != nil {
		return nil, nil, err
	}
	if change.Next == nil && !change.Delete || change.Next == e.record {
		return e.record, e.commit(), nil
	}
	if change.Next != nil && change.Next.Size() > maxRecord {
		return nil, nil, store.ErrTooLarge
	}
	if err := s.accept(e, change.Next); err != nil {
		return nil, nil, err
	}
	return e.record, e.group, nil
}

// accept makes next, nil for none, the newest record of an entry, whose lock is held,
// and adds the entry to a group to be committed.
func (s *Store) accept(e *entry, next *callback.Record) error {
	added, removed := relinked(e.record, next)
	claimed, free, err := s.claim(e.id, added)
	if err != nil {
		return err
	}
	defer s.overlay.unclaim(claimed)
	if err := s.committer.add(e, free, rests(e, next)); err != nil {
		return err
	}
	s.bodies.fresh.take(without(files(next), files(e.record)))
	e.supersede(next)
	s.recount(e.record, next)
	s.overlay.relink(e, added, true)
	s.overlay.relink(e, removed, false)
	e.loaded, e.record, e.pending.after = true, next, next
	return nil
}

// rests reports whether a record can be committed later than decisions that were made after
// it: it is a creation that no other callback, and no work, depends on.
func rests(e *entry, next *callback.Record) bool {
	return e.record == nil && e.stored == nil && next != nil && next.Job == nil && len(next.Aliases) == 0
}

// load reads the record of an entry, whose lock is held, unless that has been done.
// It returns store.ErrNotFound if there is none.
func (s *Store) load(e *entry) error {
	if !e.loaded {
		r, err := s.read(e.id)
		if err != nil {
			return err
		}
		e.loaded, e.record, e.stored = true, r, r
	}
	if e.record == nil {
		return store.ErrNotFound
	}
	return nil
}

// settle notes that a callback has been written to the database.
func (s *Store) settle(w *written, g *group) {
	e := w.entry
	e.mu.Lock()
	e.stored = w.after
	if w.after == nil {
		s.recent.drop(e.id)
	} else {
		s.recent.put(e.id, w.after.Lean())
	}
	if e.group == g {
		e.group, e.pending = nil, nil
	}
	orphans := e.takeOrphans()
	e.mu.Unlock()
	if w.after != nil {
		s.due.lower(w.after.Due())
	}
	s.overlay.unlink(w.links, g)
	s.bodies.fresh.settle(without(files(w.after), files(w.before)))
	if unneeded := append(orphans, without(files(w.before), files(w.after))...); w.after == nil {
		s.bodies.removeAll(unneeded)
	} else {
		s.bodies.replace(unneeded)
	}
	s.overlay.release(e)
}

// forget resets an entry, whose lock is held, so that it is read from the database
// again. It returns the body files of the decisions that are forgotten.
func (s *Store) forget(e *entry) []string {
	s.recount(e.record, e.stored)
	s.recent.drop(e.id)
	lost := without(append(e.superseded, files(e.record)...), files(e.stored))
	e.loaded, e.record, e.stored, e.superseded, e.group, e.pending = false, nil, nil, nil, nil, nil
	return lost
}

// recount updates what is counted.
func (s *Store) recount(before, after *callback.Record) {
	s.tally.move(before, after)
	waits := func(r *callback.Record) bool { return r != nil && r.Phase == callback.Waiting }
	switch {
	case waits(after) && !waits(before):
		s.waiting.Add(1)
	case waits(before) && !waits(after):
		s.waiting.Add(-1)
	}
}

// read returns a callback as it is in the database.
func (s *Store) read(id callback.UUID) (*callback.Record, error) {
	if r := s.recent.record(id); r != nil {
		return r, s.usable()
	}
	var r *callback.Record
	err := s.view(func(txn *badgerdb.Txn) (err error) {
		r, _, err = readRecord(txn, id)
		return err
	})
	return r, err
}

// readRecord returns a record and how many bytes it takes.
func readRecord(txn *badgerdb.Txn, id callback.UUID) (r *callback.Record, size int, err error) {
	item, err := txn.Get(recordKey(id))
	if errors.Is(err, badgerdb.ErrKeyNotFound) {
		return nil, 0, store.ErrNotFound
	}
	if err != nil {
		return nil, 0, unreadable(err)
	}
	err = item.Value(func(b []byte) error {
		size = len(b)
		r, err = store.DecodeRecord(b)
		return err
	})
	return r, size, err
}
