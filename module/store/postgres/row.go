package postgres

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/store"
)

// found is a record as it is in the database, and the number of its last write.
type found struct {
	record *callback.Record
	rev    int64
}

// half returns the part of a digest that the tables have. The rest is checked in the record.
func half(d callback.Digest) [16]byte { return [16]byte(d[:16]) }

// find reads the record with a key.
func (s *Store) find(ctx context.Context, key store.Key) (found, error) {
	var statement string
	var arg any
	switch key.Kind {
	case store.KeyState:
		statement, arg = `SELECT id, rev, record FROM @callbacks WHERE state = $1`, half(key.Digest)
	case store.KeyTicket:
		statement, arg = `SELECT id, rev, record FROM @callbacks WHERE ticket = $1`, half(key.Digest)
	case store.KeyAlias:
		statement, arg = `SELECT id, rev, record FROM @callbacks WHERE id = (SELECT id FROM @aliases WHERE alias = $1)`, key.Digest[:]
	default:
		statement, arg = `SELECT id, rev, record FROM @callbacks WHERE id = $1`, [16]byte(key.ID)
	}
	ctx, cancel, err := s.reading(ctx)
	if err != nil {
		return found{}, err
	}
	defer cancel()
	var id [16]byte
	var rev int64
	var b []byte
	err = s.pool.QueryRow(ctx, s.sql(statement), arg).Scan(&id, &rev, &b)
	if errors.Is(err, pgx.ErrNoRows) {
		err = store.ErrNotFound
	}
	if err != nil {
		return found{}, s.wrap(ctx, err)
	}
	r, err := s.decode(id, b)
	if err != nil {
		return found{}, err
	}
	if !leadsTo(key, r) {
		return found{}, store.ErrNotFound
	}
	return found{r, rev}, nil
}

// leadsTo reports whether a key is that of a record.
func leadsTo(key store.Key, r *callback.Record) bool {
	switch key.Kind {
	case store.KeyState:
		return r.State == key.Digest
	case store.KeyTicket:
		return r.Ticket == key.Digest
	case store.KeyAlias:
		return slices.Contains(r.Aliases, key.Digest)
	}
	return r.ID == key.ID
}

// encode returns a record as it is stored.
func (s *Store) encode(r *callback.Record) ([]byte, error) {
	b, err := store.EncodeRecord(r)
	if err != nil {
		return nil, err
	}
	return s.keys.seal("record", r.ID[:], b), nil
}

// decode reads what encode returned.
func (s *Store) decode(id callback.UUID, b []byte) (*callback.Record, error) {
	b, err := s.keys.open(nil, "record", id[:], b)
	if err != nil {
		return nil, err
	}
	r, err := store.DecodeRecord(b)
	if err == nil && r.ID != id {
		err = fmt.Errorf("%w: a record is that of another callback", store.ErrDamaged)
	}
	return r, err
}

// write is a decision that is to be committed.
type write struct {
	id callback.UUID
	// old is the number of the write that it is based on, 0 for a creation, and rev its own.
	old, rev int64
	// after is the record, nil if it is deleted, and row what is stored of it.
	after *callback.Record
	row   []any
	// waiting is by how much more callbacks wait after it.
	waiting int
	// added and removed are aliases, taken and released files of bodies.
	added, removed  []callback.Digest
	taken, released [][16]byte
	// bytes is about how much there is to send and to remove.
	bytes int
	// done gets the outcome.
	done chan error
	// sent says that it may be on its way to the database, and abandoned that nobody waits for
	// it any more. The lane's lock guards both.
	sent, abandoned bool
}

// within returns how long it may take.
func (w *write) within() time.Duration {
	if w.old == 0 {
		return createWithin
	}
	return writeWithin
}

// writeOf returns the write that puts a record, nil for none, in place of another.
func (s *Store) writeOf(before found, after *callback.Record) (*write, error) {
	w := &write{old: before.rev, rev: rand.Int64N(1<<62) + 1, after: after, done: make(chan error, 1)} //nolint:gosec // the number is no secret
	if before.record != nil {
		w.id = before.record.ID
	}
	if after != nil {
		w.id = after.ID
		b, err := s.encode(after)
		if err != nil {
			return nil, err
		}
		w.row = rowOf(after, w.rev, b)
	}
	w.waiting = waits(after) - waits(before.record)
	was, is := aliasesOf(before.record), aliasesOf(after)
	w.added, w.removed = without(is, was), without(was, is)
	had, has := filesOf(before.record), filesOf(after)
	w.taken, w.released = without(has, had), without(had, has)
	return w, nil
}

// rowOf returns what is stored of a record, in the order of the columns.
func rowOf(r *callback.Record, rev int64, encoded []byte) []any {
	var owner, forget *int64
	if r.Owner != 0 {
		n := int64(r.Owner)
		owner = &n
	}
	if r.Forgettable(r.KeepUntil) {
		at := int64(r.KeepUntil)
		forget = &at
	}
	var awaited []byte
	for _, d := range r.Awaited {
		awaited = append(awaited, d[:]...)
	}
	dead := r.Delivery != nil && r.Delivery.Dead
	return []any{
		[16]byte(r.ID), rev, int64(r.CreatedAt), int64(r.Due()), forget, int16(r.Phase), dead,
		half(r.State), half(r.Ticket), r.Policy[:], []byte(r.Name), owner, awaited, encoded,
	}
}

func waits(r *callback.Record) int {
	if r != nil && r.Phase == callback.Waiting {
		return 1
	}
	return 0
}

func aliasesOf(r *callback.Record) []callback.Digest {
	if r == nil {
		return nil
	}
	return r.Aliases
}

// filesOf lists the files of a record's bodies.
func filesOf(r *callback.Record) (files [][16]byte) {
	if r == nil {
		return nil
	}
	for _, b := range r.Bodies() {
		if file, ok := callback.ParseUUID(b.File); ok {
			files = append(files, file)
		}
	}
	return files
}

// without lists what is in all and not in others, each once.
func without[T comparable](all, others []T) (rest []T) {
	for _, one := range all {
		if !slices.Contains(others, one) && !slices.Contains(rest, one) {
			rest = append(rest, one)
		}
	}
	return rest
}
