// Package store says what a store of callbacks must do. Stores only store: what
// becomes of a callback is decided by package callback.
//
// Nothing here assumes that one process has the store to itself.
package store

import (
	"context"
	"errors"
	"io"
	"time"

	"go.uber.org/zap"

	"github.com/caddy-callback/caddy-callback/module/callback"
)

// Errors that every store returns, wrapped or bare.
var (
	// ErrNotFound: there is no such callback, policy or body.
	ErrNotFound = errors.New("not found")
	// ErrFull: there is no room for what was to be stored. It heals by itself
	// once there is room again.
	ErrFull = errors.New("the store is full")
	// ErrFailed: the store has failed and takes nothing until it has been
	// verified. Whether the last writes are in it is not known.
	ErrFailed = errors.New("the store has failed")
	// ErrClosed: the store has been closed.
	ErrClosed = errors.New("the store is closed")
	// ErrTooLarge: a record is too large for the store.
	ErrTooLarge = errors.New("the record is too large for the store")
	// ErrExists: an alias of the callback leads to another one already.
	ErrExists = errors.New("an alias leads to another callback")
	// ErrDamaged: what was read is not what was written.
	ErrDamaged = errors.New("the stored data is damaged")
)

// Store keeps callbacks, their policies and their bodies.
//
// A committed write survives the loss of power. All writes to one callback
// happen one after the other, each on top of the one before.
type Store interface {
	// Secret returns the store's secret, which was made with the store.
	Secret() *callback.Secret

	// PutPolicy stores a compiled policy under its hash. It returns once the
	// policy is committed. Storing one again costs nothing.
	PutPolicy(ctx context.Context, p *callback.Policy) error

	// Policy returns the compiled policy with that hash, or ErrNotFound.
	Policy(ctx context.Context, hash callback.Digest) (*callback.Policy, error)

	// Create stores a new callback. From its return on the callback can be
	// found and updated, before it is committed, too. ErrExists: another callback
	// has one of its aliases, committed or not; nothing is stored.
	Create(ctx context.Context, r *callback.Record) (Commit, error)

	// Find returns the newest record with that key, or ErrNotFound. The Commit
	// is that of the record: it is done where the record is stored already.
	Find(ctx context.Context, key Key) (*callback.Record, Commit, error)

	// Update puts a decision about one callback into effect, atomically. The
	// store calls decide with the newest record and does what it returns; it
	// may call it again, if another node was faster, so decide must have no
	// effect but its return value. The record returned is the newest after
	// the decision, nil if it was deleted. An error of decide's is returned as
	// it is, and nothing changes. Aliases that the decision adds lead to the
	// callback from the return of Update on, those that it removes are free
	// again; ErrExists as in Create.
	//
	// The Commit is the decision's; where decide changed nothing it is that of
	// the record it was shown.
	Update(ctx context.Context, key Key, decide Decide) (*callback.Record, Commit, error)

	// PutBody stores a body that is too large for a record, and returns how
	// to refer to it once it is committed. A body that no record comes to refer
	// to is swept away in time.
	PutBody(ctx context.Context, data []byte) (callback.Body, error)

	// OpenBody reads a body that PutBody has stored, whole or not at all: a
	// body that is not what was stored is ErrDamaged.
	OpenBody(ctx context.Context, b callback.Body) (io.ReadCloser, error)

	// Due lists callbacks that a timer must act on, the most overdue first:
	// those whose Due is not after until. At most limit are returned.
	Due(ctx context.Context, until callback.Time, limit int) ([]callback.UUID, error)

	// List returns committed callbacks, the newest first, and waits for the commit of
	// what was decided here before it was called. A page can be shorter than
	// the query's limit, or empty, although there is more: the work for one page
	// is bounded, however many callbacks there are and however few match. next
	// is where the next page begins, zero if there is none. A callback that
	// there is from the first page to the last is in exactly one of them.
	List(ctx context.Context, q Query) (page []*callback.Record, next Cursor, err error)

	// Changes yields ids of callbacks that may have changed through another
	// node. It is a hint: some may be missing, some may be wrong. A store that
	// one process has to itself returns nil.
	Changes() <-chan callback.UUID

	// Waiting returns how many callbacks wait. Shortly after the start it may be
	// too low, while the store is still counting.
	Waiting() int

	// Ready returns nil if the store takes new work, else why it does not:
	// ErrFull, ErrFailed or ErrClosed.
	Ready() error

	// Close ends the store. What was committed stays; what was not is tried to
	// commit first.
	Close() error
}

// Measured is implemented by stores that count their commits.
type Measured interface {
	// Commits returns what has been committed since the store was opened.
	Commits() Commits
}

// Commits are counts of commits, each of which takes many records.
type Commits struct {
	Count, Records uint64
	// Took is the time of all of them together.
	Took time.Duration
}

// Opener is what a store's configuration module implements.
type Opener interface {
	// Identity names the store. What has the same identity is the same store,
	// and is opened once in a process. It must not touch the store.
	Identity() (string, error)

	// Open opens the store. Its error says what is wrong and what to do.
	Open(log *zap.Logger) (Store, error)
}

// Decide is a decision about a callback.
type Decide func(r *callback.Record) (Change, error)

// Change is what a decision does to a callback. The zero Change does nothing.
type Change struct {
	// Next is the changed record.
	Next *callback.Record
	// Delete removes the callback and its bodies. It counts only where Next is
	// nil.
	Delete bool
}

// Query says what to list. Zero fields do not filter.
type Query struct {
	// Phase is the phase that listed callbacks are in.
	Phase callback.Phase
	// Name is the name that they have.
	Name string
	// Dead asks for those whose delivery was given up, and no others.
	Dead bool
	// From and Before bound when they were created: not before From, and before
	// Before.
	From, Before callback.Time
	// After is where the page begins; zero for the first one.
	After Cursor
	// Limit is how many are listed at most: DefaultPageSize if it is not positive, and
	// never more than MaxPageSize.
	Limit int
}

// How many callbacks a page of a list has at most, by default and in any case.
const (
	DefaultPageSize = 100
	MaxPageSize     = 1000
)

// PageSize returns how many callbacks are listed at most.
func (q Query) PageSize() int {
	if q.Limit <= 0 {
		return DefaultPageSize
	}
	return min(q.Limit, MaxPageSize)
}

// Cursor is a place in a list: the callback after which a page begins.
type Cursor struct {
	CreatedAt callback.Time
	ID        callback.UUID
}

// Key names a callback by its id or by one of its secrets.
type Key struct {
	// ID is the callback's id; zero where Digest is given.
	ID callback.UUID
	// Digest is the digest of the state or of the ticket, or the alias.
	Digest callback.Digest
	// Kind says of what the digest is.
	Kind KeyKind
}

// KeyKind says what a key is made of.
type KeyKind uint8

// The kinds of keys.
const (
	KeyID KeyKind = iota
	KeyState
	KeyTicket
	KeyAlias
)

// ByID returns the key of the callback with that id.
func ByID(id callback.UUID) Key { return Key{ID: id} }

// ByState returns the key of the callback with that state.
func ByState(state callback.UUID) Key { return Key{Kind: KeyState, Digest: state.Digest()} }

// ByTicket returns the key of the callback with that ticket.
func ByTicket(ticket callback.UUID) Key { return Key{Kind: KeyTicket, Digest: ticket.Digest()} }

// ByAlias returns the key of the callback with that alias.
func ByAlias(alias callback.Digest) Key { return Key{Kind: KeyAlias, Digest: alias} }

// Commit is a write on its way to where it survives the loss of power.
type Commit interface {
	// Done is closed when the write is committed or has failed. A write that nobody
	// has hurried may take a few milliseconds longer, so that others share its cost.
	Done() <-chan struct{}
	// Err returns why the write failed, once Done is closed.
	Err() error
	// Hurry says that somebody can do nothing but wait for the write.
	Hurry()
}

// Wait waits until the write is committed, which it hurries. If ctx ends first its
// error is returned, and the write goes on.
func Wait(ctx context.Context, c Commit) error {
	c.Hurry()
	return WaitInTurn(ctx, c)
}

// WaitInTurn is Wait for those who are in no hurry.
func WaitInTurn(ctx context.Context, c Commit) error {
	select {
	case <-c.Done():
		return c.Err()
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Committed is the Commit of what is stored already.
var Committed Commit = committed{}

type committed struct{}

var closed = func() chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}()

func (committed) Done() <-chan struct{} { return closed }

func (committed) Hurry()     {}
func (committed) Err() error { return nil }
