package postgres

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/memory"
	"github.com/caddy-callback/caddy-callback/module/store"
	"github.com/caddy-callback/caddy-callback/module/store/storetest"
)

// mixed is several nodes that pass for one store: each question goes to any of them.
type mixed []*Store

func (m mixed) any() *Store { return m[rand.IntN(len(m))] }

func (m mixed) Secret() *callback.Secret                      { return m.any().Secret() }
func (m mixed) SecretOf(r *callback.Record) *callback.Secret  { return m.any().SecretOf(r) }
func (m mixed) ID() string                                    { return m.any().ID() }
func (m mixed) Changes() <-chan store.Hint                    { return m.any().Changes() }
func (m mixed) Waiting() int                                  { return m.any().Waiting() }
func (m mixed) Tally() []store.Tally                          { return m.any().Tally() }
func (m mixed) Ready() error                                  { return m.any().Ready() }
func (m mixed) DropBody(ctx context.Context, b callback.Body) { m.any().DropBody(ctx, b) }

func (m mixed) PutPolicy(ctx context.Context, p *callback.Policy) error {
	return m.any().PutPolicy(ctx, p)
}

func (m mixed) Policy(ctx context.Context, hash callback.Digest) (*callback.Policy, error) {
	return m.any().Policy(ctx, hash)
}

func (m mixed) Create(ctx context.Context, r *callback.Record) (store.Commit, error) {
	return m.any().Create(ctx, r)
}

func (m mixed) Find(ctx context.Context, key store.Key) (*callback.Record, store.Commit, error) {
	return m.any().Find(ctx, key)
}

func (m mixed) Update(ctx context.Context, key store.Key, decide store.Decide) (*callback.Record, store.Commit, error) {
	return m.any().Update(ctx, key, decide)
}

func (m mixed) PutBody(ctx context.Context, data []byte) (callback.Body, error) {
	return m.any().PutBody(ctx, data)
}

func (m mixed) NewBody(ctx context.Context) (store.BodyWriter, error) { return m.any().NewBody(ctx) }

func (m mixed) OpenBody(ctx context.Context, b callback.Body, space memory.Space) (io.ReadCloser, error) {
	return m.any().OpenBody(ctx, b, space)
}

func (m mixed) Due(ctx context.Context, until callback.Time, limit int) ([]callback.UUID, error) {
	return m.any().Due(ctx, until, limit)
}

func (m mixed) List(ctx context.Context, q store.Query) ([]*callback.Record, store.Cursor, error) {
	return m.any().List(ctx, q)
}

func (m mixed) Close() error {
	var all []error
	for _, s := range m {
		all = append(all, s.Close())
	}
	return errors.Join(all...)
}

// What the nodes store is encrypted.
func TestConformanceOfSeveralNodes(t *testing.T) {
	var schemas sync.Map
	storetest.Run(t, func(t *testing.T, dir string) store.Store {
		o := testOptions(t)
		first, _ := schemas.LoadOrStore(dir, o)
		o.Schema, o.Secrets = first.(Options).Schema, first.(Options).Secrets
		// What the nodes tell each other is to be known soon.
		o.heartbeat, o.giveUp = 50*time.Millisecond, 20*time.Second
		o.Keys = [][]byte{bytes.Repeat([]byte{7}, 32)}
		return mixed{mustOpen(t, o), mustOpen(t, o), mustOpen(t, o)}
	})
}
