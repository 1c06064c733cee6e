package postgres

import (
	"context"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/caddy-callback/caddy-callback/module/callback"
)

// schemaVersion is the version of the tables that this release makes and uses.
const schemaVersion = 2

// tables has the statements that lead from each version of the tables to the next. They only
// add: the release before goes on writing while nodes are exchanged one by one.
//
// In all statements, @ stands for the schema.
var tables = [schemaVersion][]string{{
	`CREATE TABLE @meta (
		one boolean PRIMARY KEY DEFAULT true CHECK (one),
		version integer NOT NULL,
		least integer NOT NULL,
		id text NOT NULL,
		nodes bigint NOT NULL DEFAULT 0,
		waiting bigint NOT NULL DEFAULT 0,
		secret bytea,
		imported bytea[] NOT NULL DEFAULT '{}',
		marks bigint[] NOT NULL DEFAULT '{}',
		keys bytea[] NOT NULL DEFAULT '{}')`,
	`CREATE TABLE @nodes (
		node bigint PRIMARY KEY,
		seen timestamptz NOT NULL,
		release text NOT NULL,
		host text NOT NULL)`,
	`CREATE TABLE @lanes (
		node bigint NOT NULL REFERENCES @nodes ON DELETE CASCADE,
		lane integer NOT NULL,
		seq bigint NOT NULL DEFAULT 0,
		waiting bigint NOT NULL DEFAULT 0,
		stale integer[] NOT NULL DEFAULT '{}',
		clashing integer[] NOT NULL DEFAULT '{}',
		PRIMARY KEY (node, lane)) WITH (fillfactor = 20)`,
	`CREATE TABLE @policies (
		hash bytea PRIMARY KEY,
		policy bytea NOT NULL)`,
	`CREATE TABLE @uses (
		node bigint NOT NULL REFERENCES @nodes ON DELETE CASCADE,
		hash bytea NOT NULL REFERENCES @policies,
		PRIMARY KEY (hash, node))`,
	`CREATE INDEX ON @uses (node)`,
	`CREATE TABLE @callbacks (
		id uuid PRIMARY KEY,
		rev bigint NOT NULL,
		created bigint NOT NULL,
		due bigint NOT NULL,
		forget bigint,
		phase smallint NOT NULL,
		dead boolean NOT NULL,
		state uuid NOT NULL,
		ticket uuid NOT NULL,
		policy bytea NOT NULL,
		name bytea NOT NULL,
		owner bigint,
		awaited bytea,
		record bytea NOT NULL) WITH (fillfactor = 80,
		autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_cost_delay = 0)`,
	`CREATE UNIQUE INDEX ON @callbacks (state)`,
	`CREATE UNIQUE INDEX ON @callbacks (ticket)`,
	`CREATE INDEX ON @callbacks (due)`,
	`CREATE INDEX ON @callbacks (created DESC, id DESC)`,
	`CREATE INDEX ON @callbacks (created) WHERE awaited IS NOT NULL`,
	`CREATE TABLE @aliases (
		alias bytea PRIMARY KEY,
		id uuid NOT NULL)`,
	`CREATE INDEX ON @aliases (id)`,
	`CREATE TABLE @bodies (
		file uuid PRIMARY KEY,
		made timestamptz NOT NULL DEFAULT clock_timestamp(),
		size bigint,
		sum bytea,
		callback uuid)`,
	`CREATE INDEX ON @bodies (callback)`,
	`CREATE TABLE @pieces (
		file uuid NOT NULL REFERENCES @bodies ON DELETE CASCADE,
		piece integer NOT NULL,
		sum bytea NOT NULL,
		content bytea NOT NULL,
		PRIMARY KEY (file, piece))`,
	`ALTER TABLE @pieces ALTER COLUMN content SET STORAGE EXTERNAL`,
}, {
	`ALTER TABLE @callbacks ADD COLUMN correlation bigint, ADD COLUMN confirm boolean NOT NULL DEFAULT false`,
}}

// sql returns a statement with the schema in place of @.
func (s *Store) sql(statement string) string {
	if text, ok := s.statements.Load(statement); ok {
		return text.(string)
	}
	text := strings.ReplaceAll(statement, "@", pgx.Identifier{s.options.Schema}.Sanitize()+".")
	s.statements.Store(statement, text)
	return text
}

// migrate makes the tables, or brings them to the version that this release uses.
func (s *Store) migrate(ctx context.Context) error {
	version, err := s.version(ctx, s.pool)
	switch {
	case err != nil:
		return err
	case version == 0 && s.options.Existing:
		return fmt.Errorf("there is no store in the schema %s", s.options.Schema)
	case version >= schemaVersion:
		return s.migrateIndexes(ctx)
	}
	switch {
	case s.options.Migrate:
	case version == 0:
		return fmt.Errorf("there are no tables in the schema %s; let migrate be on once, for a role that may create them", s.options.Schema)
	default:
		return fmt.Errorf("the tables in the schema %s have version %d, and this release needs %d; let migrate be on once, for a role that may change them", s.options.Schema, version, schemaVersion)
	}
	return pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		// One node after the other.
		if _, err := tx.Exec(ctx, `SELECT pg_advisory_xact_lock(hashtext($1))`, "callback "+s.options.Schema); err != nil {
			return err
		}
		version, err := s.version(ctx, tx)
		if err != nil {
			return err
		}
		if version == 0 {
			if err := s.createSchema(ctx, tx); err != nil {
				return err
			}
		}
		for ; version < schemaVersion; version++ {
			if err := s.step(ctx, tx, version); err != nil {
				return err
			}
		}
		return s.makeSmall(ctx, tx)
	})
}

// migrateIndexes makes the indexes of tables that an earlier release made, if that is quickly
// done.
func (s *Store) migrateIndexes(ctx context.Context) error {
	if there, err := s.hasIndexes(ctx, s.pool); there || err != nil || !s.options.Migrate {
		return err
	}
	return pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `SELECT pg_advisory_xact_lock(hashtext($1))`, "callback "+s.options.Schema); err != nil {
			return err
		}
		return s.makeSmall(ctx, tx)
	})
}

// createSchema makes the schema if it is not there. A role that may not make schemas may have
// been given one.
func (s *Store) createSchema(ctx context.Context, tx pgx.Tx) error {
	var there bool
	if err := tx.QueryRow(ctx, `SELECT to_regnamespace($1) IS NOT NULL`, s.options.Schema).Scan(&there); err != nil || there {
		return err
	}
	if _, err := tx.Exec(ctx, `CREATE SCHEMA `+pgx.Identifier{s.options.Schema}.Sanitize()); err != nil {
		return fmt.Errorf("the schema %s cannot be made; let an administrator do it, with CREATE SCHEMA %[1]s AUTHORIZATION and the name of this role: %w", s.options.Schema, err)
	}
	return nil
}

// step brings the tables from a version to the next.
func (s *Store) step(ctx context.Context, tx pgx.Tx, version int) error {
	for _, statement := range tables[version] {
		if _, err := tx.Exec(ctx, s.sql(statement)); err != nil {
			return fmt.Errorf("making the tables: %w", err)
		}
	}
	if version == 0 {
		_, err := tx.Exec(ctx, s.sql(`INSERT INTO @meta (version, least, id) VALUES ($1, $2, $3)`), version+1, 1, callback.NewUUID().String())
		return err
	}
	_, err := tx.Exec(ctx, s.sql(`UPDATE @meta SET version = $1`), version+1)
	return err
}

// querier is what rows can be asked of.
type querier interface {
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

// version returns the version of the tables, 0 if there are none. It refuses tables that this
// release must not write to.
func (s *Store) version(ctx context.Context, q querier) (version int, err error) {
	there := false
	if err := q.QueryRow(ctx, `SELECT EXISTS (SELECT 1 FROM pg_catalog.pg_tables WHERE schemaname = $1 AND tablename = 'meta')`, s.options.Schema).Scan(&there); err != nil || !there {
		return 0, err
	}
	var least int
	if err := q.QueryRow(ctx, s.sql(`SELECT version, least FROM @meta`)).Scan(&version, &least); isCode(err, codeNoPrivilege) {
		return 0, fmt.Errorf("the role may not read the schema %s: GRANT USAGE ON SCHEMA %[1]s, and SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA %[1]s, to it", s.options.Schema)
	} else if err != nil {
		return 0, err
	}
	if least > schemaVersion {
		return 0, fmt.Errorf("the tables in the schema %s were made by a later release, which this one must not share them with; install that release here, too", s.options.Schema)
	}
	return max(version, 1), nil
}
