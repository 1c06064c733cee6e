package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"go.uber.org/zap"
)

// indexes are those that a store of an earlier release has not. Without them all works but what
// they are for, so that they can be made while nodes serve.
var indexes = []struct{ name, on string }{
	{"callbacks_waiting", "@callbacks (name, created) WHERE " + isWaiting},
	{"callbacks_dead", "@callbacks (name) WHERE dead"},
	{"callbacks_correlation", "@callbacks (correlation, created DESC, id DESC) WHERE " + isGiven},
	{"callbacks_unindexed", "@callbacks (created DESC, id DESC) WHERE " + isUnindexed},
	{"callbacks_confirm", "@callbacks (created DESC, id DESC) WHERE confirm"},
}

// smallTable is up to how many bytes of callbacks an index is made at once, in a moment. While it
// is, nothing is written.
const smallTable = 32 << 20

// indexWithin is how long it may take to make the indexes of a large table.
const indexWithin = time.Hour

// missingIndexes returns the numbers of the indexes that are not there, or cannot be used.
func (s *Store) missingIndexes(ctx context.Context, q querier) (missing []int, err error) {
	for i, x := range indexes {
		var there bool
		err := q.QueryRow(ctx, `SELECT EXISTS (SELECT 1 FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid
			JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = $1 AND c.relname = $2 AND i.indisvalid)`, s.options.Schema, x.name).Scan(&there)
		if err != nil {
			return nil, err
		}
		if !there {
			missing = append(missing, i)
		}
	}
	return missing, nil
}

// hasIndexes reports whether all indexes can be used.
func (s *Store) hasIndexes(ctx context.Context, q querier) (bool, error) {
	if s.indexed.Load() {
		return true, nil
	}
	missing, err := s.missingIndexes(ctx, q)
	if err != nil || len(missing) > 0 {
		return false, err
	}
	s.indexed.Store(true)
	return true, nil
}

// makeSmall makes the indexes that are missing if there is little to put into them.
func (s *Store) makeSmall(ctx context.Context, tx pgx.Tx) error {
	missing, err := s.missingIndexes(ctx, tx)
	if err != nil || len(missing) == 0 {
		return err
	}
	var size int64
	if err := tx.QueryRow(ctx, s.sql(`SELECT pg_relation_size($1::regclass)`), s.sql("@callbacks")).Scan(&size); err != nil || size > s.options.smallTable {
		return err
	}
	for _, i := range missing {
		if _, err := tx.Exec(ctx, s.sql("CREATE INDEX IF NOT EXISTS "+indexes[i].name+" ON "+indexes[i].on)); err != nil {
			return fmt.Errorf("making the tables: %w", err)
		}
	}
	return nil
}

// makeLarge makes the indexes that are missing, without holding up those who write. One node
// does so, and the others see it when it is done.
func (s *Store) makeLarge() {
	ctx, cancel := context.WithTimeout(s.stopping, indexWithin)
	defer cancel()
	if there, err := s.hasIndexes(ctx, s.pool); there || err != nil {
		return
	}
	if !s.options.Migrate {
		s.log.Warn("what waits under which name is not counted, and a search takes long: an index is missing; let migrate be on once, for a role that may make it")
		return
	}
	if err := s.makeConcurrently(ctx); err != nil && s.stopping.Err() == nil {
		s.log.Warn("what waits under which name is not counted, and a search takes long: an index could not be made", zap.Error(err))
	}
}

// makeConcurrently makes indexes one after the other. What a node has left that died over it
// is made anew.
func (s *Store) makeConcurrently(ctx context.Context) error {
	c, err := s.connectListener(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = c.Close(context.Background()) }()
	if _, err := c.Exec(ctx, `SET statement_timeout = 0`); err != nil {
		return err
	}
	var mine bool
	if err := c.QueryRow(ctx, `SELECT pg_try_advisory_lock(hashtext($1))`, "callback indexes "+s.options.Schema).Scan(&mine); err != nil || !mine {
		return err
	}
	missing, err := s.missingIndexes(ctx, c)
	for _, i := range missing {
		x := indexes[i]
		s.log.Info("an index is made; that may take a while, and holds up nobody", zap.String("index", x.name))
		if _, err := c.Exec(ctx, s.sql("DROP INDEX CONCURRENTLY IF EXISTS @"+x.name)); err != nil {
			return err
		}
		if _, err := c.Exec(ctx, s.sql("CREATE INDEX CONCURRENTLY "+x.name+" ON "+x.on)); err != nil {
			return err
		}
	}
	return err
}
