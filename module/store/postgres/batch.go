package postgres

import (
	"context"
	"errors"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/store"
)

// batch is writes that are committed in one transaction, and what became of it.
type batch struct {
	writes []*write
	// stale are the numbers of the writes that somebody was faster than, and clashing those of
	// the ones of which an alias leads to another callback.
	stale, clashing []int32
	// waiting is the lane's count after it.
	waiting int64
	// fenced says that nothing was committed, because the node was given up.
	fenced bool
}

func newBatch(writes []*write) *batch {
	slices.SortFunc(writes, func(a, b *write) int { return slices.Compare(a.id[:], b.id[:]) })
	return &batch{writes: writes}
}

// outcome returns what became of a write.
func (b *batch) outcome(n int) error {
	creation := b.writes[n].old == 0
	switch {
	case b.fenced && creation:
		return errors.Join(store.ErrFailed, errFenced)
	case b.fenced, slices.Contains(b.stale, int32(n)):
		return errOutrun
	case slices.Contains(b.clashing, int32(n)):
		return store.ErrExists
	}
	return nil
}

// The statements of a transaction. The first one counts it in the lane's row, and all others
// do nothing unless it did. $1, $2 and $3 are the node, the lane's number before, and after.
const (
	countBatch = `UPDATE @lanes SET seq = $3, stale = '{}', clashing = '{}', waiting = waiting + $4
		WHERE node = $1 AND lane = 0 AND seq = $2 RETURNING waiting`
	findStale = `WITH locked AS (SELECT c.id, c.rev FROM @callbacks c WHERE c.id = ANY($4::uuid[]) ORDER BY c.id FOR UPDATE)
		UPDATE @lanes SET stale = ARRAY(
			SELECT v.n FROM unnest($4::uuid[], $5::bigint[], $6::integer[]) v (id, rev, n)
			LEFT JOIN locked k ON k.id = v.id AND k.rev = v.rev WHERE k.id IS NULL)
		WHERE node = $1 AND lane = 0 AND $2::bigint < $3::bigint AND seq = $3 RETURNING stale`
	addAliases = `INSERT INTO @aliases (alias, id)
		SELECT v.alias, v.id FROM @lanes l, unnest($4::bytea[], $5::uuid[], $6::integer[]) v (alias, id, n)
		WHERE l.node = $1 AND l.lane = 0 AND $2::bigint < $3::bigint AND l.seq = $3 AND NOT v.n = ANY(l.stale)
		ORDER BY v.alias ON CONFLICT DO NOTHING`
	findClashing = `UPDATE @lanes l SET clashing = ARRAY(
			SELECT DISTINCT v.n FROM unnest($4::bytea[], $5::uuid[], $6::integer[]) v (alias, id, n)
			LEFT JOIN @aliases a ON a.alias = v.alias AND a.id = v.id WHERE a.id IS NULL AND NOT v.n = ANY(l.stale))
		WHERE node = $1 AND lane = 0 AND $2::bigint < $3::bigint AND seq = $3 RETURNING clashing`
	createRow = `INSERT INTO @callbacks (id, rev, created, due, forget, phase, dead, state, ticket, policy, name, owner, awaited, record)
		SELECT $5::uuid, $6::bigint, $7::bigint, $8::bigint, $9::bigint, $10::smallint, $11::boolean, $12::uuid, $13::uuid, $14::bytea, $15::bytea, $16::bigint, $17::bytea, $18::bytea
		FROM @lanes l WHERE l.node = $1 AND l.lane = 0 AND $2::bigint < $3::bigint AND l.seq = $3 AND NOT $4::integer = ANY(l.clashing)`
	changeRow = `UPDATE @callbacks c SET rev = $6, created = $7, due = $8, forget = $9, phase = $10, dead = $11, state = $12, ticket = $13,
		policy = $14, name = $15, owner = $16, awaited = $17, record = $18
		FROM @lanes l WHERE c.id = $5::uuid
		AND l.node = $1 AND l.lane = 0 AND $2::bigint < $3::bigint AND l.seq = $3 AND NOT $4::integer = ANY(l.stale || l.clashing)`
	deleteRow = `DELETE FROM @callbacks c USING @lanes l WHERE c.id = $5::uuid
		AND l.node = $1 AND l.lane = 0 AND $2::bigint < $3::bigint AND l.seq = $3 AND NOT $4::integer = ANY(l.stale || l.clashing)`
	removeAliases = `DELETE FROM @aliases a USING @lanes l, unnest($4::bytea[], $5::uuid[], $6::integer[], $7::boolean[]) v (alias, id, n, added)
		WHERE a.alias = v.alias AND a.id = v.id AND l.node = $1 AND l.lane = 0 AND $2::bigint < $3::bigint AND l.seq = $3
		AND NOT v.n = ANY(l.stale) AND v.added = (v.n = ANY(l.clashing))`
	takeBodies = `UPDATE @bodies b SET callback = v.id FROM @lanes l, unnest($4::uuid[], $5::uuid[], $6::integer[]) v (file, id, n)
		WHERE b.file = v.file AND l.node = $1 AND l.lane = 0 AND $2::bigint < $3::bigint AND l.seq = $3 AND NOT v.n = ANY(l.stale || l.clashing)`
	// Whoever reads a body that was replaced reads on to its end; nobody opens it any more.
	retireBodies = `UPDATE @bodies b SET sum = NULL, made = clock_timestamp() FROM @lanes l, unnest($4::uuid[], $5::uuid[], $6::integer[]) v (file, id, n)
		WHERE b.file = v.file AND b.callback = v.id AND l.node = $1 AND l.lane = 0 AND $2::bigint < $3::bigint AND l.seq = $3 AND NOT v.n = ANY(l.stale || l.clashing)`
	removeBodies = `DELETE FROM @bodies b USING @lanes l, unnest($4::uuid[], $5::uuid[], $6::integer[]) v (file, id, n)
		WHERE b.file = v.file AND b.callback = v.id AND l.node = $1 AND l.lane = 0 AND $2::bigint < $3::bigint AND l.seq = $3 AND NOT v.n = ANY(l.stale || l.clashing)`
	countWaiting = `UPDATE @lanes l SET waiting = waiting + (
			SELECT coalesce(sum(v.d), 0) FROM unnest($4::integer[], $5::integer[]) v (n, d) WHERE NOT v.n = ANY(l.stale || l.clashing))
		WHERE node = $1 AND lane = 0 AND $2::bigint < $3::bigint AND seq = $3 RETURNING waiting`
)

// sending is a batch with the statements that it consists of.
type sending struct {
	*batch
	l    *lane
	pipe pgx.Batch
}

// send sends a batch as one transaction: without a transaction of its own, the statements
// before one synchronization are one. held says that the lane's row was as expected.
func (b *batch) send(ctx context.Context, l *lane) (held bool, err error) {
	s := &sending{batch: b, l: l}
	b.stale, b.clashing = nil, nil
	sure := 0
	if b.certain() {
		for _, w := range b.writes {
			sure += w.waiting
		}
	}
	s.queue(countBatch, int64(sure)).Query(func(rows pgx.Rows) error {
		held = rows.Next()
		if held {
			if err := rows.Scan(&b.waiting); err != nil {
				return err
			}
		}
		rows.Close()
		return rows.Err()
	})
	s.queueStale()
	added := s.queueAliases()
	for n, w := range b.writes {
		s.queueRow(int32(n), w)
	}
	s.queueRemoved(added)
	s.queueBodies(takeBodies, func(w *write) [][16]byte { return w.taken })
	s.queueBodies(retireBodies, replaced)
	s.queueBodies(removeBodies, orphaned)
	s.queueWaiting()
	return held, l.conn.SendBatch(ctx, &s.pipe).Close()
}

// certain reports whether no write can be refused.
func (b *batch) certain() bool {
	return !slices.ContainsFunc(b.writes, func(w *write) bool { return w.old != 0 || len(w.added) > 0 })
}

// queue adds a statement.
func (s *sending) queue(statement string, args ...any) *pgx.QueuedQuery {
	return s.pipe.Queue(s.l.s.sql(statement), append([]any{int64(s.l.node), s.l.seq, s.l.seq + 1}, args...)...)
}

// numbers reads one row with one list of numbers, if there is a row.
func numbers(to *[]int32) func(pgx.Rows) error {
	return func(rows pgx.Rows) error {
		defer rows.Close()
		if rows.Next() {
			if err := rows.Scan(to); err != nil {
				return err
			}
		}
		rows.Close()
		return rows.Err()
	}
}

// queueStale locks the callbacks that are changed, and finds those that have changed meanwhile.
func (s *sending) queueStale() {
	var ids [][16]byte
	var revs []int64
	var ns []int32
	for n, w := range s.writes {
		if w.old != 0 {
			ids, revs, ns = append(ids, w.id), append(revs, w.old), append(ns, int32(n))
		}
	}
	if len(ids) > 0 {
		s.queue(findStale, ids, revs, ns).Query(numbers(&s.stale))
	}
}

// labels are aliases, and the callbacks and numbers of the writes that they belong to.
type labels struct {
	aliases [][]byte
	ids     [][16]byte
	ns      []int32
	added   []bool
}

func (l *labels) add(n int, w *write, aliases []callback.Digest, added bool) {
	for _, alias := range aliases {
		l.aliases, l.ids = append(l.aliases, alias[:]), append(l.ids, w.id)
		l.ns, l.added = append(l.ns, int32(n)), append(l.added, added)
	}
}

// queueAliases adds aliases. All of a callback's must lead to it afterwards.
func (s *sending) queueAliases() (added labels) {
	for n, w := range s.writes {
		added.add(n, w, w.added, true)
	}
	if len(added.ids) > 0 {
		s.queue(addAliases, added.aliases, added.ids, added.ns)
		s.queue(findClashing, added.aliases, added.ids, added.ns).Query(numbers(&s.clashing))
	}
	return added
}

// queueRemoved removes aliases, and those that were added for what is refused.
func (s *sending) queueRemoved(all labels) {
	for n, w := range s.writes {
		all.add(n, w, w.removed, false)
	}
	if len(all.ids) > 0 {
		s.queue(removeAliases, all.aliases, all.ids, all.ns, all.added)
	}
}

// queueRow writes one record.
func (s *sending) queueRow(n int32, w *write) {
	switch {
	case w.old == 0:
		s.queue(createRow, append([]any{n}, w.row...)...)
	case w.after == nil:
		s.queue(deleteRow, n, [16]byte(w.id))
	default:
		s.queue(changeRow, append([]any{n}, w.row...)...)
	}
}

// replaced returns the bodies that a record has no more, and orphaned those of a record that
// goes.
func replaced(w *write) [][16]byte {
	if w.after == nil {
		return nil
	}
	return w.released
}

func orphaned(w *write) [][16]byte {
	if w.after != nil {
		return nil
	}
	return w.released
}

// queueBodies takes, retires or removes bodies.
func (s *sending) queueBodies(statement string, of func(*write) [][16]byte) {
	var files, ids [][16]byte
	var ns []int32
	for n, w := range s.writes {
		for _, file := range of(w) {
			files, ids, ns = append(files, file), append(ids, w.id), append(ns, int32(n))
		}
	}
	if len(files) > 0 {
		s.queue(statement, files, ids, ns)
	}
}

// queueWaiting counts what waits after what was not refused.
func (s *sending) queueWaiting() {
	if s.certain() {
		return
	}
	var ns, by []int32
	for n, w := range s.writes {
		if w.waiting != 0 {
			ns, by = append(ns, int32(n)), append(by, int32(w.waiting))
		}
	}
	if len(ns) > 0 {
		s.queue(countWaiting, ns, by).QueryRow(func(row pgx.Row) error {
			if err := row.Scan(&s.waiting); !errors.Is(err, pgx.ErrNoRows) {
				return err
			}
			return nil
		})
	}
}
