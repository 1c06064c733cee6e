package postgres

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
	"go.uber.org/zap"
)

// leastServer is the oldest version of PostgreSQL that is supported.
const leastServer = 14

// searchPath is where PostgreSQL looks for functions and operators: nowhere else, for somebody else
// may have made some that fit better.
const searchPath = "pg_catalog"

// errReplica: the server takes no writes.
var errReplica = errors.New("the server is a replica, or takes no writes; name the primary, or all of them with target_session_attrs=read-write")

// checkServer refuses a server that would lose what it has committed, or that cannot be
// written to.
func (s *Store) checkServer(ctx context.Context) error {
	var version int
	var fsync, pages, commit, readOnly, path string
	if err := s.pool.QueryRow(ctx, `SELECT current_setting('server_version_num')::integer / 10000, current_setting('fsync'),
		current_setting('full_page_writes'), current_setting('synchronous_commit'), current_setting('transaction_read_only'), current_setting('search_path')`).
		Scan(&version, &fsync, &pages, &commit, &readOnly, &path); err != nil {
		return err
	}
	switch {
	case version < leastServer:
		return fmt.Errorf("the server is PostgreSQL %d, and at least %d is needed", version, leastServer)
	case readOnly == "on":
		return errReplica
	case fsync != "on":
		return errors.New("the server has fsync off, and would lose what it has committed in a power failure: turn that on")
	case pages != "on":
		return errors.New("the server has full_page_writes off, and could be damaged by a power failure: turn that on")
	case commit == "off" || commit == "local":
		return fmt.Errorf("synchronous_commit is %s, so that what is committed could be lost: set it to on, if only for this role", commit)
	}
	if path != searchPath {
		s.log.Warn("the role's search_path lets functions be executed that others have made: ALTER ROLE ... SET search_path = pg_catalog", zap.String("search_path", path))
	}
	return nil
}

// checkGrants refuses a role that may not do what a node does.
func (s *Store) checkGrants(ctx context.Context) error {
	rows, err := s.pool.Query(ctx, `SELECT p.name || ' on ' || t.relname FROM pg_catalog.pg_class t
		JOIN pg_catalog.pg_namespace n ON n.oid = t.relnamespace, unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE']) p (name)
		WHERE n.nspname = $1 AND t.relkind IN ('r', 'p') AND NOT has_table_privilege(t.oid, p.name) ORDER BY 1`, s.options.Schema)
	if err != nil {
		return err
	}
	missing, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil || len(missing) == 0 {
		return err
	}
	return fmt.Errorf("the role lacks grants in the schema %s: %s", s.options.Schema, strings.Join(missing, ", "))
}
