package storetest

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"maps"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/memory"
	"github.com/caddy-callback/caddy-callback/module/store"
)

// Memory is what outlives the stores that are opened on it: the disk of a store that is
// kept in memory. Each store that is open on it is one of several nodes on the same data.
// It is for tests, and as simple as a store can be.
type Memory struct {
	id      string
	mu      sync.Mutex
	secrets atomic.Pointer[callback.Secrets]
	// records are the newest ones.
	records  map[callback.UUID]*callback.Record
	policies map[callback.Digest][]byte
	bodies   map[string][]byte
	// pending is the write that has what is decided and not committed.
	pending *write
	open    map[*handle]bool
	// nodes is how many there were, and living those that live.
	nodes  callback.Node
	living map[callback.Node]bool
}

// NewMemory returns a memory that holds nothing but a secret.
func NewMemory() *Memory {
	m := &Memory{
		id:       callback.NewUUID().String(),
		records:  make(map[callback.UUID]*callback.Record),
		policies: make(map[callback.Digest][]byte),
		bodies:   make(map[string][]byte),
		pending:  newWrite(),
		open:     make(map[*handle]bool),
		living:   make(map[callback.Node]bool),
	}
	m.SetSecrets(callback.NewSecrets(callback.NewSecret()))
	return m
}

// SetSecrets replaces the secrets.
func (m *Memory) SetSecrets(s *callback.Secrets) { m.secrets.Store(s) }

// Open returns a store on the memory. Many can be open at once: what is written through one
// is seen through all, at once and before it is committed, too. The first one removes the
// policies that no callback needs.
func (m *Memory) Open() store.Store {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.open) == 0 {
		maps.DeleteFunc(m.policies, func(hash callback.Digest, _ []byte) bool { return !m.needs(hash) })
	}
	h := &handle{memory: m, changes: make(chan store.Hint, maxHints)}
	m.open[h] = true
	return h
}

// needs reports whether a callback refers to a policy.
func (m *Memory) needs(hash callback.Digest) bool {
	for _, r := range m.records {
		if r.Policy == hash {
			return true
		}
	}
	return false
}

// write is all that is committed together.
type write struct {
	done chan struct{}
	ids  map[callback.UUID]bool
}

func newWrite() *write {
	return &write{done: make(chan struct{}), ids: make(map[callback.UUID]bool)}
}

func (w *write) Done() <-chan struct{} { return w.done }
func (w *write) Err() error            { return nil }
func (w *write) Hurry()                {}

// find returns the newest record with that key, nil if there is none.
func (m *Memory) find(key store.Key) *callback.Record {
	for id, r := range m.records {
		switch {
		case key.Kind == store.KeyID && id == key.ID, key.Kind == store.KeyState && r.State == key.Digest,
			key.Kind == store.KeyTicket && r.Ticket == key.Digest,
			key.Kind == store.KeyAlias && slices.Contains(r.Aliases, key.Digest):
			return r
		}
	}
	return nil
}

// taken reports whether one of a record's aliases leads to another callback.
func (m *Memory) taken(r *callback.Record) bool {
	return slices.ContainsFunc(r.Aliases, func(alias callback.Digest) bool {
		other := m.find(store.ByAlias(alias))
		return other != nil && other.ID != r.ID
	})
}

// flush commits what is pending. Of a record stays what a disk would give back. It is
// encoded here and not when it is handed in, so that the race detector finds who changes
// it after that.
func (m *Memory) flush() {
	for id := range m.pending.ids {
		r := m.records[id]
		if r == nil {
			continue
		}
		b, err := store.EncodeRecord(r)
		if err == nil {
			m.records[id], err = store.DecodeRecord(b)
		}
		if err != nil {
			panic(err)
		}
	}
	close(m.pending.done)
	m.pending = newWrite()
}

// maxHints is how many changes by others a store keeps in mind for who asks late.
const maxHints = 1024

// handle is a store that is open on a memory, until that forgets it.
type handle struct {
	memory  *Memory
	changes chan store.Hint
	// lost counts the hints for which there was no room.
	lost atomic.Uint64
}

// enter locks the memory, which the caller must unlock, whatever the error is.
func (h *handle) enter() (*Memory, error) {
	h.memory.mu.Lock()
	if !h.memory.open[h] {
		return h.memory, store.ErrClosed
	}
	return h.memory, nil
}

// put makes r, nil for none, the newest record of a callback, which is committed a little
// later, and hints at it to the other stores.
func (h *handle) put(id callback.UUID, r *callback.Record) store.Commit {
	m := h.memory
	hint := store.Hint{ID: id}
	if r != nil {
		hint.Aliases = added(m.records[id], r)
	}
	m.records[id] = r
	if r == nil {
		delete(m.records, id)
	}
	for other := range m.open {
		if other == h {
			continue
		}
		select {
		case other.changes <- hint:
		default:
			other.lost.Add(1)
		}
	}
	w := m.pending
	if len(w.ids) == 0 {
		go func() {
			m.mu.Lock()
			defer m.mu.Unlock()
			if m.pending == w {
				m.flush()
			}
		}()
	}
	w.ids[id] = true
	return w
}

// added returns the aliases that a record has and that the one before it, nil for none, had
// not.
func added(before, after *callback.Record) (aliases []callback.Digest) {
	for _, alias := range after.Aliases {
		if before == nil || !slices.Contains(before.Aliases, alias) {
			aliases = append(aliases, alias)
		}
	}
	return aliases
}

func (h *handle) Secret() *callback.Secret { return h.memory.secrets.Load().First() }

func (h *handle) SecretOf(r *callback.Record) *callback.Secret { return h.memory.secrets.Load().Of(r) }

func (h *handle) ID() string { return h.memory.id }

func (h *handle) Changes() <-chan store.Hint { return h.changes }

func (h *handle) Create(_ context.Context, r *callback.Record) (store.Commit, error) {
	m, err := h.enter()
	defer m.mu.Unlock()
	switch {
	case err != nil:
		return nil, err
	case m.taken(r):
		return nil, store.ErrExists
	}
	return h.put(r.ID, r), nil
}

func (h *handle) Find(_ context.Context, key store.Key) (*callback.Record, store.Commit, error) {
	m, err := h.enter()
	defer m.mu.Unlock()
	r := m.find(key)
	switch {
	case err != nil:
		return nil, nil, err
	case r == nil:
		return nil, nil, store.ErrNotFound
	}
	if m.pending.ids[r.ID] {
		return r, m.pending, nil
	}
	return r, store.Committed, nil
}

// Update decides without the lock, for a decision may ask the store, and decides again
// where somebody was faster.
func (h *handle) Update(ctx context.Context, key store.Key, decide store.Decide) (*callback.Record, store.Commit, error) {
	for {
		r, c, err := h.Find(ctx, key)
		if err != nil {
			return nil, nil, err
		}
		change, err := decide(r)
		if err != nil {
			return nil, nil, err
		}
		if change.Next == nil && !change.Delete {
			return r, c, nil
		}
		switch c, err = h.swap(r, change.Next); {
		case err == nil:
			return change.Next, c, nil
		case !errors.Is(err, errOutrun):
			return nil, nil, err
		}
	}
}

// errOutrun says that a record is not the newest any more.
var errOutrun = errors.New("somebody else was faster")

// swap puts a record, nil for none, in the place of another, if that is the newest.
func (h *handle) swap(before, after *callback.Record) (store.Commit, error) {
	m, err := h.enter()
	defer m.mu.Unlock()
	switch {
	case err != nil:
		return nil, err
	case m.records[before.ID] != before:
		return nil, errOutrun
	case after != nil && m.taken(after):
		return nil, store.ErrExists
	}
	m.removeBodies(before, after)
	return h.put(before.ID, after), nil
}

// removeBodies removes the bodies of a record that the next one, nil for none, does not refer
// to.
func (m *Memory) removeBodies(before, after *callback.Record) {
	for _, b := range before.Bodies() {
		if after == nil || !refersTo(after, b.File) {
			delete(m.bodies, b.File)
		}
	}
}

func refersTo(r *callback.Record, file string) bool {
	return slices.ContainsFunc(r.Bodies(), func(b *callback.Body) bool { return b.File == file })
}

func (h *handle) PutPolicy(_ context.Context, p *callback.Policy) error {
	m, err := h.enter()
	defer m.mu.Unlock()
	if err == nil {
		m.policies[p.Hash()], err = p.Encode()
	}
	return err
}

func (h *handle) Policy(_ context.Context, hash callback.Digest) (*callback.Policy, error) {
	m, err := h.enter()
	defer m.mu.Unlock()
	b, known := m.policies[hash]
	switch {
	case err != nil:
		return nil, err
	case !known:
		return nil, store.ErrNotFound
	}
	return callback.DecodePolicy(b)
}

func (h *handle) PutBody(_ context.Context, data []byte) (callback.Body, error) {
	m, err := h.enter()
	defer m.mu.Unlock()
	if err != nil {
		return callback.Body{}, err
	}
	name := callback.NewUUID().String()
	m.bodies[name] = bytes.Clone(data)
	return callback.Body{Data: data, File: name, Size: int64(len(data)), Sum: sha256.Sum256(data)}, nil
}

func (h *handle) NewBody(context.Context) (store.BodyWriter, error) {
	m, err := h.enter()
	defer m.mu.Unlock()
	return &bodyWriter{h: h}, err
}

// bodyWriter keeps a body until it is committed.
type bodyWriter struct {
	h    *handle
	data []byte
}

// Write implements store.BodyWriter.
func (w *bodyWriter) Write(piece []byte) (int, error) {
	if len(w.data)%store.BodyPiece != 0 || len(piece) > store.BodyPiece {
		return 0, errors.New("a piece does not fit")
	}
	w.data = append(w.data, piece...)
	return len(piece), nil
}

// Commit implements store.BodyWriter.
func (w *bodyWriter) Commit() (callback.Body, error) {
	b, err := w.h.PutBody(context.Background(), w.data)
	b.Data = nil
	return b, err
}

// Abort implements store.BodyWriter.
func (w *bodyWriter) Abort() { w.data = nil }

func (h *handle) DropBody(_ context.Context, b callback.Body) {
	m := h.memory
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.referred(b.File) {
		delete(m.bodies, b.File)
	}
}

// referred reports whether a record refers to a file.
func (m *Memory) referred(file string) bool {
	for _, r := range m.records {
		if refersTo(r, file) {
			return true
		}
	}
	return false
}

// Orphans returns how many bodies there are that no record refers to.
func (m *Memory) Orphans() (n int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for file := range m.bodies {
		if !m.referred(file) {
			n++
		}
	}
	return n
}

func (h *handle) OpenBody(_ context.Context, b callback.Body, space memory.Space) (io.ReadCloser, error) {
	m, err := h.enter()
	defer m.mu.Unlock()
	data, there := m.bodies[b.File]
	switch {
	case err != nil:
		return nil, err
	case !there:
		return nil, store.ErrRemoved
	case int64(len(data)) != b.Size || sha256.Sum256(data) != b.Sum:
		return nil, store.ErrDamaged
	}
	lease, err := space.Reserve(min(b.Size, store.BodyPiece))
	if err != nil {
		return nil, err
	}
	return leasedBody{bytes.NewReader(data), lease}, nil
}

// leasedBody is a body that is read.
type leasedBody struct {
	*bytes.Reader
	lease *memory.Lease
}

// Close implements io.Closer.
func (b leasedBody) Close() error {
	b.lease.Release()
	return nil
}

func (h *handle) Due(_ context.Context, until callback.Time, limit int) ([]callback.UUID, error) {
	m, err := h.enter()
	defer m.mu.Unlock()
	if err != nil {
		return nil, err
	}
	due := slices.SortedFunc(maps.Values(m.records), func(a, b *callback.Record) int { return cmp.Compare(a.Due(), b.Due()) })
	var ids []callback.UUID
	for _, r := range due[:min(limit, len(due))] {
		if r.Due() <= until {
			ids = append(ids, r.ID)
		}
	}
	return ids, nil
}

func (h *handle) Waiting() (n int) {
	h.memory.mu.Lock()
	defer h.memory.mu.Unlock()
	for _, r := range h.memory.records {
		if r.Phase == callback.Waiting {
			n++
		}
	}
	return n
}

func (h *handle) Ready() error {
	m, err := h.enter()
	defer m.mu.Unlock()
	return err
}

func (h *handle) Close() error {
	m, err := h.enter()
	defer m.mu.Unlock()
	if err == nil {
		m.flush()
		delete(m.open, h)
	}
	return nil
}
