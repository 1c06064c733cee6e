package postgres

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

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
	ctx, cancel, err := s.reading(ctx)
	if err != nil {
		return found{}, err
	}
	defer cancel()
	row, err := s.reader.find(ctx, key)
	if err != nil {
		return found{}, s.wrap(ctx, err)
	}
	r, err := s.decode(row.id, row.record)
	if err != nil {
		return found{}, err
	}
	if !leadsTo(key, r) {
		return found{}, store.ErrNotFound
	}
	f := found{r, row.rev}
	s.recent.put(f)
	return f, nil
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
	row   row
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
		w.row.correlation = s.correlationOf(after)
	}
	w.waiting = waits(after) - waits(before.record)
	was, is := aliasesOf(before.record), aliasesOf(after)
	w.added, w.removed = without(is, was), without(was, is)
	had, has := filesOf(before.record), filesOf(after)
	w.taken, w.released = without(has, had), without(had, has)
	return w, nil
}

// row is what is stored of a record.
type row struct {
	id, state, ticket             [16]byte
	rev, created, due             int64
	forget, owner                 *int64
	phase                         int16
	dead, confirm                 bool
	policy, name, awaited, record []byte
	correlation                   int64
}

func rowOf(r *callback.Record, rev int64, encoded []byte) row {
	c := row{
		id: r.ID, state: half(r.State), ticket: half(r.Ticket), rev: rev, created: int64(r.CreatedAt), due: int64(r.Due()),
		phase: int16(r.Phase), dead: r.Delivery != nil && r.Delivery.Dead, policy: r.Policy[:], name: []byte(r.Name), record: encoded,
		confirm: r.Confirm,
	}
	if r.Owner != 0 {
		n := int64(r.Owner)
		c.owner = &n
	}
	if r.Forgettable(r.KeepUntil) {
		at := int64(r.KeepUntil)
		c.forget = &at
	}
	for _, d := range r.Awaited {
		c.awaited = append(c.awaited, d[:]...)
	}
	return c
}

// args returns the row in the order of the columns in statements.
func (r row) args() []any {
	return []any{r.id, r.rev, r.created, r.due, r.forget, r.phase, r.dead, r.state, r.ticket, r.policy, r.name, r.owner, r.awaited, r.record, r.correlation, r.confirm}
}

// columns are rows by their columns, with the numbers of the writes that they belong to.
type columns struct {
	ns                                []int32
	ids, states, tickets              [][16]byte
	revs, created, due                []int64
	forget, owners                    []*int64
	phases                            []int16
	dead                              []bool
	policies, names, awaited, records [][]byte
	correlations                      []int64
	confirm                           []bool
}

func (c *columns) add(n int32, r row) {
	c.ns, c.ids, c.states, c.tickets = append(c.ns, n), append(c.ids, r.id), append(c.states, r.state), append(c.tickets, r.ticket)
	c.revs, c.created, c.due = append(c.revs, r.rev), append(c.created, r.created), append(c.due, r.due)
	c.forget, c.owners, c.phases, c.dead = append(c.forget, r.forget), append(c.owners, r.owner), append(c.phases, r.phase), append(c.dead, r.dead)
	c.policies, c.names = append(c.policies, r.policy), append(c.names, r.name)
	c.awaited, c.records = append(c.awaited, r.awaited), append(c.records, r.record)
	c.correlations, c.confirm = append(c.correlations, r.correlation), append(c.confirm, r.confirm)
}

// args returns the columns in the order in which the statements have them.
func (c *columns) args() []any {
	return []any{c.ns, c.ids, c.revs, c.created, c.due, c.forget, c.phases, c.dead, c.states, c.tickets, c.policies, c.names, c.owners, c.awaited, c.records, c.correlations, c.confirm}
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
