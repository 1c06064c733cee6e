package postgres

import (
	"context"
	"errors"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/caddy-callback/caddy-callback/module/callback"
)

// Secret implements store.Store.
func (s *Store) Secret() *callback.Secret { return s.secrets.Load().First() }

// SecretOf implements store.Store.
func (s *Store) SecretOf(r *callback.Record) *callback.Secret { return s.secrets.Load().Of(r) }

// Errors of secrets.
var (
	errNoSecret    = errors.New("there is no secret; all nodes need the same one")
	errOtherSecret = errors.New("the secret is another one than that of the other nodes; give all of them the same, and those that were used before behind it: secret <new> <old>")
)

// checkSecrets refuses secrets of which the store has used none, and notes that the first one
// is used.
func (s *Store) checkSecrets(ctx context.Context, secrets *callback.Secrets) error {
	if secrets == nil {
		return errNoSecret
	}
	return pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		var marks []int64
		if err := tx.QueryRow(ctx, s.sql(`SELECT marks FROM @meta FOR UPDATE`)).Scan(&marks); err != nil {
			return err
		}
		if len(marks) > 0 && !slices.ContainsFunc(marks, func(m int64) bool { return secrets.Know(callback.Mark(m)) }) {
			return errOtherSecret
		}
		first := int64(secrets.First().Mark())
		if slices.Contains(marks, first) {
			return nil
		}
		_, err := tx.Exec(ctx, s.sql(`UPDATE @meta SET marks = $1`), append(marks, first))
		return err
	})
}
