package badger

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	badgerdb "github.com/dgraph-io/badger/v4"
	"go.uber.org/zap"

	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/store"
)

// OpenExisting implements store.Reopener.
func (c *Config) OpenExisting(log *zap.Logger) (store.Store, error) {
	dir, err := filepath.Abs(c.Dir)
	if err != nil {
		return nil, err
	}
	if _, err := os.Stat(filepath.Join(dir, databaseDir)); errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("there is no store in %s", dir)
	}
	return c.Open(log)
}

// Verify implements store.Movable.
func (s *Store) Verify(ctx context.Context) error {
	select {
	case <-s.verified:
		return s.usable()
	case <-ctx.Done():
		return ctx.Err()
	}
}

// OwnSecrets implements store.Movable.
func (s *Store) OwnSecrets(context.Context) ([]callback.Secret, error) {
	stored, _, err := s.readSecrets(secretFile)
	if err != nil {
		return nil, err
	}
	imported, _, err := s.readSecrets(importedFile)
	return append(stored, imported...), err
}

// Keep implements store.Movable.
func (s *Store) Keep(_ context.Context, secrets []callback.Secret, used []callback.Mark) error {
	s.secretLock.Lock()
	defer s.secretLock.Unlock()
	if err := s.keepImported(secrets); err != nil {
		return err
	}
	return s.write(func() error {
		return s.db.Update(func(txn *badgerdb.Txn) error {
			for _, mark := range used {
				if err := noteSecret(txn, mark, false); err != nil {
					return err
				}
			}
			return nil
		})
	})
}

// keepImported adds to the secrets of other stores. The secrets' lock must be held.
func (s *Store) keepImported(secrets []callback.Secret) error {
	if len(secrets) == 0 {
		return nil
	}
	kept, _, err := s.readSecrets(importedFile)
	if err != nil {
		return err
	}
	known := s.secrets.Load()
	for _, secret := range secrets {
		if !slices.Contains(kept, secret) {
			kept = append(kept, secret)
		}
		known = known.With(secret)
	}
	if err := s.writeSecrets(importedFile, kept); err != nil {
		return explain(err)
	}
	s.secrets.Store(known)
	return nil
}

// Interface guards
var (
	_ store.Reopener = (*Config)(nil)
	_ store.Movable  = (*Store)(nil)
)
