package storetest

import (
	"context"
	"maps"
	"math"
	"slices"
	"time"

	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/store"
)

// Join is Open for a store that knows that it is one of several nodes.
func (m *Memory) Join() store.Shared {
	n := &node{handle: m.Open().(*handle)}
	m.mu.Lock()
	defer m.mu.Unlock()
	n.join()
	return n
}

// GiveUp lets all take a node for dead. Its store gets another number.
func (m *Memory) GiveUp(s store.Shared) {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := s.(*node)
	delete(m.living, n.number)
	n.join()
}

// node is a handle whose writes are committed when they return.
type node struct {
	*handle
	number callback.Node
}

// join gives a node the next number. The memory must be locked.
func (n *node) join() {
	m := n.memory
	m.nodes++
	n.number = m.nodes
	m.living[n.number] = true
}

// Node implements store.Shared.
func (n *node) Node() callback.Node {
	n.memory.mu.Lock()
	defer n.memory.mu.Unlock()
	return n.number
}

// Lives implements store.Shared.
func (n *node) Lives(other callback.Node) bool {
	n.memory.mu.Lock()
	defer n.memory.mu.Unlock()
	return n.memory.living[other]
}

// Nodes implements store.Roster.
func (n *node) Nodes(context.Context) ([]store.NodeInfo, error) {
	m, err := n.enter()
	defer m.mu.Unlock()
	if err != nil {
		return nil, err
	}
	var all []store.NodeInfo
	for _, number := range slices.Sorted(maps.Keys(m.living)) {
		info := store.ThisNode()
		info.Node = number
		all = append(all, info)
	}
	return all, nil
}

// Living implements store.Roster.
func (n *node) Living() int {
	n.memory.mu.Lock()
	defer n.memory.mu.Unlock()
	return len(n.memory.living)
}

// LostHints implements store.Roster.
func (n *node) LostHints() uint64 { return n.lost.Load() }

// Now implements store.Shared.
func (n *node) Now() time.Time { return time.Now() }

// Close implements store.Store.
func (n *node) Close() error {
	n.memory.mu.Lock()
	delete(n.memory.living, n.number)
	n.memory.mu.Unlock()
	return n.handle.Close()
}

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

// Due implements store.Store.
func (n *node) Due(ctx context.Context, until callback.Time, limit int) (ids []callback.UUID, err error) {
	all, err := n.handle.Due(ctx, until, math.MaxInt)
	if err != nil {
		return nil, err
	}
	m := n.memory
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, id := range all {
		if r := m.records[id]; r != nil && (r.Owner == n.number || !m.living[r.Owner]) && len(ids) < limit {
			ids = append(ids, id)
		}
	}
	return ids, nil
}

// Forget implements store.Shared.
func (n *node) Forget(_ context.Context, until callback.Time, limit int) (forgotten int, err error) {
	m, err := n.enter()
	defer m.mu.Unlock()
	if err != nil {
		return 0, err
	}
	for _, r := range m.records {
		if forgotten < limit && r.Forgettable(until) {
			forgotten++
			m.removeBodies(r, nil)
			n.put(r.ID, nil)
		}
	}
	return forgotten, nil
}

// AwaitsAck implements store.Shared.
func (n *node) AwaitsAck(_ context.Context, awaited []callback.Digest, until callback.Time) (bool, error) {
	m, err := n.enter()
	defer m.mu.Unlock()
	if err != nil {
		return false, err
	}
	for _, r := range m.records {
		if r.Phase == callback.Waiting && r.CreatedAt <= until && slices.ContainsFunc(awaited, func(d callback.Digest) bool { return slices.Contains(r.Awaited, d) }) {
			return true, nil
		}
	}
	return false, nil
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

// Interface guards
var (
	_ store.Shared = (*node)(nil)
	_ store.Roster = (*node)(nil)
)
