package archive

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/store"
)

// checker looks whether an archive can be imported into a store, and changes nothing.
type checker struct {
	ctx context.Context
	s   store.Movable
	// empty says that there is no callback in the store.
	empty bool
	// own are the secrets in the archive, nil for none, and needed those of them that the
	// store does not know and must keep.
	own    *callback.Secrets
	needed map[callback.Secret]bool
	// used are the marks of all secrets from which the callbacks were derived, and missing is
	// how many of them were derived from one that the store they come from knows, and neither
	// this one nor the archive.
	used    map[callback.Mark]bool
	missing int
}

// check reads an archive to its end.
func check(ctx context.Context, s store.Movable, from readSeeker) (*checker, error) {
	c := &checker{ctx: ctx, s: s, needed: make(map[callback.Secret]bool), used: make(map[callback.Mark]bool)}
	some, next, err := s.List(ctx, store.Query{Limit: 1})
	if err != nil {
		return nil, err
	}
	c.empty = len(some) == 0 && next == (store.Cursor{})
	if err := walk(from, c); err != nil {
		return nil, err
	}
	if c.missing > 0 {
		return nil, fmt.Errorf("%d callbacks were derived from a secret that the store does not know; configure the one that the store had from which they were exported, behind the store's own: secret <new> <old>", c.missing)
	}
	return c, nil
}

func (c *checker) head(h head) error {
	if len(h.Secrets) == 0 {
		return nil
	}
	c.own = callback.NewSecrets(callback.Secret(h.Secrets[0]))
	for _, secret := range h.Secrets[1:] {
		c.own = c.own.With(callback.Secret(secret))
	}
	return nil
}

func (c *checker) callback(r *callback.Record, known bool) error {
	if err := c.ctx.Err(); err != nil {
		return err
	}
	c.used[r.DerivedFrom] = true
	if known && c.s.SecretOf(r) == nil {
		c.needsSecret(r)
	}
	if c.empty {
		return nil
	}
	there, err := isThere(c.ctx, c.s, r)
	if there || err != nil {
		return err
	}
	for _, alias := range r.Aliases {
		switch _, _, err := c.s.Find(c.ctx, store.ByAlias(alias)); {
		case err == nil:
			return fmt.Errorf("callback %s has the Idempotency-Key or the correlation id of another one in the store; import into an empty store", r.ID)
		case !errors.Is(err, store.ErrNotFound):
			return err
		}
	}
	return nil
}

// needsSecret notes which secret a callback needs that the store does not know.
func (c *checker) needsSecret(r *callback.Record) {
	if c.own != nil {
		if secret := c.own.Of(r); secret != nil {
			c.needed[*secret] = true
			return
		}
	}
	c.missing++
}

// kept lists the secrets in the archive that the store must keep.
func (c *checker) kept() []callback.Secret { return slices.Collect(maps.Keys(c.needed)) }

// marks lists the marks of the secrets from which the callbacks were derived.
func (c *checker) marks() []callback.Mark { return slices.Collect(maps.Keys(c.used)) }

func (*checker) policy(*callback.Policy) error      { return nil }
func (*checker) piece(*callback.Body, []byte) error { return nil }
func (*checker) body(*callback.Body) error          { return nil }
func (*checker) complete(*callback.Record) error    { return nil }

// isThere reports whether a callback is in the store already, as it was exported. It is an
// error if it is there in another state.
func isThere(ctx context.Context, s store.Store, r *callback.Record) (bool, error) {
	found, _, err := s.Find(ctx, store.ByID(r.ID))
	if errors.Is(err, store.ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	same, err := alike(found, r)
	if err == nil && !same {
		err = fmt.Errorf("callback %s is in the store already, and has changed since it was exported; import into an empty store", r.ID)
	}
	return same, err
}

// alike reports whether two records say the same, whatever the files of their bodies are
// called and which nodes they name.
func alike(a, b *callback.Record) (bool, error) {
	first, err := plain(a)
	if err != nil {
		return false, err
	}
	second, err := plain(b)
	return string(first) == string(second), err
}

// plain returns a record as alike compares it.
func plain(r *callback.Record) ([]byte, error) {
	b, err := store.EncodeRecord(r)
	if err != nil {
		return nil, err
	}
	if r, err = store.DecodeRecord(b); err != nil {
		return nil, err
	}
	leaveNodes(r)
	for _, body := range r.Bodies() {
		if body.File != "" {
			body.File = "moved"
		}
	}
	return store.EncodeRecord(r)
}
