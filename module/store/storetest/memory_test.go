package storetest_test

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"slices"
	"sync"
	"testing"

	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/store"
	"github.com/caddy-callback/caddy-callback/module/store/storetest"
)

// The suite is tried on a store that is as simple as a store can be.
func TestAStoreInMemoryPasses(t *testing.T) {
	var disks sync.Map
	storetest.Run(t, func(_ *testing.T, dir string) store.Store {
		d, _ := disks.LoadOrStore(dir, &disk{
			secret:   callback.NewSecret(),
			records:  make(map[callback.UUID][]byte),
			policies: make(map[callback.Digest][]byte),
			bodies:   make(map[string][]byte),
		})
		return openMemory(d.(*disk))
	})
}

// disk is what outlives a store.
type disk struct {
	secret   callback.Secret
	records  map[callback.UUID][]byte
	policies map[callback.Digest][]byte
	bodies   map[string][]byte
}

// memory keeps the newest records and writes them to its disk a little later.
type memory struct {
	mu      sync.Mutex
	disk    *disk
	newest  map[callback.UUID]*callback.Record
	written *write
	kick    chan struct{}
	closed  bool
	done    sync.WaitGroup
}

// write is all that is written together.
type write struct {
	done    chan struct{}
	records map[callback.UUID]*callback.Record
}

func (w *write) Done() <-chan struct{} { return w.done }
func (w *write) Err() error            { return nil }
func (w *write) Hurry()                {}

func newWrite() *write {
	return &write{done: make(chan struct{}), records: make(map[callback.UUID]*callback.Record)}
}

func openMemory(d *disk) *memory {
	m := &memory{disk: d, newest: make(map[callback.UUID]*callback.Record), written: newWrite(), kick: make(chan struct{}, 1)}
	for id, b := range d.records {
		r, err := store.DecodeRecord(b)
		if err != nil {
			panic(err)
		}
		m.newest[id] = r
	}
	m.done.Go(func() {
		for range m.kick {
			m.flush()
		}
	})
	return m
}

func (m *memory) flush() {
	m.mu.Lock()
	defer m.mu.Unlock()
	for id, r := range m.written.records {
		if r == nil {
			delete(m.disk.records, id)
			continue
		}
		b, err := store.EncodeRecord(r)
		if err != nil {
			panic(err)
		}
		m.disk.records[id] = b
	}
	close(m.written.done)
	m.written = newWrite()
}

// put notes a record, nil for none, for the next flush.
func (m *memory) put(id callback.UUID, r *callback.Record) store.Commit {
	m.newest[id] = r
	if r == nil {
		delete(m.newest, id)
	}
	m.written.records[id] = r
	select {
	case m.kick <- struct{}{}:
	default:
	}
	return m.written
}

func (m *memory) commit(id callback.UUID) store.Commit {
	if _, yes := m.written.records[id]; yes {
		return m.written
	}
	return store.Committed
}

func (m *memory) lock() error {
	m.mu.Lock()
	if m.closed {
		return store.ErrClosed
	}
	return nil
}

func (m *memory) find(key store.Key) (*callback.Record, error) {
	for id, r := range m.newest {
		switch {
		case key.Kind == store.KeyID && id == key.ID, key.Kind == store.KeyState && r.State == key.Digest,
			key.Kind == store.KeyTicket && r.Ticket == key.Digest,
			key.Kind == store.KeyAlias && slices.Contains(r.Aliases, key.Digest):
			return r, nil
		}
	}
	return nil, store.ErrNotFound
}

// taken reports whether one of a record's aliases leads to another callback.
func (m *memory) taken(r *callback.Record) bool {
	for _, alias := range r.Aliases {
		if other, err := m.find(store.ByAlias(alias)); err == nil && other.ID != r.ID {
			return true
		}
	}
	return false
}

func (m *memory) Secret() *callback.Secret      { return &m.disk.secret }
func (m *memory) Changes() <-chan callback.UUID { return nil }

func (m *memory) Create(_ context.Context, r *callback.Record) (store.Commit, error) {
	defer m.mu.Unlock()
	if err := m.lock(); err != nil {
		return nil, err
	}
	if m.taken(r) {
		return nil, store.ErrExists
	}
	return m.put(r.ID, r), nil
}

func (m *memory) Find(_ context.Context, key store.Key) (*callback.Record, store.Commit, error) {
	defer m.mu.Unlock()
	if err := m.lock(); err != nil {
		return nil, nil, err
	}
	r, err := m.find(key)
	if err != nil {
		return nil, nil, err
	}
	return r, m.commit(r.ID), nil
}

func (m *memory) Update(_ context.Context, key store.Key, decide store.Decide) (*callback.Record, store.Commit, error) {
	defer m.mu.Unlock()
	if err := m.lock(); err != nil {
		return nil, nil, err
	}
	r, err := m.find(key)
	if err != nil {
		return nil, nil, err
	}
	change, err := decide(r)
	switch {
	case err != nil:
		return nil, nil, err
	case change.Next == nil && !change.Delete:
		return r, m.commit(r.ID), nil
	case change.Next != nil && m.taken(change.Next):
		return nil, nil, store.ErrExists
	}
	for _, b := range r.Bodies() {
		if change.Next == nil || !refersTo(change.Next, b.File) {
			delete(m.disk.bodies, b.File)
		}
	}
	return change.Next, m.put(r.ID, change.Next), nil
}

func refersTo(r *callback.Record, file string) bool {
	return slices.ContainsFunc(r.Bodies(), func(b *callback.Body) bool { return b.File == file })
}

func (m *memory) PutPolicy(_ context.Context, p *callback.Policy) error {
	defer m.mu.Unlock()
	if err := m.lock(); err != nil {
		return err
	}
	b, err := p.Encode()
	m.disk.policies[p.Hash()] = b
	return err
}

func (m *memory) Policy(_ context.Context, hash callback.Digest) (*callback.Policy, error) {
	defer m.mu.Unlock()
	if err := m.lock(); err != nil {
		return nil, err
	}
	b, known := m.disk.policies[hash]
	if !known {
		return nil, store.ErrNotFound
	}
	return callback.DecodePolicy(b)
}

func (m *memory) PutBody(_ context.Context, data []byte) (callback.Body, error) {
	defer m.mu.Unlock()
	if err := m.lock(); err != nil {
		return callback.Body{}, err
	}
	name := callback.NewUUID().String()
	m.disk.bodies[name] = bytes.Clone(data)
	return callback.Body{Data: data, File: name, Size: int64(len(data)), Sum: sha256.Sum256(data)}, nil
}

func (m *memory) OpenBody(_ context.Context, b callback.Body) (io.ReadCloser, error) {
	defer m.mu.Unlock()
	if err := m.lock(); err != nil {
		return nil, err
	}
	data, there := m.disk.bodies[b.File]
	switch {
	case !there:
		return nil, store.ErrNotFound
	case int64(len(data)) != b.Size || sha256.Sum256(data) != b.Sum:
		return nil, store.ErrDamaged
	}
	return io.NopCloser(bytes.NewReader(data)), nil
}

func (m *memory) Due(_ context.Context, until callback.Time, limit int) ([]callback.UUID, error) {
	defer m.mu.Unlock()
	if err := m.lock(); err != nil {
		return nil, err
	}
	var ids []callback.UUID
	for id, r := range m.newest {
		if r.Due() <= until {
			ids = append(ids, id)
		}
	}
	slices.SortFunc(ids, func(a, b callback.UUID) int { return cmp.Compare(m.newest[a].Due(), m.newest[b].Due()) })
	return ids[:min(limit, len(ids))], nil
}

func (m *memory) List(ctx context.Context, q store.Query) (page []*callback.Record, next store.Cursor, err error) {
	m.flush()
	defer m.mu.Unlock()
	if err := errors.Join(m.lock(), ctx.Err()); err != nil {
		return nil, store.Cursor{}, err
	}
	for _, b := range m.disk.records {
		r, err := store.DecodeRecord(b)
		if err != nil {
			return nil, store.Cursor{}, err
		}
		if (q.After == store.Cursor{} || newestFirst(cursor(r), q.After) > 0) && matches(q, r) {
			page = append(page, r)
		}
	}
	slices.SortFunc(page, func(a, b *callback.Record) int { return newestFirst(cursor(a), cursor(b)) })
	if limit := q.PageSize(); len(page) > limit {
		page = page[:limit]
		next = cursor(page[limit-1])
	}
	return page, next, nil
}

func matches(q store.Query, r *callback.Record) bool {
	return (!q.Dead || r.Delivery != nil && r.Delivery.Dead) && (q.Phase == 0 || r.Phase == q.Phase) && (q.Name == "" || r.Name == q.Name) &&
		(q.From == 0 || r.CreatedAt >= q.From) && (q.Before == 0 || r.CreatedAt < q.Before)
}

func cursor(r *callback.Record) store.Cursor { return store.Cursor{CreatedAt: r.CreatedAt, ID: r.ID} }

func newestFirst(a, b store.Cursor) int {
	return cmp.Or(cmp.Compare(b.CreatedAt, a.CreatedAt), bytes.Compare(a.ID[:], b.ID[:]))
}

func (m *memory) Waiting() (n int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, r := range m.newest {
		if r.Phase == callback.Waiting {
			n++
		}
	}
	return n
}

func (m *memory) Ready() error {
	defer m.mu.Unlock()
	return m.lock()
}

func (m *memory) Close() error {
	m.mu.Lock()
	if m.closed {
		m.mu.Unlock()
		return nil
	}
	m.closed = true
	close(m.kick)
	m.mu.Unlock()
	m.done.Wait()
	m.flush()
	return nil
}
