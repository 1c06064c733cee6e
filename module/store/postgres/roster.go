package postgres

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/store"
)

// Nodes implements store.Roster.
func (s *Store) Nodes(ctx context.Context) ([]store.NodeInfo, error) {
	ctx, cancel, err := s.reading(ctx)
	if err != nil {
		return nil, err
	}
	defer cancel()
	rows, err := s.control.Query(ctx, s.sql(`SELECT node, release, host, extract(epoch FROM greatest(clock_timestamp() - seen, interval '0'))::float8 FROM @nodes ORDER BY node`))
	if err != nil {
		return nil, s.wrap(ctx, err)
	}
	nodes, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (n store.NodeInfo, err error) {
		var number int64
		var silent float64
		err = row.Scan(&number, &n.Release, &n.Host, &silent)
		n.Node, n.Silent = callback.Node(number), time.Duration(silent*float64(time.Second))
		return n, err
	})
	return nodes, s.wrap(ctx, err)
}

// Living implements store.Roster.
func (s *Store) Living() int {
	s.members.mu.RLock()
	defer s.members.mu.RUnlock()
	return len(s.members.living)
}

// LostHints implements store.Roster. Hints of this node that could not be sent are among them.
func (s *Store) LostHints() uint64 { return s.lost.Load() }

// Interface guard
var _ store.Roster = (*Store)(nil)
