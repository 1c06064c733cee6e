// Package badger keeps callbacks in an embedded Badger database, in a directory that
// only one process can use.
package badger

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	badgerdb "github.com/dgraph-io/badger/v4"
	"go.uber.org/zap"

	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/memory"
	"github.com/caddy-callback/caddy-callback/module/store"
)

// Store implements store.Store.
//
// Decisions are made in memory, under the lock of their callback. One goroutine then
// commits them in order, many at a time.
type Store struct {
	options Options
	log     *zap.Logger
	id      string
	// keys are the encryption keys, the first first; none if the store is not encrypted.
	keys      []*encryptionKey
	overlay   *overlay
	recent    *recent
	committer *committer
	bodies    *bodies
	space     *space
	outages   *outages

	secrets atomic.Pointer[callback.Secrets]
	// secretLock is held while the secrets are replaced. adopted are the options from which
	// they come.
	secretLock sync.Mutex
	adopted    Options

	// dbLock is held for reading while db is used, and for writing while it is
	// closed or replaced.
	dbLock sync.RWMutex
	db     *badgerdb.DB
	// failure is why the database must not be used; nil if it can be.
	failure error
	// failedAnew says that the log has a line of its own about the last failure.
	failedAnew bool
	sequence   atomic.Uint64
	// beforeCommit makes commits fail in tests.
	beforeCommit func() error

	commits commitCounts

	// indexedFrom is from when on all callbacks are in all indexes; 0 if all are. dbLock guards
	// it.
	indexedFrom callback.Time

	policies sync.Map // callback.Digest -> *callback.Policy
	// policyLock is held while a policy is read from the database into policies, and while
	// policies that are not there are removed.
	policyLock sync.Mutex

	due     dueMark
	waiting atomic.Int64
	tally   *tally
	// counted is closed when what there was at the start has been counted.
	counted chan struct{}
	// forgotten is closed when the policies that no callback needs have been removed.
	forgotten chan struct{}
	// verified is closed when all tables have been read once.
	verified   chan struct{}
	stopping   chan struct{}
	background sync.WaitGroup
	closing    sync.Once
}

// ID implements store.Store.
func (s *Store) ID() string { return s.id }

// Changes implements store.Store. The directory belongs to this process alone.
func (s *Store) Changes() <-chan store.Hint { return nil }

// Waiting implements store.Store.
func (s *Store) Waiting() int { return int(max(0, s.waiting.Load())) }

// Commits implements store.Measured.
func (s *Store) Commits() store.Commits {
	c := &s.commits
	return store.Commits{Count: c.count.Load(), Records: c.records.Load(), Took: time.Duration(c.took.Load())}
}

// commitCounts are counts of commits.
type commitCounts struct {
	count, records atomic.Uint64
	took           atomic.Int64
}

func (c *commitCounts) add(records int, took time.Duration) {
	c.count.Add(1)
	c.records.Add(uint64(records))
	c.took.Add(int64(took))
}

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

// view reads from the database, unless it has failed or is closed.
func (s *Store) view(read func(txn *badgerdb.Txn) error) error {
	s.dbLock.RLock()
	defer s.dbLock.RUnlock()
	if s.failure != nil {
		return s.failure
	}
	return s.db.View(read)
}

// write writes to the database, unless it has failed or is closed. An error makes it
// fail, because it is unknown how much of the write was stored.
func (s *Store) write(write func() error) error {
	usable, err := s.tryWrite(write)
	if usable && err != nil {
		s.fail(err)
		return store.ErrFailed
	}
	return err
}

// tryWrite writes if the database is usable, and reports whether it is.
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

// errIndex: a key or a value of an index does not have the length that it is written
// with.
var errIndex = fmt.Errorf("%w: an index entry has the wrong length", store.ErrDamaged)

// unreadable hides the text of Badger's error, which may contain data.
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
	s.policyLock.Lock()
	defer s.policyLock.Unlock()
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
	return body, s.unwritten(err)
}

// NewBody implements store.Store.
func (s *Store) NewBody(context.Context) (store.BodyWriter, error) {
	if err := s.usable(); err != nil {
		return nil, err
	}
	if s.space.exhausted() {
		return nil, store.ErrFull
	}
	w, err := s.bodies.create()
	if err != nil {
		w.Abort()
		return nil, s.unwritten(err)
	}
	return watchedWriter{w, s}, nil
}

// unwritten notes that a body could not be written, and returns what to say of it.
func (s *Store) unwritten(err error) error {
	if err == nil {
		return nil
	}
	s.outages.writing.Failed(causeOf(err), 1, zap.Error(err))
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return store.ErrFull
	}
	return fmt.Errorf("%w: a body could not be written", store.ErrFailed)
}

// watchedWriter is a writer whose errors are those of the store.
type watchedWriter struct {
	*bodyWriter
	s *Store
}

// Write implements store.BodyWriter.
func (w watchedWriter) Write(piece []byte) (int, error) {
	n, err := w.bodyWriter.Write(piece)
	return n, w.s.unwritten(err)
}

// Commit implements store.BodyWriter.
func (w watchedWriter) Commit() (callback.Body, error) {
	body, err := w.bodyWriter.Commit()
	return body, w.s.unwritten(err)
}

// DropBody implements store.Store.
func (s *Store) DropBody(_ context.Context, b callback.Body) { s.bodies.drop(b.File) }

// OpenBody implements store.Store.
func (s *Store) OpenBody(_ context.Context, b callback.Body, space memory.Space) (io.ReadCloser, error) {
	if err := s.usable(); err != nil {
		return nil, err
	}
	return s.bodies.open(b, space, s.refersTo, func(err error) { s.outages.reading.Failed(causeOf(err), 1, zap.Error(err)) })
}

// Due implements store.Store.
func (s *Store) Due(_ context.Context, until callback.Time, limit int) ([]callback.UUID, error) {
	var ids []callback.UUID
	// A commit after this point lowers the mark, whether or not the scan sees it.
	from, version := s.due.from(until)
	err := s.view(func(txn *badgerdb.Txn) error {
		next := until
		eachDue(txn, from, func(at callback.Time, id callback.UUID) bool {
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
