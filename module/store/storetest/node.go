package storetest

import (
	"context"

	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/store"
)

// Join is Open for a store that knows that it is one of several nodes.
func (m *Memory) Join() store.Shared { return &node{m.Open().(*handle)} }

// node is a handle whose writes are committed when they return.
type node struct{ *handle }

func (n *node) Create(ctx context.Context, r *callback.Record) (store.Commit, error) {
	c, err := n.handle.Create(ctx, r)
	return committed(ctx, c, err)
}

func (n *node) Update(ctx context.Context, key store.Key, decide store.Decide) (*callback.Record, store.Commit, error) {
	r, c, err := n.handle.Update(ctx, key, decide)
	if c, err = committed(ctx, c, err); err != nil {
		return nil, nil, err
	}
	return r, c, nil
}

// committed waits for a commit, whatever becomes of the context.
func committed(ctx context.Context, c store.Commit, err error) (store.Commit, error) {
	if err == nil {
		err = store.Wait(context.WithoutCancel(ctx), c)
	}
	if err != nil {
		return nil, err
	}
	return store.Committed, nil
}

// Ended implements store.Shared.
func (n *node) Ended(_ context.Context, ids []callback.UUID) (ended []callback.UUID, err error) {
	m, err := n.enter()
	defer m.mu.Unlock()
	if err != nil {
		return nil, err
	}
	for _, id := range ids {
		if r := m.records[id]; r == nil || r.Phase != callback.Waiting {
			ended = append(ended, id)
		}
	}
	return ended, nil
}
