package postgres

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/store"
)

// Secret implements store.Store.
func (s *Store) Secret() *callback.Secret { return s.secrets.Load().First() }

// SecretOf implements store.Store.
func (s *Store) SecretOf(r *callback.Record) *callback.Secret { return s.secrets.Load().Of(r) }

// Errors of secrets.
var (
	errNoSecret    = errors.New("there is no secret; all nodes need the same one")
	errOtherSecret = errors.New("the secret is another one than that of the other nodes; give all of them the same, and those that were used before behind it: secret <new> <old>")
	errOtherKeys   = errors.New("encryption_key has changed, in its first value or in those behind it: restart Caddy, a reload cannot put that into effect")
)

// chooseSecrets returns the secrets that the options and the database give. It refuses those of
// which the store has used none, and notes that the first one is used.
func (s *Store) chooseSecrets(ctx context.Context, o Options) (secrets *callback.Secrets, err error) {
	if secrets = o.Secrets; secrets == nil && !o.StoredSecret {
		return nil, errNoSecret
	}
	err = pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		var marks []int64
		var stored []byte
		if err := tx.QueryRow(ctx, s.sql(`SELECT marks, secret FROM @meta FOR UPDATE`)).Scan(&marks, &stored); err != nil {
			return err
		}
		if o.StoredSecret {
			first, err := s.storedSecret(ctx, tx, stored)
			if err != nil {
				return err
			}
			secrets = callback.NewSecrets(first, o.Earlier...)
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
	return secrets, err
}

// storedSecret returns the secret in the database, and makes it if there is none.
func (s *Store) storedSecret(ctx context.Context, tx pgx.Tx, stored []byte) (secret callback.Secret, err error) {
	if stored == nil {
		secret = callback.NewSecret()
		_, err := tx.Exec(ctx, s.sql(`UPDATE @meta SET secret = $1`), s.keys.seal("secret", nil, secret[:]))
		return secret, err
	}
	b, err := s.keys.open(nil, "secret", nil, stored)
	if err == nil && copy(secret[:], b) != len(secret) {
		err = fmt.Errorf("%w: the stored secret has the wrong length", store.ErrDamaged)
	}
	return secret, err
}

// openSecrets chooses the secrets when the store is opened.
func (s *Store) openSecrets(ctx context.Context) error {
	secrets, err := s.chooseSecrets(ctx, s.options)
	if err == nil {
		s.secrets.Store(secrets)
	}
	return err
}

// CanAdopt returns the error that Adopt would return now, as far as the database is not asked.
func (s *Store) CanAdopt(o Options) error {
	switch {
	case !slices.EqualFunc(o.Keys, s.options.Keys, bytes.Equal):
		return errOtherKeys
	case o.Secrets == nil && !o.StoredSecret:
		return errNoSecret
	}
	return nil
}

// Adopt puts the secrets of another configuration into effect. Those of the one before stay
// understood, because callbacks may have been derived from them a moment ago.
func (s *Store) Adopt(o Options) error {
	if err := s.CanAdopt(o); err != nil {
		return err
	}
	ctx, cancel, err := s.reading(context.Background())
	if err != nil {
		return err
	}
	defer cancel()
	next, err := s.chooseSecrets(ctx, o)
	if err != nil {
		return err
	}
	s.secrets.Store(next.With(*s.Secret()))
	return nil
}
