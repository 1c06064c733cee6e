package postgres

import (
	"context"
	"errors"
	"slices"
	"strings"

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
//
// The first one also locks the callbacks that are changed, in the order of their ids, and finds
// those that have changed meanwhile.
const (
	countBatch = `UPDATE @lanes SET seq = $3, stale = '{}', clashing = '{}', waiting = waiting + $4
		WHERE node = $1 AND lane = 0 AND seq = $2 RETURNING waiting, stale`
	countChanges = `WITH outrun AS (SELECT v.n, v.by FROM unnest($5::uuid[], $6::bigint[], $7::integer[], $8::integer[]) v (id, rev, n, by)
			LEFT JOIN LATERAL (SELECT c.rev FROM @callbacks c WHERE c.id = v.id FOR UPDATE) k ON true WHERE k.rev IS DISTINCT FROM v.rev)
		UPDATE @lanes SET seq = $3, stale = ARRAY(SELECT n FROM outrun), clashing = '{}', waiting = waiting + $4 - (SELECT coalesce(sum(by), 0) FROM outrun)
		WHERE node = $1 AND lane = 0 AND seq = $2 RETURNING waiting, stale`
	addAliases = `INSERT INTO @aliases (alias, id)
		SELECT v.alias, v.id FROM @lanes l, unnest($4::bytea[], $5::uuid[], $6::integer[]) v (alias, id, n)
		WHERE l.node = $1 AND l.lane = 0 AND $2::bigint < $3::bigint AND l.seq = $3 AND NOT v.n = ANY(l.stale)
		ORDER BY v.alias ON CONFLICT DO NOTHING`
	findClashing = `WITH clashes AS (SELECT DISTINCT v.n, v.by FROM @lanes l, unnest($4::bytea[], $5::uuid[], $6::integer[], $7::integer[]) v (alias, id, n, by)
			LEFT JOIN @aliases a ON a.alias = v.alias AND a.id = v.id
			WHERE a.id IS NULL AND l.node = $1 AND l.lane = 0 AND NOT v.n = ANY(l.stale))
		UPDATE @lanes SET clashing = ARRAY(SELECT n FROM clashes), waiting = waiting - (SELECT coalesce(sum(by), 0) FROM clashes)
		WHERE node = $1 AND lane = 0 AND $2::bigint < $3::bigint AND seq = $3 RETURNING waiting, clashing`
	createRows = `INSERT INTO @callbacks (id, rev, created, due, forget, phase, dead, state, ticket, policy, name, owner, awaited, record, correlation, confirm)
		SELECT v.id, v.rev, v.created, v.due, v.forget, v.phase, v.dead, v.state, v.ticket, v.policy, v.name, v.owner, v.awaited, v.record, v.correlation, v.confirm FROM @lanes l, #
		WHERE l.node = $1 AND l.lane = 0 AND $2::bigint < $3::bigint AND l.seq = $3 AND NOT v.n = ANY(l.clashing)`
	changeRows = `UPDATE @callbacks c SET rev = v.rev, created = v.created, due = v.due, forget = v.forget, phase = v.phase, dead = v.dead, state = v.state,
		ticket = v.ticket, policy = v.policy, name = v.name, owner = v.owner, awaited = v.awaited, record = v.record, correlation = v.correlation, confirm = v.confirm FROM @lanes l, #
		WHERE c.id = v.id AND l.node = $1 AND l.lane = 0 AND $2::bigint < $3::bigint AND l.seq = $3 AND NOT v.n = ANY(l.stale || l.clashing)`
	deleteRows = `DELETE FROM @callbacks c USING @lanes l, unnest($4::integer[], $5::uuid[]) v (n, id)
		WHERE c.id = v.id AND l.node = $1 AND l.lane = 0 AND $2::bigint < $3::bigint AND l.seq = $3 AND NOT v.n = ANY(l.stale || l.clashing)`
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
)

// What stands in place of # in the statements that write records: one, or the columns of many.
const (
	oneRow = `(SELECT $4::integer, $5::uuid, $6::bigint, $7::bigint, $8::bigint, $9::bigint, $10::smallint, $11::boolean,
		$12::uuid, $13::uuid, $14::bytea, $15::bytea, $16::bigint, $17::bytea, $18::bytea, $19::bigint, $20::boolean) ` + rowColumns
	manyRows = `unnest($4::integer[], $5::uuid[], $6::bigint[], $7::bigint[], $8::bigint[], $9::bigint[], $10::smallint[], $11::boolean[],
		$12::uuid[], $13::uuid[], $14::bytea[], $15::bytea[], $16::bigint[], $17::bytea[], $18::bytea[], $19::bigint[], $20::boolean[]) ` + rowColumns
	rowColumns = `v (n, id, rev, created, due, forget, phase, dead, state, ticket, policy, name, owner, awaited, record, correlation, confirm)`
	// fewRows is up to how many records are written one by one, which then takes less time.
	fewRows = 3
)

var (
	createOne, createMany = strings.Replace(createRows, "#", oneRow, 1), strings.Replace(createRows, "#", manyRows, 1)
	changeOne, changeMany = strings.Replace(changeRows, "#", oneRow, 1), strings.Replace(changeRows, "#", manyRows, 1)
)

// sending is a batch with the statements that it consists of.
type sending struct {
	*batch
	l    *lane
	pipe pgx.Batch
	held bool
}

// send sends a batch as one transaction: without a transaction of its own, the statements
// before one synchronization are one. held says that the lane's row was as expected.
func (b *batch) send(ctx context.Context, l *lane) (held bool, err error) {
	s := &sending{batch: b, l: l}
	b.stale, b.clashing = nil, nil
	s.queueCount()
	added := s.queueAliases()
	s.queueRows(createOne, createMany, func(w *write) bool { return w.old == 0 })
	s.queueRows(changeOne, changeMany, func(w *write) bool { return w.old != 0 && w.after != nil })
	s.queueDeletions()
	s.queueRemoved(added)
	s.queueBodies(takeBodies, func(w *write) [][16]byte { return w.taken })
	s.queueBodies(retireBodies, replaced)
	s.queueBodies(removeBodies, orphaned)
	err = l.conn.SendBatch(ctx, &s.pipe).Close()
	return s.held, err
}

// queue adds a statement.
func (s *sending) queue(statement string, args ...any) *pgx.QueuedQuery {
	return s.pipe.Queue(s.l.s.sql(statement), append([]any{int64(s.l.node), s.l.seq, s.l.seq + 1}, args...)...)
}

// counted reads how many callbacks wait and the numbers of those that are refused. held says
// that there was such a row.
func (s *sending) counted(held *bool, refused *[]int32) func(pgx.Rows) error {
	return func(rows pgx.Rows) error {
		defer rows.Close()
		if *held = rows.Next(); *held {
			if err := rows.Scan(&s.waiting, refused); err != nil {
				return err
			}
		}
		rows.Close()
		return rows.Err()
	}
}

// queueCount counts the transaction, and what waits after it.
func (s *sending) queueCount() {
	var ids [][16]byte
	var revs []int64
	var ns, by []int32
	waiting := int64(0)
	for n, w := range s.writes {
		waiting += int64(w.waiting)
		if w.old != 0 {
			ids, revs, ns, by = append(ids, w.id), append(revs, w.old), append(ns, int32(n)), append(by, int32(w.waiting))
		}
	}
	if len(ids) == 0 {
		s.queue(countBatch, waiting).Query(s.counted(&s.held, &s.stale))
		return
	}
	s.queue(countChanges, waiting, ids, revs, ns, by).Query(s.counted(&s.held, &s.stale))
}

// labels are aliases, and the callbacks and numbers of the writes that they belong to.
type labels struct {
	aliases [][]byte
	ids     [][16]byte
	ns, by  []int32
	added   []bool
}

func (l *labels) add(n int, w *write, aliases []callback.Digest, added bool) {
	for _, alias := range aliases {
		l.aliases, l.ids = append(l.aliases, alias[:]), append(l.ids, w.id)
		l.ns, l.by, l.added = append(l.ns, int32(n)), append(l.by, int32(w.waiting)), append(l.added, added)
	}
}

// queueAliases adds aliases. All of a callback's must lead to it afterwards.
func (s *sending) queueAliases() (added labels) {
	for n, w := range s.writes {
		added.add(n, w, w.added, true)
	}
	if len(added.ids) > 0 {
		s.queue(addAliases, added.aliases, added.ids, added.ns)
		s.queue(findClashing, added.aliases, added.ids, added.ns, added.by).Query(s.counted(new(bool), &s.clashing))
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

// queueRows writes the records of some of the writes.
func (s *sending) queueRows(one, many string, these func(*write) bool) {
	var c columns
	for n, w := range s.writes {
		if these(w) {
			c.add(int32(n), w.row)
		}
	}
	if len(c.ns) > fewRows {
		s.queue(many, c.args()...)
		return
	}
	for _, n := range c.ns {
		s.queue(one, append([]any{n}, s.writes[n].row.args()...)...)
	}
}

func (s *sending) queueDeletions() {
	var ids [][16]byte
	var ns []int32
	for n, w := range s.writes {
		if w.after == nil {
			ids, ns = append(ids, w.id), append(ns, int32(n))
		}
	}
	if len(ids) > 0 {
		s.queue(deleteRows, ns, ids)
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
