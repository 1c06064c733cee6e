// Package badger keeps callbacks in an embedded Badger database, in a directory
// of one process's own.
package badger

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"

	badgerdb "github.com/dgraph-io/badger/v4"
	"go.uber.org/zap"

	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/store"
)

// Store implements store.Store.
//
// Decisions are taken in memory, under the lock of their callback, and are then
// committed in order by one goroutine, many at a time.
type Store struct {
	options   Options
	log       *zap.Logger
	id        string
	secret    *callback.Secret
	overlay   *overlay
	committer *committer
	bodies    *bodies
	space     *space

	// dbLock is held for reading while db is used, and for writing while it is
	// closed or replaced.
	dbLock sync.RWMutex
	db     *badgerdb.DB
	// failure is why the database is not to be used; nil if it is.
	failure  error
	sequence atomic.Uint64
	// beforeCommit makes commits fail in tests.
	beforeCommit func() error

	policies sync.Map // callback.Digest -> *callback.Policy

	due     dueMark
	waiting atomic.Int64
	// counted is closed when the callbacks that waited at the start are in the
	// count.
	counted    chan struct{}
	stopping   chan struct{}
	background sync.WaitGroup
	closing    sync.Once
}

// Secret implements store.Store.
func (s *Store) Secret() *callback.Secret { return s.secret }

// Changes implements store.Store. The directory belongs to this process alone.
func (s *Store) Changes() <-chan callback.UUID { return nil }

// Waiting implements store.Store.
func (s *Store) Waiting() int { return int(max(0, s.waiting.Load())) }

// Ready implements store.Store.
func (s *Store) Ready() error {
	s.dbLock.RLock()
	defer s.dbLock.RUnlock()
	if s.failure != nil {
		return s.failure
	}
	if s.space.tight.Load() {
		return store.ErrFull
	}
	return nil
}

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
	if err := s.committer.add(e); err != nil {
		return nil, err
	}
	e.loaded = true
	e.record = r
	s.recount(nil, r)
	s.overlay.addSecrets(r)
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
			if e.record == nil {
				return nil, nil, store.ErrNotFound
			}
			return e.record, e.commit(), nil
		}
	}
	r, err := s.read(id)
	if err != nil {
		return nil, nil, err
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
	if err := s.committer.add(e); err != nil {
		return nil, nil, err
	}
	e.supersede()
	s.recount(e.record, change.Next)
	if change.Next == nil {
		s.overlay.removeSecrets(e.record)
	}
	e.record = change.Next
	return e.record, e.group, nil
}

// load makes sure that an entry, whose lock is held, has a record.
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

// settle notes that a callback is in the database as it was written.
func (s *Store) settle(w written, g *group) {
	e := w.entry
	e.mu.Lock()
	e.stored = w.after
	if e.group == g {
		e.group = nil
	}
	orphans := e.takeOrphans()
	e.mu.Unlock()
	for _, file := range orphans {
		s.bodies.remove(file)
	}
	if w.after != nil {
		s.due.lower(w.after.Due())
	}
	if w.before == nil && w.after != nil {
		s.overlay.removeSecrets(w.after)
	}
	for _, file := range dropped(w.before, w.after) {
		s.bodies.remove(file)
	}
	s.overlay.release(e)
}

// forget drops what is not in the database from an entry whose lock is held.
func (s *Store) forget(e *entry) {
	if e.record != nil && e.stored == nil {
		s.overlay.removeSecrets(e.record)
	}
	s.recount(e.record, e.stored)
	e.loaded, e.record, e.stored, e.group = false, nil, nil, nil
}

// recount keeps the number of waiting callbacks.
func (s *Store) recount(before, after *callback.Record) {
	waits := func(r *callback.Record) bool { return r != nil && r.Phase == callback.Waiting }
	switch {
	case waits(after) && !waits(before):
		s.waiting.Add(1)
	case waits(before) && !waits(after):
		s.waiting.Add(-1)
	}
}

// resolve returns the id that a key stands for.
func (s *Store) resolve(key store.Key) (callback.UUID, error) {
	space := byte(keyState)
	switch key.Kind {
	case store.KeyID:
		return key.ID, nil
	case store.KeyTicket:
		space = keyTicket
	}
	if id, ok := s.overlay.find(secretKey{key.Kind, key.Digest}); ok {
		return id, nil
	}
	var id callback.UUID
	err := s.view(func(txn *badgerdb.Txn) error {
		b, err := value(txn, digestKey(space, key.Digest))
		switch {
		case err != nil:
			return err
		case b == nil:
			return store.ErrNotFound
		case len(b) != len(id):
			return fmt.Errorf("%w: an index entry is not as long as it should be", store.ErrDamaged)
		}
		copy(id[:], b)
		return nil
	})
	return id, err
}

// read returns a callback as the database has it.
func (s *Store) read(id callback.UUID) (*callback.Record, error) {
	var r *callback.Record
	err := s.view(func(txn *badgerdb.Txn) error {
		item, err := txn.Get(recordKey(id))
		if errors.Is(err, badgerdb.ErrKeyNotFound) {
			return store.ErrNotFound
		}
		if err != nil {
			return unreadable(err)
		}
		return item.Value(func(b []byte) error {
			r, err = store.DecodeRecord(b)
			return err
		})
	})
	return r, err
}

// view reads from the database, unless it has failed or is closed.
func (s *Store) view(read func(txn *badgerdb.Txn) error) error {
	s.dbLock.RLock()
	defer s.dbLock.RUnlock()
	if s.failure != nil {
		return s.failure
	}
	return s.db.View(read)
}

// write writes to the database, unless it has failed or is closed. An error means
// that it has failed: what of the write is in it, is not known.
func (s *Store) write(write func() error) error {
	usable, err := s.tryWrite(write)
	if usable && err != nil {
		s.fail(err)
		return store.ErrFailed
	}
	return err
}

// tryWrite reports whether the database was usable, and what came of it.
func (s *Store) tryWrite(write func() error) (usable bool, err error) {
	s.dbLock.RLock()
	defer s.dbLock.RUnlock()
	if s.failure != nil {
		return false, s.failure
	}
	return true, write()
}

// value returns a copy of a key's value, nil if the key is not there.
func value(txn *badgerdb.Txn, key []byte) ([]byte, error) {
	item, err := txn.Get(key)
	if errors.Is(err, badgerdb.ErrKeyNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, unreadable(err)
	}
	b, err := item.ValueCopy(nil)
	if err != nil {
		return nil, unreadable(err)
	}
	return b, nil
}

// unreadable hides the text of an error of Badger's, which may hold data.
func unreadable(error) error {
	return fmt.Errorf("%w: the database cannot be read", store.ErrDamaged)
}

// PutPolicy implements store.Store.
func (s *Store) PutPolicy(ctx context.Context, p *callback.Policy) error {
	if _, err := s.Policy(ctx, p.Hash()); !errors.Is(err, store.ErrNotFound) {
		return err
	}
	b, err := p.Encode()
	if err != nil {
		return err
	}
	if s.space.exhausted() {
		return store.ErrFull
	}
	if err := s.write(func() error { return s.set(digestKey(keyPolicy, p.Hash()), b) }); err != nil {
		return err
	}
	s.policies.Store(p.Hash(), p)
	return nil
}

// Policy implements store.Store.
func (s *Store) Policy(_ context.Context, hash callback.Digest) (*callback.Policy, error) {
	if p, ok := s.policies.Load(hash); ok {
		if err := s.usable(); err != nil {
			return nil, err
		}
		return p.(*callback.Policy), nil
	}
	var p *callback.Policy
	err := s.view(func(txn *badgerdb.Txn) error {
		b, err := value(txn, digestKey(keyPolicy, hash))
		if err != nil {
			return err
		}
		if b == nil {
			return store.ErrNotFound
		}
		if p, err = callback.DecodePolicy(b); err != nil || p.Hash() != hash {
			return fmt.Errorf("%w: a policy does not match its hash", store.ErrDamaged)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	s.policies.Store(hash, p)
	return p, nil
}

// PutBody implements store.Store.
func (s *Store) PutBody(_ context.Context, data []byte) (callback.Body, error) {
	if err := s.usable(); err != nil {
		return callback.Body{}, err
	}
	if s.space.exhausted() {
		return callback.Body{}, store.ErrFull
	}
	body, err := s.bodies.put(data)
	if err != nil {
		s.log.Error("a body could not be written", zap.Error(err))
		return callback.Body{}, fmt.Errorf("%w: a body could not be written", store.ErrFailed)
	}
	return body, nil
}

// OpenBody implements store.Store.
func (s *Store) OpenBody(_ context.Context, b callback.Body) (io.ReadCloser, error) {
	if err := s.usable(); err != nil {
		return nil, err
	}
	return s.bodies.open(b)
}

// Due implements store.Store.
func (s *Store) Due(_ context.Context, until callback.Time, limit int) ([]callback.UUID, error) {
	var ids []callback.UUID
	// What is committed after this point lowers the mark, whether or not the
	// scan sees it.
	from, version := s.due.from(until)
	err := s.view(func(txn *badgerdb.Txn) error {
		next := until
		eachDue(txn, from, func(at callback.Time, id callback.UUID, _ bool) bool {
			if at > until || len(ids) == limit {
				return false
			}
			next = min(next, at)
			ids = append(ids, id)
			return true
		})
		s.due.reached(next, version)
		return nil
	})
	return ids, err
}
