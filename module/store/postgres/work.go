package postgres

import (
	"context"

	"github.com/jackc/pgx/v5"

	"github.com/caddy-callback/caddy-callback/module/callback"
)

// Due implements store.Store.
func (s *Store) Due(ctx context.Context, until callback.Time, limit int) ([]callback.UUID, error) {
	return s.ids(ctx, `SELECT id FROM @callbacks c WHERE due <= $1
		AND NOT EXISTS (SELECT 1 FROM @nodes n WHERE n.node = c.owner AND n.node <> $3)
		ORDER BY due, id LIMIT $2`, int64(until), int64(limit), int64(s.Node()))
}

// ids returns the ids that a statement selects.
func (s *Store) ids(ctx context.Context, statement string, args ...any) ([]callback.UUID, error) {
	ctx, cancel, err := s.reading(ctx)
	if err != nil {
		return nil, err
	}
	defer cancel()
	rows, err := s.pool.Query(ctx, s.sql(statement), args...)
	if err != nil {
		return nil, s.wrap(ctx, err)
	}
	ids, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (callback.UUID, error) {
		var id [16]byte
		err := row.Scan(&id)
		return id, err
	})
	if err != nil || len(ids) == 0 {
		return nil, s.wrap(ctx, err)
	}
	return ids, nil
}

// Ended implements store.Shared.
func (s *Store) Ended(ctx context.Context, ids []callback.UUID) ([]callback.UUID, error) {
	all := make([][16]byte, len(ids))
	for i, id := range ids {
		all[i] = id
	}
	return s.ids(ctx, `SELECT v.id FROM unnest($1::uuid[]) v (id) LEFT JOIN @callbacks c ON c.id = v.id AND c.phase = $2 WHERE c.id IS NULL`,
		all, int16(callback.Waiting))
}

// AwaitsAck implements store.Shared.
func (s *Store) AwaitsAck(ctx context.Context, awaited []callback.Digest, until callback.Time) (yes bool, err error) {
	ctx, cancel, err := s.reading(ctx)
	if err != nil {
		return false, err
	}
	defer cancel()
	digests := make([][]byte, len(awaited))
	for i, d := range awaited {
		digests[i] = d[:]
	}
	err = s.pool.QueryRow(ctx, s.sql(`SELECT EXISTS (SELECT 1 FROM @callbacks c WHERE c.awaited IS NOT NULL AND c.created <= $2 AND c.phase = $3
		AND EXISTS (SELECT 1 FROM unnest($1::bytea[]) v (digest) WHERE position(v.digest IN c.awaited) > 0))`),
		digests, int64(until), int16(callback.Waiting)).Scan(&yes)
	return yes, s.wrap(ctx, err)
}

// forgetBytes is the size of the bodies that one statement removes, or a little more: it must not
// run into its timeout over and over.
const forgetBytes = 128 << 20

// Forget implements store.Shared.
func (s *Store) Forget(ctx context.Context, until callback.Time, limit int) (forgotten int, err error) {
	for more := true; more && err == nil && forgotten < limit; {
		var n int
		n, more, err = s.forgetSome(ctx, until, limit-forgotten, forgetBytes)
		forgotten += n
	}
	return forgotten, err
}

// forgetSome is Forget for callbacks with so many bytes in bodies, or a little more. more says that
// there are others.
func (s *Store) forgetSome(ctx context.Context, until callback.Time, limit int, most int64) (forgotten int, more bool, err error) {
	ctx, cancel, err := s.reading(ctx)
	if err != nil {
		return 0, false, err
	}
	defer cancel()
	err = s.pool.QueryRow(ctx, s.sql(`WITH past AS (
			SELECT id, due FROM @callbacks WHERE due <= $1 AND forget <= $1 ORDER BY due LIMIT $2 FOR UPDATE SKIP LOCKED),
		sized AS (SELECT p.id, coalesce((SELECT sum(b.size) FROM @bodies b WHERE b.callback = p.id), 0) AS size, p.due FROM past p),
		few AS (SELECT id FROM (SELECT id, sum(size) OVER (ORDER BY due, id) - size AS before FROM sized) o WHERE before < $3),
		gone AS (DELETE FROM @callbacks c USING few WHERE c.id = few.id RETURNING c.id),
		aliases AS (DELETE FROM @aliases a USING gone WHERE a.id = gone.id),
		bodies AS (DELETE FROM @bodies b USING gone WHERE b.callback = gone.id)
		SELECT (SELECT count(*) FROM gone), (SELECT count(*) FROM past) > (SELECT count(*) FROM gone)`), int64(until), int64(limit), most).Scan(&forgotten, &more)
	return forgotten, more && forgotten > 0, s.wrap(ctx, err)
}
