package postgres

import (
	"bytes"
	"cmp"
	"context"
	"slices"
	"strings"

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
	indexed, err := s.hasIndexes(ctx, s.pool)
	if err != nil {
		return nil, store.Cursor{}, s.wrap(ctx, err)
	}
	// What is read is how everything was at one moment.
	err = pgx.BeginTxFunc(ctx, s.pool, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) error {
		l := lister{s: s, tx: tx, query: q, limit: q.PageSize(), indexed: indexed, own: s.correlatedIDs(q.CorrelationID)}
		if _, err := tx.Exec(ctx, inOrder); err != nil {
			return err
		}
		if err := l.scan(ctx); err != nil {
			return err
		}
		page, err = l.read(ctx)
		next = l.next
		return err
	})
	if err != nil {
		return nil, store.Cursor{}, s.wrap(ctx, err)
	}
	return page, next, nil
}

// inOrder lets a transaction read places in the order of an index, up to the end of a page, also
// where the database does not know yet how many there are: it would sort all of them.
const inOrder = `SELECT set_config('enable_sort', 'off', true), set_config('enable_bitmapscan', 'off', true), set_config('enable_seqscan', 'off', true)`

// lister gathers one page.
type lister struct {
	s     *Store
	tx    pgx.Tx
	query store.Query
	limit int
	// indexed says that all indexes are there.
	indexed bool
	// own are the callbacks that have the correlation id as their own which is asked for, if it
	// is that of one: one for each secret.
	own []callback.UUID
	// ids are those of the callbacks on the page, in order, and found are their places.
	ids   [][16]byte
	found []store.Cursor
	bytes int64
	next  store.Cursor
}

// place is a callback in the list, as far as it is known without its record.
type place struct {
	at   store.Cursor
	size int64
	// matches says that the callback is listed, if its record says that, too. unknown says that
	// only the record tells the correlation id.
	matches, unknown bool
}

// The columns that are read of a place, and the places that can be on a page.
const (
	placeColumns = `id, created, phase, dead, name, correlation, confirm, octet_length(record)`
	selectPlaces = `SELECT ` + placeColumns + ` FROM @callbacks WHERE # AND (created, id) < ($1, $2) AND created >= $3 AND created < $4 ORDER BY created DESC, id DESC LIMIT $5`
	selectOldest = `SELECT ` + placeColumns + ` FROM @callbacks WHERE # AND (created, id) > ($1, $2) AND created >= $3 AND created < $4 ORDER BY created, id LIMIT $5`
	selectThese  = `SELECT ` + placeColumns + ` FROM @callbacks WHERE id = ANY($1::uuid[])`
)

// order compares places as they are listed.
func (l *lister) order(a, b store.Cursor) int {
	order := cmp.Or(cmp.Compare(b.CreatedAt, a.CreatedAt), bytes.Compare(b.ID[:], a.ID[:]))
	if l.query.OldestFirst {
		return -order
	}
	return order
}

// scan finds what is on the page, and where the next one begins. It does not read records:
// they may be large.
func (l *lister) scan(ctx context.Context) error {
	places, until, err := l.places(ctx)
	if err != nil {
		return err
	}
	last := l.query.After
	for _, p := range places {
		if until != nil && l.order(p.at, *until) > 0 {
			break
		}
		if len(l.ids) >= l.limit || l.bytes >= store.MaxPageBytes && !l.query.Indexed() {
			l.next = last
			return nil
		}
		last = p.at
		if p.matches {
			l.ids, l.found = append(l.ids, p.at.ID), append(l.found, p.at)
			l.bytes += p.size
		}
	}
	if until != nil {
		l.next = *until
	}
	return nil
}

// places returns the places that may be on the page, in order, and up to which place they are
// all; nil if there are no more.
func (l *lister) places(ctx context.Context) (places []place, until *store.Cursor, err error) {
	q := l.query
	switch {
	case !q.ID.IsZero():
		places, err = l.these(ctx, q.ID)
		return places, nil, err
	case q.CorrelationID != "" && l.indexed:
		return l.search(ctx)
	case q.CorrelationID != "":
		return l.lookInto(ctx, "true")
	case q.Confirm && l.indexed:
		return l.between(ctx, "confirm")
	}
	return l.between(ctx, "true")
}

// between returns the places with a condition.
func (l *lister) between(ctx context.Context, condition string, more ...any) (places []place, until *store.Cursor, err error) {
	q := l.query
	statement, after := selectPlaces, store.Cursor{CreatedAt: latest}
	if q.OldestFirst {
		statement, after = selectOldest, store.Cursor{CreatedAt: earliest}
	}
	if q.After != (store.Cursor{}) {
		after = q.After
	}
	most := l.scanned()
	args := []any{int64(after.CreatedAt), [16]byte(after.ID), int64(cmp.Or(q.From, earliest)), int64(cmp.Or(q.Before, latest)), int64(most + 1)}
	places, err = l.collect(ctx, strings.Replace(statement, "#", condition, 1), append(args, more...)...)
	if err != nil || len(places) <= most {
		return places, nil, err
	}
	places = places[:most]
	return places, &places[most-1].at, nil
}

// The first and the last moment that there is.
const (
	earliest = callback.Time(-1 << 63)
	latest   = callback.Time(1<<63 - 1)
)

// scanned returns how many places are asked for.
func (l *lister) scanned() int {
	q := l.query
	if q.Phase == 0 && !q.Dead && q.Name == "" && q.Names == nil && !q.Confirm && q.CorrelationID == "" {
		return l.limit
	}
	return maxScanned
}

// these returns the places of callbacks that can be on the page, of all with these ids.
func (l *lister) these(ctx context.Context, ids ...callback.UUID) ([]place, error) {
	all := make([][16]byte, len(ids))
	for i, id := range ids {
		all[i] = id
	}
	places, err := l.collect(ctx, selectThese, all)
	q := l.query
	places = slices.DeleteFunc(places, func(p place) bool {
		return q.After != (store.Cursor{}) && l.order(p.at, q.After) <= 0 || q.From != 0 && p.at.CreatedAt < q.From || q.Before != 0 && p.at.CreatedAt >= q.Before
	})
	slices.SortFunc(places, func(a, b place) int { return l.order(a.at, b.at) })
	return places, err
}

// collect asks for places. Each question is planned for what it asks for.
func (l *lister) collect(ctx context.Context, statement string, args ...any) (places []place, err error) {
	rows, err := l.tx.Query(ctx, l.s.sql(statement), append([]any{pgx.QueryExecModeCacheDescribe}, args...)...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		p, err := l.placeIn(rows)
		if err != nil {
			return nil, err
		}
		places = append(places, p)
	}
	return places, rows.Err()
}

// placeIn reads a row of placeColumns.
func (l *lister) placeIn(rows pgx.Rows) (p place, err error) {
	var id [16]byte
	var created int64
	var phase int16
	var dead, confirm bool
	var name []byte
	var correlation *int64
	if err := rows.Scan(&id, &created, &phase, &dead, &name, &correlation, &confirm, &p.size); err != nil {
		return place{}, err
	}
	p.at = store.Cursor{CreatedAt: callback.Time(created), ID: id}
	q := l.query
	p.matches = (q.Phase == 0 || q.Phase == callback.Phase(phase)) && (!q.Dead || dead) && (!q.Confirm || confirm) && q.HasName(string(name)) &&
		(q.CorrelationID == "" || l.mayHave(p.at.ID, correlation))
	p.unknown = correlation == nil
	return p, nil
}

// read reads the records of the page. It skips a record that cannot be read, so that the others
// are still listed.
func (l *lister) read(ctx context.Context) (page []*callback.Record, err error) {
	if l.query.Indexed() {
		for _, at := range l.found {
			page = append(page, &callback.Record{ID: at.ID, CreatedAt: at.CreatedAt})
		}
		return page, nil
	}
	err = l.records(ctx, l.ids, func(id callback.UUID, b []byte) {
		r, err := l.s.decode(id, b)
		if err != nil {
			l.s.log.Error("a callback is left out of a list: its record cannot be read", zap.Stringer("id", id), zap.Error(err))
			return
		}
		if l.query.Has(r) {
			page = append(page, r)
		}
	})
	slices.SortFunc(page, func(a, b *callback.Record) int {
		return l.order(store.Cursor{CreatedAt: a.CreatedAt, ID: a.ID}, store.Cursor{CreatedAt: b.CreatedAt, ID: b.ID})
	})
	return page, err
}

// records calls yield with each of the records.
func (l *lister) records(ctx context.Context, ids [][16]byte, yield func(id callback.UUID, b []byte)) error {
	if len(ids) == 0 {
		return nil
	}
	rows, err := l.tx.Query(ctx, l.s.sql(`SELECT id, record FROM @callbacks WHERE id = ANY($1)`), ids)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var id [16]byte
		var b []byte
		if err := rows.Scan(&id, &b); err != nil {
			return err
		}
		yield(id, b)
	}
	return rows.Err()
}
