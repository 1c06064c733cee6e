package postgres

import (
	"cmp"
	"context"
	"math"

	"github.com/jackc/pgx/v5"
	"go.uber.org/zap"

	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/store"
)

// maxScanned is how many callbacks are looked at for one page.
const maxScanned = 2000

// List implements store.Store.
func (s *Store) List(ctx context.Context, q store.Query) (page []*callback.Record, next store.Cursor, err error) {
	ctx, cancel, err := s.reading(ctx)
	if err != nil {
		return nil, store.Cursor{}, err
	}
	defer cancel()
	if err := ctx.Err(); err != nil {
		return nil, store.Cursor{}, err
	}
	// What is read is how everything was at one moment.
	err = pgx.BeginTxFunc(ctx, s.pool, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) error {
		l := lister{s: s, query: q, limit: q.PageSize()}
		if err := l.scan(ctx, tx); err != nil {
			return err
		}
		page, err = l.read(ctx, tx)
		next = l.next
		return err
	})
	if err != nil {
		return nil, store.Cursor{}, s.wrap(ctx, err)
	}
	return page, next, nil
}

// lister gathers one page.
type lister struct {
	s     *Store
	query store.Query
	limit int
	// ids are those of the callbacks on the page, in order.
	ids   [][16]byte
	bytes int64
	next  store.Cursor
}

// scan finds what is on the page, and where the next one begins. It does not read records:
// they may be large.
func (l *lister) scan(ctx context.Context, tx pgx.Tx) error {
	q := l.query
	after := q.After
	if after == (store.Cursor{}) {
		after = store.Cursor{CreatedAt: math.MaxInt64}
	}
	rows, err := tx.Query(ctx, l.s.sql(`SELECT id, created, phase, dead, name, octet_length(record) FROM @callbacks
		WHERE (created, id) < ($1, $2) AND created >= $3 AND created < $4 ORDER BY created DESC, id DESC LIMIT $5`),
		int64(after.CreatedAt), [16]byte(after.ID), int64(cmp.Or(q.From, math.MinInt64)), int64(cmp.Or(q.Before, math.MaxInt64)), int64(l.scanned()))
	if err != nil {
		return err
	}
	defer rows.Close()
	var last store.Cursor
	scanned := 0
	for ; rows.Next(); scanned++ {
		if len(l.ids) >= l.limit || l.bytes >= store.MaxPageBytes || scanned == maxScanned {
			l.next = last
			return nil
		}
		if last, err = l.take(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}

// scanned returns how many callbacks are asked for: one more than are looked at.
func (l *lister) scanned() int {
	q := l.query
	if q.Phase == 0 && !q.Dead && q.Name == "" && q.Names == nil {
		return l.limit + 1
	}
	return maxScanned + 1
}

// take adds a callback to the page if it matches the query.
func (l *lister) take(rows pgx.Rows) (at store.Cursor, err error) {
	var id [16]byte
	var created, size int64
	var phase int16
	var dead bool
	var name []byte
	if err := rows.Scan(&id, &created, &phase, &dead, &name, &size); err != nil {
		return at, err
	}
	q := l.query
	if (q.Phase == 0 || q.Phase == callback.Phase(phase)) && (!q.Dead || dead) && q.HasName(string(name)) {
		l.ids = append(l.ids, id)
		l.bytes += size
	}
	return store.Cursor{CreatedAt: callback.Time(created), ID: id}, nil
}

// read reads the records of the page. It skips a record that cannot be read, so that the others
// are still listed.
func (l *lister) read(ctx context.Context, tx pgx.Tx) (page []*callback.Record, err error) {
	if len(l.ids) == 0 {
		return nil, nil
	}
	rows, err := tx.Query(ctx, l.s.sql(`SELECT id, record FROM @callbacks WHERE id = ANY($1) ORDER BY created DESC, id DESC`), l.ids)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var id [16]byte
		var b []byte
		if err := rows.Scan(&id, &b); err != nil {
			return nil, err
		}
		r, err := l.s.decode(id, b)
		if err != nil {
			l.s.log.Error("a callback is left out of a list: its record cannot be read", zap.Stringer("id", callback.UUID(id)), zap.Error(err))
			continue
		}
		if l.query.Has(r) {
			page = append(page, r)
		}
	}
	return page, rows.Err()
}
