package badger

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"errors"

	badgerdb "github.com/dgraph-io/badger/v4"
	"go.uber.org/zap"

	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/store"
)

// The work for one page ends after this many index entries, including old versions
// and deletions that Badger still keeps.
const maxScanned = 20_000

const listKeyLength = 1 + 8 + 16

// listKey orders callbacks by when they were made, the newest first.
func listKey(at callback.Time, id callback.UUID) []byte {
	k := make([]byte, 0, listKeyLength)
	k = append(k, keyList)
	// With all bits but the sign inverted, later times sort first; the sign bit sorts
	// negative times last by itself.
	k = binary.BigEndian.AppendUint64(k, uint64(at)^(1<<63-1))
	return append(k, id[:]...)
}

// listedAt returns when the callback of a key was made.
func listedAt(k []byte) callback.Time {
	return callback.Time(binary.BigEndian.Uint64(k[1:9]) ^ (1<<63 - 1))
}

// listDead is the bit beside the phase in a list entry that marks a callback whose
// delivery was given up.
const listDead = 0x80

// listEntry returns the index entry that List filters by without reading the record.
func listEntry(r *callback.Record) change {
	if r == nil {
		return change{}
	}
	first := byte(r.Phase)
	if r.Delivery != nil && r.Delivery.Dead {
		first |= listDead
	}
	return change{listKey(r.CreatedAt, r.ID), append([]byte{first}, r.Name...)}
}

// listedPhase, listedDead and listedName read the value of a list entry, which has at least a
// byte.
func listedPhase(b []byte) callback.Phase { return callback.Phase(b[0] &^ listDead) }

func listedDead(b []byte) bool { return b[0]&listDead != 0 }

func listedName(b []byte) []byte { return b[1:] }

// List implements store.Store. It first has earlier decisions committed: a request
// that its upstream already has may be uncommitted for some milliseconds.
func (s *Store) List(ctx context.Context, q store.Query) (page []*callback.Record, next store.Cursor, err error) {
	if err := s.committer.flush(ctx); err != nil {
		return nil, store.Cursor{}, err
	}
	err = s.view(func(txn *badgerdb.Txn) error {
		l := lister{s: s, txn: txn, query: q, limit: q.PageSize()}
		err := l.run(ctx)
		page, next = l.page, l.next
		return err
	})
	if err != nil {
		return nil, store.Cursor{}, err
	}
	return page, next, nil
}

// lister gathers one page. It sees the database as it is at one moment.
type lister struct {
	s     *Store
	txn   *badgerdb.Txn
	query store.Query
	limit int
	page  []*callback.Record
	bytes int
	next  store.Cursor
}

// run counts deleted entries, too, because skipping them is also work.
func (l *lister) run(ctx context.Context) error {
	it := l.txn.NewIterator(badgerdb.IteratorOptions{Prefix: []byte{keyList}, AllVersions: true})
	defer it.Close()
	var last store.Cursor
	var seen [listKeyLength]byte
	scanned := 0
	for it.Seek(l.start()); it.Valid(); it.Next() {
		if err := ctx.Err(); err != nil {
			return err
		}
		item := it.Item()
		k := item.Key()
		if len(k) != listKeyLength {
			return errIndex
		}
		at := store.Cursor{CreatedAt: listedAt(k), ID: callback.UUID(k[9:])}
		if l.query.From != 0 && at.CreatedAt < l.query.From {
			return nil
		}
		if older := bytes.Equal(k, seen[:]); older || at == l.query.After {
			scanned++
			continue
		}
		if scanned >= cmp.Or(l.s.options.scanned, maxScanned) || len(l.page) >= l.limit || l.bytes >= store.MaxPageBytes {
			l.next = last
			return nil
		}
		scanned++
		copy(seen[:], k)
		last = at
		if item.IsDeletedOrExpired() {
			continue
		}
		if err := l.take(item, at.ID); err != nil {
			return err
		}
	}
	return nil
}

// start returns the key at or after which the page begins.
func (l *lister) start() []byte {
	switch {
	case l.query.After != (store.Cursor{}) && (l.query.Before == 0 || l.query.After.CreatedAt < l.query.Before):
		return listKey(l.query.After.CreatedAt, l.query.After.ID)
	case l.query.Before != 0:
		return listKey(l.query.Before-1, callback.UUID{})
	}
	return []byte{keyList}
}

// take adds a callback to the page if it matches the query. It skips a record that
// cannot be read, so that the others are still listed.
func (l *lister) take(item *badgerdb.Item, id callback.UUID) error {
	matches := false
	err := item.Value(func(b []byte) error {
		if len(b) < 1 {
			return errIndex
		}
		matches = (l.query.Phase == 0 || l.query.Phase == listedPhase(b)) &&
			(!l.query.Dead || listedDead(b)) &&
			l.query.HasName(string(listedName(b)))
		return nil
	})
	if err != nil {
		return unreadable(err)
	}
	if !matches {
		return nil
	}
	r, size, err := readRecord(l.txn, id)
	if errors.Is(err, store.ErrDamaged) || errors.Is(err, store.ErrNotFound) {
		l.s.log.Error("a callback is left out of a list: its record cannot be read", zap.Stringer("id", id), zap.Error(err))
		return nil
	}
	if err != nil {
		return err
	}
	if !l.query.Has(r) {
		return nil
	}
	l.page = append(l.page, r)
	l.bytes += size
	return nil
}
