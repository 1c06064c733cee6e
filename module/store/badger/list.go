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

const (
	// maxScanned is after how many index entries the work for one page ends, including old
	// versions and deletions that Badger still keeps.
	maxScanned = 20_000
	// lookedUp is how many of them it counts as if one leads to something else that is read.
	lookedUp = 2
)

// placeLength is the length of what places have in keys: time and id.
const placeLength = 8 + 16

const listKeyLength = 1 + placeLength

// appendPlace appends to a key the place of a callback. Places are ordered by when the callbacks
// were made, the newest first.
func appendPlace(k []byte, at callback.Time, id callback.UUID) []byte {
	// With all bits but the sign inverted, later times sort first; the sign bit sorts
	// negative times last by itself.
	k = binary.BigEndian.AppendUint64(k, uint64(at)^(1<<63-1))
	return append(k, id[:]...)
}

// placeOf reads what appendPlace has appended.
func placeOf(place []byte) store.Cursor {
	return store.Cursor{CreatedAt: callback.Time(binary.BigEndian.Uint64(place) ^ (1<<63 - 1)), ID: callback.UUID(place[8:])}
}

func listKey(at callback.Time, id callback.UUID) []byte {
	return appendPlace(append(make([]byte, 0, listKeyLength), keyList), at, id)
}

// listedAt returns when the callback of a key was made.
func listedAt(k []byte) callback.Time { return placeOf(k[1:]).CreatedAt }

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
	// scanned is how much work was done, last the place that was reached, and next where the
	// next page begins, once this one is over.
	scanned    int
	last, next store.Cursor
	// own are callbacks that are in none of the indexes that are gone through, in their order.
	own []owned
}

// run gathers the page from the index that has the fewest entries for the query.
func (l *lister) run(ctx context.Context) error {
	q := l.query
	switch {
	case !q.ID.IsZero():
		return l.one(q.ID)
	case q.CorrelationID != "":
		return l.search(ctx)
	case q.Confirm:
		return l.walk(ctx, section{[]byte{keyConfirm}, q.From, q.Before}, l.look)
	}
	return l.walk(ctx, section{[]byte{keyList}, q.From, q.Before}, l.take)
}

// over reports whether the page is over.
func (l *lister) over() bool { return l.next != store.Cursor{} }

// reach goes on to a place, by way of all that is in no index and comes before it. It reports
// false if the page is over by then.
func (l *lister) reach(at store.Cursor) bool {
	for len(l.own) > 0 && l.beyond(at, l.own[0].at) {
		if !l.addOwn() {
			return false
		}
	}
	return l.step(at)
}

// step goes on to a place, unless the page is over.
func (l *lister) step(at store.Cursor) bool {
	if l.scanned >= cmp.Or(l.s.options.scanned, maxScanned) || len(l.page) >= l.limit || l.bytes >= store.MaxPageBytes {
		l.next = l.last
		return false
	}
	l.scanned++
	l.last = at
	return true
}

// beyond reports whether a place comes after another one.
func (l *lister) beyond(at, other store.Cursor) bool {
	order := bytes.Compare(listKey(at.CreatedAt, at.ID), listKey(other.CreatedAt, other.ID))
	return l.query.OldestFirst && order < 0 || !l.query.OldestFirst && order > 0
}

// section is a part of an index: the places behind a prefix of its keys, from a time on and before
// another one, zero for no limit.
type section struct {
	prefix       []byte
	from, before callback.Time
}

// start returns the key at or after which a page begins.
func (l *lister) start(s section) []byte {
	after, k := l.query.After, bytes.Clone(s.prefix)
	switch resumes := after != (store.Cursor{}); {
	case l.query.OldestFirst && resumes && (s.from == 0 || after.CreatedAt >= s.from),
		!l.query.OldestFirst && resumes && (s.before == 0 || after.CreatedAt < s.before):
		return appendPlace(k, after.CreatedAt, after.ID)
	case l.query.OldestFirst && s.from != 0:
		return append(appendPlace(k, s.from, callback.UUID{})[:len(k)+8], beyondAll[:16]...)
	case l.query.OldestFirst:
		return append(k, beyondAll...)
	case s.before != 0:
		return appendPlace(k, s.before-1, callback.UUID{})
	}
	return k
}

// beyondAll comes after all places.
var beyondAll = bytes.Repeat([]byte{0xff}, placeLength)

// outside reports whether a time lies behind the end of a section.
func (l *lister) outside(s section, at callback.Time) bool {
	if l.query.OldestFirst {
		return s.before != 0 && at >= s.before
	}
	return s.from != 0 && at < s.from
}

// indexEntry is the newest version of an index entry, as far as it was read.
type indexEntry struct {
	key, value []byte
	there      bool
}

// walk calls see for the entries in a section, until the page is over. It counts deleted entries and
// old versions, too, because skipping them is also work.
func (l *lister) walk(ctx context.Context, s section, see func(at store.Cursor, value []byte) error) error {
	reverse := l.query.OldestFirst
	it := l.txn.NewIterator(badgerdb.IteratorOptions{Prefix: s.prefix, AllVersions: true, Reverse: reverse})
	defer it.Close()
	// Read backwards, the newest version of an entry comes last.
	var entry indexEntry
	finish := func() error {
		if !entry.there {
			return nil
		}
		entry.there = false
		return see(placeOf(entry.key[len(s.prefix):]), entry.value)
	}
	for it.Seek(l.start(s)); it.Valid(); it.Next() {
		if err := ctx.Err(); err != nil {
			return err
		}
		k := it.Item().Key()
		if len(k) != len(s.prefix)+placeLength {
			return errIndex
		}
		at := placeOf(k[len(s.prefix):])
		older := bytes.Equal(k, entry.key)
		switch {
		case at == l.query.After, older && !reverse:
			l.scanned++
			continue
		case older:
			l.scanned++
		case l.outside(s, at.CreatedAt):
			return finish()
		default:
			if err := finish(); err != nil || !l.reach(at) {
				return err
			}
		}
		if err := entry.read(it.Item()); err != nil {
			return err
		}
	}
	return finish()
}

// read reads a version of an entry.
func (e *indexEntry) read(item *badgerdb.Item) (err error) {
	e.key, e.there = item.KeyCopy(e.key), !item.IsDeletedOrExpired()
	if !e.there {
		return nil
	}
	if e.value, err = item.ValueCopy(e.value); err != nil {
		return unreadable(err)
	}
	return nil
}

// take adds a callback to the page if it matches the query by its list entry and its record. It
// skips a record that cannot be read, so that the others are still listed.
func (l *lister) take(at store.Cursor, entry []byte) error {
	if len(entry) < 1 {
		return errIndex
	}
	q := l.query
	if q.Phase != 0 && q.Phase != listedPhase(entry) || q.Dead && !listedDead(entry) || !q.HasName(string(listedName(entry))) {
		return nil
	}
	if q.Indexed() {
		l.page = append(l.page, &callback.Record{ID: at.ID, CreatedAt: at.CreatedAt})
		return nil
	}
	r, size, err := readRecord(l.txn, at.ID)
	if errors.Is(err, store.ErrDamaged) || errors.Is(err, store.ErrNotFound) {
		l.s.log.Error("a callback is left out of a list: its record cannot be read", zap.Stringer("id", at.ID), zap.Error(err))
		return nil
	}
	if err != nil {
		return err
	}
	l.add(r, size)
	return nil
}

// add adds a record to the page if it matches the query.
func (l *lister) add(r *callback.Record, size int) {
	if l.query.Has(r) {
		l.page = append(l.page, r)
		l.bytes += size
	}
}
