package postgres

import (
	"context"

	"github.com/jackc/pgx/v5"
	"go.uber.org/zap"

	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/store"
)

// OpenExisting implements store.Reopener.
func (c *Config) OpenExisting(log *zap.Logger) (store.Store, error) {
	existing := *c
	existing.options.Existing = true
	return existing.Open(log)
}

// Verify implements store.Movable. The database checks what it reads.
func (s *Store) Verify(context.Context) error { return s.Ready() }

// OwnSecrets implements store.Movable.
func (s *Store) OwnSecrets(ctx context.Context) (secrets []callback.Secret, err error) {
	ctx, cancel, err := s.reading(ctx)
	if err != nil {
		return nil, err
	}
	defer cancel()
	var stored []byte
	var imported [][]byte
	if err := s.pool.QueryRow(ctx, s.sql(`SELECT secret, imported FROM @meta`)).Scan(&stored, &imported); err != nil {
		return nil, s.wrap(ctx, err)
	}
	if stored != nil {
		imported = append(imported, stored)
	}
	for _, b := range imported {
		secret, err := s.openSecret(b)
		if err != nil {
			return nil, err
		}
		secrets = append(secrets, secret)
	}
	return secrets, nil
}

// Keep implements store.Movable. Other nodes know the secrets when they are started again.
func (s *Store) Keep(ctx context.Context, secrets []callback.Secret, _ []callback.Mark) error {
	ctx, cancel, err := s.reading(ctx)
	if err != nil {
		return err
	}
	defer cancel()
	known := s.secrets.Load()
	err = pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		var imported [][]byte
		if err := tx.QueryRow(ctx, s.sql(`SELECT imported FROM @meta FOR UPDATE`)).Scan(&imported); err != nil {
			return err
		}
		if known, err = s.withImported(known, imported); err != nil {
			return err
		}
		for _, secret := range secrets {
			if !known.Know(secret.Mark()) {
				imported = append(imported, s.keys.seal("secret", nil, secret[:]))
				known = known.With(secret)
			}
		}
		_, err := tx.Exec(ctx, s.sql(`UPDATE @meta SET imported = $1`), imported)
		return err
	})
	if err != nil {
		return s.wrap(ctx, err)
	}
	s.secrets.Store(known)
	return nil
}

// Interface guards
var (
	_ store.Reopener = (*Config)(nil)
	_ store.Movable  = (*Store)(nil)
)
