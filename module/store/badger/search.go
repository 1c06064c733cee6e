package badger

import (
	"context"
	"crypto/sha256"
	"errors"
	"slices"

	badgerdb "github.com/dgraph-io/badger/v4"

	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/store"
)

// correlationPrefix begins the keys of the callbacks that were given a correlation id. Others can
// have ids with the same prefix.
func correlationPrefix(correlationID string) []byte {
	sum := sha256.Sum256([]byte(correlationID))
	return append([]byte{keyCorrelation}, sum[:8]...)
}

// correlationEntry returns the index entry by which a callback is found that was given its
// correlation id. Those that have ids of their own are found without.
func (s *Store) correlationEntry(r *callback.Record) change {
	if r == nil || s.SecretOf(r).OwnCorrelationID(r) {
		return change{}
	}
	return change{appendPlace(correlationPrefix(r.CorrelationID), r.CreatedAt, r.ID), empty}
}

// confirmEntry returns the index entry of a callback that a person decides.
func confirmEntry(r *callback.Record) change {
	if r == nil || !r.Confirm {
		return change{}
	}
	return change{appendPlace([]byte{keyConfirm}, r.CreatedAt, r.ID), empty}
}

// indexed appends the changes to the entries that only some callbacks have.
func (s *Store) indexed(list []change, before, after *callback.Record) []change {
	if before == nil || after == nil || before.CorrelationID != after.CorrelationID || before.CreatedAt != after.CreatedAt {
		list = replaced(list, s.correlationEntry(before), s.correlationEntry(after))
	}
	return replaced(list, confirmEntry(before), confirmEntry(after))
}

// one gathers the page with the one callback that has an id.
func (l *lister) one(id callback.UUID) error {
	r, size, err := readRecord(l.txn, id)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return nil
	case err != nil:
		return err
	case l.resumes(r):
		l.add(r, size)
	}
	return nil
}

// resumes reports whether a record comes after where the page begins.
func (l *lister) resumes(r *callback.Record) bool {
	after := l.query.After
	return after == (store.Cursor{}) || l.beyond(store.Cursor{CreatedAt: r.CreatedAt, ID: r.ID}, after)
}

// look adds a callback that an index leads to. An earlier release leaves entries of what it
// removes.
func (l *lister) look(at store.Cursor, _ []byte) error {
	l.scanned += lookedUp
	entry, err := value(l.txn, listKey(at.CreatedAt, at.ID))
	if err != nil || entry == nil {
		return err
	}
	return l.take(at, entry)
}

// search gathers a page of callbacks with a correlation id. Those that were made before indexedFrom
// are not in the index: they are gone through.
func (l *lister) search(ctx context.Context) error {
	parts := []func(context.Context) error{l.searchIndex, l.searchOlder}
	if l.query.OldestFirst {
		slices.Reverse(parts)
	}
	for _, part := range parts {
		if err := part(ctx); err != nil || l.over() {
			return err
		}
	}
	return nil
}

// searchIndex finds the callbacks that were given the correlation id, and those whose own it is.
func (l *lister) searchIndex(ctx context.Context) error {
	if err := l.findOwn(); err != nil {
		return err
	}
	s := section{correlationPrefix(l.query.CorrelationID), max(l.query.From, l.s.indexedFrom), l.query.Before}
	if err := l.walk(ctx, s, l.look); err != nil {
		return err
	}
	for len(l.own) > 0 && !l.over() {
		l.addOwn()
	}
	return nil
}

// owned is a callback that has the correlation id as its own.
type owned struct {
	at     store.Cursor
	record *callback.Record
	size   int
}

// addOwn goes on to the next of the callbacks that are in no index, unless the page is over.
func (l *lister) addOwn() bool {
	next := l.own[0]
	if !l.step(next.at) {
		return false
	}
	l.own = l.own[1:]
	l.add(next.record, next.size)
	return true
}

// findOwn finds the callbacks whose own correlation id it is: one for each secret at most.
func (l *lister) findOwn() error {
	u, ok := callback.ParseUUID(l.query.CorrelationID)
	if !ok {
		return nil
	}
	for _, id := range l.s.secrets.Load().CorrelatedIDs(u) {
		r, size, err := readRecord(l.txn, id)
		switch {
		case errors.Is(err, store.ErrNotFound):
		case err != nil:
			return err
		case r.CorrelationID == l.query.CorrelationID && r.CreatedAt >= l.s.indexedFrom && l.resumes(r) && l.s.SecretOf(r).OwnCorrelationID(r):
			l.own = append(l.own, owned{store.Cursor{CreatedAt: r.CreatedAt, ID: r.ID}, r, size})
		}
	}
	slices.SortFunc(l.own, func(a, b owned) int {
		if l.beyond(a.at, b.at) {
			return 1
		}
		return -1
	})
	return nil
}

// searchOlder goes through the callbacks of an earlier release.
func (l *lister) searchOlder(ctx context.Context) error {
	if l.s.indexedFrom == 0 {
		return nil
	}
	before := l.s.indexedFrom
	if l.query.Before != 0 {
		before = min(before, l.query.Before)
	}
	return l.walk(ctx, section{[]byte{keyList}, l.query.From, before}, func(at store.Cursor, entry []byte) error {
		l.scanned += lookedUp
		item, err := l.txn.Get(recordKey(at.ID))
		if errors.Is(err, badgerdb.ErrKeyNotFound) {
			return nil
		}
		if err != nil {
			return unreadable(err)
		}
		matches := false
		if err := item.Value(func(b []byte) error {
			l.scanned += len(b) >> 10
			id, err := store.CorrelationIDOf(b)
			// A record that cannot be read is told of where it is taken.
			matches = err != nil || id == l.query.CorrelationID
			return nil
		}); err != nil {
			return unreadable(err)
		}
		if !matches {
			return nil
		}
		return l.take(at, entry)
	})
}

// newest returns when the newest callback was made; false if there is none.
func newest(txn *badgerdb.Txn) (callback.Time, bool) {
	it := txn.NewIterator(badgerdb.IteratorOptions{Prefix: []byte{keyList}})
	defer it.Close()
	for it.Rewind(); it.Valid(); it.Next() {
		if k := it.Item().Key(); len(k) == listKeyLength {
			return placeOf(k[1:]).CreatedAt, true
		}
	}
	return 0, false
}

// beginIndex notes from when on the indexes are whole. A release that does not know them writes
// no such time into the sentinel.
func (s *Store) beginIndex(expected *sentinel) error {
	if expected != nil && expected.IndexedFrom != nil {
		s.indexedFrom = callback.Time(*expected.IndexedFrom)
		return nil
	}
	return s.db.View(func(txn *badgerdb.Txn) error {
		s.indexedFrom = 0
		if at, some := newest(txn); some {
			s.indexedFrom = max(1, at+1)
		}
		return nil
	})
}
