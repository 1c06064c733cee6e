package badger

import (
	"encoding/binary"
	"errors"
	"sync"
	"time"

	badgerdb "github.com/dgraph-io/badger/v4"
	"go.uber.org/zap"

	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/store"
)

const (
	// superviseEvery is how often the free space is checked and the sentinel written.
	superviseEvery = time.Second
	// reopenEvery is the time between attempts to reopen a failed store.
	reopenEvery = 5 * time.Second
	// closeWithin is how long closing the database may take. After a disk error it
	// can take forever.
	closeWithin = 10 * time.Second
	// abandonWithin is the same for a database that has failed when its store is
	// closed: there is nothing left to write, so a longer wait would save nothing.
	abandonWithin = 500 * time.Millisecond
)

// start starts the background work.
func (s *Store) start() {
	s.watchSpace()
	// From here on every change is counted as it is made, so only the callbacks in
	// the database at this moment are left to count.
	s.dbLock.RLock()
	snapshot := s.db.NewTransaction(false)
	s.background.Go(func() {
		defer s.dbLock.RUnlock()
		defer snapshot.Discard()
		s.countAll(snapshot)
		close(s.counted)
	})
	s.background.Go(s.keepTidy)
	s.background.Go(func() {
		defer close(s.verified)
		s.verifyTables()
	})
	s.background.Go(func() {
		defer close(s.forgotten)
		s.forgetPolicies()
	})
	s.background.Go(func() { s.countGone(s.secrets.Load()) })
	s.background.Go(s.supervise)
	go s.committer.run()
}

// eachDue calls yield for each entry of the due index from a time on, in order,
// until it returns false.
func eachDue(txn *badgerdb.Txn, from callback.Time, yield func(at callback.Time, id callback.UUID) bool) {
	it := txn.NewIterator(badgerdb.IteratorOptions{Prefix: []byte{keyDue}})
	defer it.Close()
	for it.Seek(binary.BigEndian.AppendUint64([]byte{keyDue}, uint64(from))); it.Valid(); it.Next() {
		k := it.Item().Key()
		if len(k) != dueKeyLength {
			continue
		}
		at := callback.Time(binary.BigEndian.Uint64(k[1:9]))
		if !yield(at, callback.UUID(k[9:25])) {
			return
		}
	}
}

// dueMark is the time before which the due index is known to be empty. Deleted
// entries stay in Badger as tombstones for a while, and a scan from the beginning
// would have to skip each of them.
type dueMark struct {
	mu   sync.Mutex
	mark callback.Time
	// until is the latest time that a scan was asked for.
	until callback.Time
	// version counts how often the mark was lowered, so that a scan that began
	// before does not raise it again.
	version int
}

// from returns where a scan must begin.
func (m *dueMark) from(until callback.Time) (from callback.Time, version int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.until = max(m.until, until)
	return min(m.mark, until), m.version
}

// reached notes that a scan has found nothing that is due before at.
func (m *dueMark) reached(at callback.Time, version int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if version == m.version {
		m.mark = max(m.mark, at)
	}
}

// forget resets the mark, so that the next scan begins at the very beginning.
func (m *dueMark) forget() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.mark = 0
	m.version++
}

// lower notes that something is due at that time.
func (m *dueMark) lower(at callback.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if at <= max(m.mark, m.until) {
		m.mark = min(m.mark, at)
		m.version++
	}
}

// supervise checks the free space, writes the sentinel, and reopens the store after a
// failure.
func (s *Store) supervise() {
	tick := time.NewTicker(superviseEvery)
	defer tick.Stop()
	var written uint64
	for {
		select {
		case <-s.stopping:
			return
		case <-tick.C:
		}
		s.watchSpace()
		if errors.Is(s.usable(), store.ErrFailed) {
			s.recover()
			continue
		}
		if s.usable() == nil && !s.space.exhausted() {
			s.outages.works()
		}
		if sequence := s.sequence.Load(); sequence != written && s.writeSentinel(false) == nil {
			written = sequence
		}
	}
}

// watchSpace measures the space that is left.
func (s *Store) watchSpace() {
	if s.space.check() {
		s.outages.room.Failed(store.ErrFull, 1)
		return
	}
	s.outages.room.Works()
}

func (s *Store) writeSentinel(clean bool) error {
	from := int64(s.indexedFrom)
	return sentinel{Store: s.id, Sequence: s.sequence.Load(), Clean: clean, IndexedFrom: &from}.write(s.options.Dir)
}

// fail stops all use of the database: it is unknown whether the last commits were
// stored until the database has been reopened.
func (s *Store) fail(err error) {
	s.committer.refuse(store.ErrFailed)
	s.dbLock.Lock()
	defer s.dbLock.Unlock()
	if s.failure == nil {
		s.failure = store.ErrFailed
		s.failedAnew = s.outages.use.Failed(errors.New(errorClass(err)), 1)
	}
}

// errorClass describes an error of a commit without its text, which may contain data.
func errorClass(err error) string {
	switch {
	case errors.Is(err, badgerdb.ErrTxnTooBig):
		return "too big for a transaction"
	case errors.Is(err, badgerdb.ErrBlockedWrites), errors.Is(err, badgerdb.ErrDBClosed):
		return "closed"
	}
	return explain(err).Error()
}

// recover closes the failed database and opens it again, with every check of a first
// opening. If closing takes too long, the store stays failed until the process is
// restarted.
func (s *Store) recover() {
	if !s.closeDatabase(closeWithin, s.stopping) {
		select {
		case <-s.stopping:
			return
		default:
		}
		s.log.Error("the failed store cannot be closed; it stays out of use until Caddy is restarted")
		<-s.stopping
		return
	}
	for {
		s.dbLock.Lock()
		err, anew := s.open(), false
		if err == nil {
			s.failure = nil
			anew = s.failedAnew
			// A commit that has failed may have been stored all the same.
			s.due.forget()
			s.recountAll()
			// Accept decisions before the lock is released: from then on the store
			// says that it is ready.
			s.committer.refuse(nil)
		}
		s.dbLock.Unlock()
		if err == nil {
			s.outages.reopening.Over()
			if anew {
				s.log.Info("the store has been verified and is in use again")
			}
			s.bodies.review(s.refersTo)
			return
		}
		s.outages.reopening.Failed(causeOf(err), 1, zap.Error(err))
		select {
		case <-s.stopping:
			return
		case <-time.After(reopenEvery):
		}
	}
}

// recountAll counts what is in a database that was just opened.
func (s *Store) recountAll() {
	txn := s.db.NewTransaction(false)
	defer txn.Discard()
	s.waiting.Store(0)
	s.tally.forget()
	s.countAll(txn)
}

// closeDatabase closes the database. It reports false if that takes longer than
// within, or if noLonger is closed first.
func (s *Store) closeDatabase(within time.Duration, noLonger <-chan struct{}) bool {
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = s.db.Close()
	}()
	select {
	case <-done:
		return true
	case <-noLonger:
		return false
	case <-time.After(within):
		return false
	}
}

// usable returns why nothing can be read, nil if it can.
func (s *Store) usable() error {
	s.dbLock.RLock()
	defer s.dbLock.RUnlock()
	return s.failure
}

// size returns the bytes that the store takes on disk, as far as it knows.
func (s *Store) size() uint64 {
	s.dbLock.RLock()
	defer s.dbLock.RUnlock()
	if s.failure != nil {
		return 0
	}
	lsm, _ := s.db.Size()
	return uint64(lsm + max(0, s.bodies.size.Load()))
}

// Close implements store.Store.
func (s *Store) Close() error {
	var err error
	s.closing.Do(func() {
		done := make(chan error, 1)
		go func() { done <- s.shut() }()
		select {
		case err = <-done:
		case <-time.After(2 * closeWithin):
			// A disk that does not answer must not keep Caddy from exiting.
			err = errors.New("the store did not close in time")
		}
	})
	return err
}

func (s *Store) shut() error {
	close(s.stopping)
	s.background.Wait()
	s.committer.end()
	s.bodies.end()
	s.outages.over()
	s.dbLock.Lock()
	failed := s.failure != nil
	s.failure = store.ErrClosed
	s.dbLock.Unlock()
	if failed {
		_ = s.closeDatabase(abandonWithin, nil)
		return nil
	}
	if !s.closeDatabase(closeWithin, nil) {
		return errors.New("the database did not close in time")
	}
	return s.writeSentinel(true)
}
