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
		var imported [][]byte
		if err := tx.QueryRow(ctx, s.sql(`SELECT marks, secret, imported FROM @meta FOR UPDATE`)).Scan(&marks, &stored, &imported); err != nil {
			return err
		}
		random, err := s.storedSecret(ctx, tx, stored, o.StoredSecret)
		if err != nil {
			return err
		}
		if o.StoredSecret {
			secrets = callback.NewSecrets(*random, o.Earlier...)
		}
		if !isOneOf(secrets, random, marks) {
			return errOtherSecret
		}
		if random != nil {
			secrets = secrets.With(*random)
		}
		if secrets, err = s.withImported(secrets, imported); err != nil {
			return err
		}
		first := int64(secrets.First().Mark())
		if slices.Contains(marks, first) {
			return nil
		}
		_, err = tx.Exec(ctx, s.sql(`UPDATE @meta SET marks = $1`), append(marks, first))
		return err
	})
	return secrets, err
}

// isOneOf reports whether the store has used one of the secrets, or none but the random one,
// which is in no configuration.
func isOneOf(secrets *callback.Secrets, random *callback.Secret, marks []int64) bool {
	used := func(m int64) bool { return secrets.Know(callback.Mark(m)) }
	others := func(m int64) bool { return random == nil || callback.Mark(m) != random.Mark() }
	return slices.ContainsFunc(marks, used) || !slices.ContainsFunc(marks, others)
}

// storedSecret returns the random secret in the database, nil if there is none. It can make it.
func (s *Store) storedSecret(ctx context.Context, tx pgx.Tx, stored []byte, mayMake bool) (*callback.Secret, error) {
	switch {
	case stored != nil:
		secret, err := s.openSecret(stored)
		return &secret, err
	case !mayMake:
		return nil, nil
	}
	secret := callback.NewSecret()
	_, err := tx.Exec(ctx, s.sql(`UPDATE @meta SET secret = $1`), s.keys.seal("secret", nil, secret[:]))
	return &secret, err
}

// openSecret reads a secret that is kept in the database.
func (s *Store) openSecret(stored []byte) (secret callback.Secret, err error) {
	b, err := s.keys.open(nil, "secret", nil, stored)
	if err == nil && len(b) != len(secret) {
		err = fmt.Errorf("%w: a stored secret has the wrong length", store.ErrDamaged)
	}
	if err != nil {
		return secret, err
	}
	return callback.Secret(b), nil
}

// withImported returns secrets with those that are kept for callbacks that were imported.
func (s *Store) withImported(secrets *callback.Secrets, imported [][]byte) (*callback.Secrets, error) {
	for _, b := range imported {
		secret, err := s.openSecret(b)
		if err != nil {
			return nil, err
		}
		secrets = secrets.With(secret)
	}
	return secrets, nil
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
