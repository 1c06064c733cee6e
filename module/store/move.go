package store

import (
	"context"

	"go.uber.org/zap"

	"github.com/caddy-callback/caddy-callback/module/callback"
)

// Movable is implemented by stores whose callbacks can be moved to another store.
type Movable interface {
	Store

	// Verify waits until what was stored when the store was opened has been read once, and
	// returns ErrDamaged if something of it is damaged.
	Verify(ctx context.Context) error

	// OwnSecrets returns the secrets that the store keeps itself: the random one, and those
	// that were handed to Keep. They are in no configuration.
	OwnSecrets(ctx context.Context) ([]callback.Secret, error)

	// Keep keeps secrets in the store, from which callbacks were derived before. SecretOf knows
	// them from then on, whenever the store is opened. used are the marks of all secrets from
	// which callbacks that are to be created were derived.
	Keep(ctx context.Context, secrets []callback.Secret, used []callback.Mark) error
}

// Reopener is implemented by Openers that can open a store only if it is there.
type Reopener interface {
	// OpenExisting is Open, but makes no store.
	OpenExisting(log *zap.Logger) (Store, error)
}
