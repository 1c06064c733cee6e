// Package store defines what a store of callbacks must do. Stores only store: package
// callback decides what happens to a callback.
//
// Nothing in the interface assumes that only one process uses the store.
package store

import (
	"context"
	"errors"
	"io"
	"slices"
	"time"

	"go.uber.org/zap"

	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/memory"
)

// Errors that every store returns, wrapped or bare.
var (
	// ErrNotFound: there is no such callback, policy or body.
	ErrNotFound = errors.New("not found")
	// ErrFull: there is no space left for the write. The store recovers by itself
	// once there is space again.
	ErrFull = errors.New("the store is full")
	// ErrFailed: the store has failed and accepts nothing until it has been verified.
	// It is unknown whether the last writes were stored.
	ErrFailed = errors.New("the store has failed")
	// ErrClosed: the store has been closed.
	ErrClosed = errors.New("the store is closed")
	// ErrTooLarge: a record is too large for the store.
	ErrTooLarge = errors.New("the record is too large for the store")
	// ErrExists: an alias of the callback already leads to another callback.
	ErrExists = errors.New("an alias leads to another callback")
	// ErrRemoved: a body was removed, because no record refers to it any more. The record
	// that told of it is not the newest.
	ErrRemoved = errors.New("the body was removed")
	// ErrDamaged: the data read is not the data that was written.
	ErrDamaged = errors.New("the stored data is damaged")
)

// Store keeps callbacks, their policies and their bodies.
//
// A committed write survives a power failure. Writes to one callback happen one after
// the other, each based on the one before.
type Store interface {
	// Secret returns the secret from which new callbacks are derived.
	Secret() *callback.Secret

	// SecretOf returns the secret from which a callback was derived, nil if it is not
	// known any more.
	SecretOf(r *callback.Record) *callback.Secret

	// ID identifies the store wherever it is opened. It is created with the store.
	ID() string

	// PutPolicy stores a compiled policy under its hash. It returns once the policy
	// is committed. Storing a policy again costs nothing. A policy that was stored or
	// found stays until the store is closed. When the store is opened again, policies
	// that no callback refers to are removed, sooner or later.
	PutPolicy(ctx context.Context, p *callback.Policy) error

	// Policy returns the compiled policy with that hash, or ErrNotFound.
	Policy(ctx context.Context, hash callback.Digest) (*callback.Policy, error)

	// Create stores a new callback. Once Create returns, the callback can be found
	// and updated, even before it is committed. ErrExists means that another
	// callback, committed or not, has one of its aliases; then nothing is stored.
	Create(ctx context.Context, r *callback.Record) (Commit, error)

	// Find returns the newest record with that key, or ErrNotFound. The Commit is the
	// record's: it is done if the record is already stored.
	Find(ctx context.Context, key Key) (*callback.Record, Commit, error)

	// Update applies a decision about one callback, atomically. The store calls
	// decide with the newest record and applies the change that it returns. If
	// another node was faster the store calls decide again, so decide must have no
	// side effects. The record returned is the newest after the decision, nil if it
	// was deleted. An error from decide is returned unchanged, and nothing is stored.
	// Once Update returns, aliases that the decision adds lead to the callback, and
	// those that it removes are free; ErrExists as in Create.
	//
	// The Commit is that of the decision or, if decide changed nothing, that of the
	// record that decide was given.
	Update(ctx context.Context, key Key, decide Decide) (*callback.Record, Commit, error)

	// PutBody stores a body that is too large for a record. Once the body is
	// committed, PutBody returns the reference that a record can hold. Whoever puts a
	// body hands it to DropBody unless a record has come to refer to it. What is left
	// behind all the same, by a crash for example, is removed eventually.
	PutBody(ctx context.Context, data []byte) (callback.Body, error)

	// NewBody is PutBody for a body that comes piece by piece. The writer must be
	// committed or aborted.
	NewBody(ctx context.Context) (BodyWriter, error)

	// DropBody removes a body that PutBody has returned and that no record refers to,
	// at once. A body that a record refers to stays, committed or not, and so does one
	// of which that is not known, because a commit has failed. What cannot be removed
	// now is removed eventually.
	DropBody(ctx context.Context, b callback.Body)

	// OpenBody opens a body that PutBody has stored, to be read piece by piece, and takes
	// memory for one piece from space until the body is closed: memory.ErrBusy if there
	// is none. ErrRemoved if the body is there no more; a reader can end with it, too, if
	// the body is removed while it is read. ErrDamaged if the body is not what
	// was stored; what is beyond its beginning may be found out only when it is read.
	// Reading never comes to the end of a body that is damaged, and never yields a byte that
	// was not stored.
	OpenBody(ctx context.Context, b callback.Body, space memory.Space) (io.ReadCloser, error)

	// Due lists callbacks that a timer must act on, the most overdue first:
	// those whose Due is not after until. At most limit are returned.
	Due(ctx context.Context, until callback.Time, limit int) ([]callback.UUID, error)

	// List returns committed callbacks, the newest first unless the query says otherwise. It first waits for the
	// commit of decisions made in this process before the call. A page can be shorter
	// than the query's limit, or empty, although there are more pages: the work for
	// one page is bounded, and so is its size (MaxPageBytes), no matter how many callbacks
	// there are and how few of them match. next is where the next page begins, zero if there
	// is none. A callback that exists while all pages are read is on exactly one of them.
	List(ctx context.Context, q Query) (page []*callback.Record, next Cursor, err error)

	// Changes yields hints at what another node may have changed: some may be missing,
	// some may be wrong. A store that only one process can use returns nil.
	Changes() <-chan Hint

	// Waiting returns how many callbacks wait. Shortly after the start it may be
	// too low, while the store is still counting.
	Waiting() int

	// Ready returns nil if the store accepts new callbacks, else why it does not:
	// ErrFull, ErrFailed, ErrDamaged or ErrClosed.
	Ready() error

	// Close closes the store. It first tries to commit the writes that are not
	// committed yet.
	Close() error
}

// BodyPiece is the size of a body's pieces, in bytes.
const BodyPiece = 64 << 10

// BodyWriter stores a body piece by piece.
type BodyWriter interface {
	// Write adds a piece. Each one has BodyPiece bytes, and only the last can have fewer.
	Write(piece []byte) (int, error)
	// Commit returns the reference that a record can hold, without the data, as PutBody
	// does.
	Commit() (callback.Body, error)
	// Abort ends a writer that is not committed, and leaves nothing of the body.
	Abort()
}

// Measured is implemented by stores that count their commits.
type Measured interface {
	// Commits returns what has been committed since the store was opened.
	Commits() Commits
}

// Commits are counts of commits, each of which can hold many records.
type Commits struct {
	Count, Records uint64
	// Took is the total time of all commits.
	Took time.Duration
}

// Opener is what a store's configuration module implements.
type Opener interface {
	// Identity identifies the store. Configurations with the same identity mean the
	// same store, which a process opens only once. Identity must not access the
	// store.
	Identity() (string, error)

	// Open opens the store. Its error says what is wrong and what to do.
	Open(log *zap.Logger) (Store, error)
}

// Adopter is implemented by Openers whose secrets can change while the store is open. A
// reload that means a store which is open already calls it.
type Adopter interface {
	// CanAdopt returns the error that Adopt would return now, and changes nothing.
	CanAdopt(open Store) error

	// Adopt puts the configuration's secrets into effect, all of them or none. Its error
	// says what is wrong and what to do.
	Adopt(open Store) error
}

// Decide is a decision about a callback.
type Decide func(r *callback.Record) (Change, error)

// Change is what a decision does to a callback. The zero Change does nothing.
type Change struct {
	// Next is the changed record.
	Next *callback.Record
	// Delete removes the callback and its bodies. It is ignored unless Next is nil.
	Delete bool
}

// Query says what to list. Zero fields do not filter.
type Query struct {
	// Phase is the phase that listed callbacks are in.
	Phase callback.Phase
	// Name is the name that listed callbacks have.
	Name string
	// Names are those of which listed callbacks have one; nil for any.
	Names []string
	// Dead lists only callbacks whose delivery was given up.
	Dead bool
	// Confirm lists only callbacks that a person decides.
	Confirm bool
	// CorrelationID is the correlation id that listed callbacks have.
	CorrelationID string
	// ID is that of the only callback that is listed.
	ID callback.UUID
	// Places says that ID and CreatedAt of the records suffice: where a store knows by an index
	// which callbacks match it reads nothing else, and leaves everything else out.
	Places bool
	// OldestFirst turns the order round: After is then where the page goes on to later ones.
	OldestFirst bool
	// From and Before limit the time of creation: at or after From, and before
	// Before.
	From, Before callback.Time
	// After is where the page begins; zero for the first one.
	After Cursor
	// Limit is how many are listed at most: DefaultPageSize if it is not positive, and
	// never more than MaxPageSize.
	Limit int
}

// The largest number of callbacks on a page: if the query sets no limit, and in any
// case.
const (
	DefaultPageSize = 100
	MaxPageSize     = 1000
)

// MaxPageBytes is the size of the records after which a page ends early, in bytes.
const MaxPageBytes = 2 << 20

// HasName reports whether the query lists callbacks with that name.
func (q Query) HasName(name string) bool {
	return (q.Name == "" || q.Name == name) && (q.Names == nil || slices.Contains(q.Names, name))
}

// Has reports whether the query lists a callback, as far as its record says that.
func (q Query) Has(r *callback.Record) bool {
	return (!q.Dead || r.Delivery != nil && r.Delivery.Dead) && (!q.Confirm || r.Confirm) && (q.Phase == 0 || r.Phase == q.Phase) && q.HasName(r.Name) &&
		(q.CorrelationID == "" || r.CorrelationID == q.CorrelationID) && (q.ID.IsZero() || r.ID == q.ID) &&
		(q.From == 0 || r.CreatedAt >= q.From) && (q.Before == 0 || r.CreatedAt < q.Before)
}

// Indexed reports whether only places are asked for, and nothing but phase, name, delivery and
// time says which callbacks match.
func (q Query) Indexed() bool {
	return q.Places && q.ID.IsZero() && q.CorrelationID == "" && !q.Confirm
}

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
	// Kind says what Digest is the digest of.
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

// Commit is a write that is being committed, after which it survives a power failure.
type Commit interface {
	// Done is closed when the write is committed or has failed. A write that is not
	// hurried may take a few milliseconds longer, so that others share its cost.
	Done() <-chan struct{}
	// Err returns why the write failed, once Done is closed.
	Err() error
	// Hurry asks for the commit without delay, because a caller can do nothing but
	// wait for it.
	Hurry()
}

// Wait hurries the write and waits until it is committed. If ctx ends first, Wait
// returns its error, and the write goes on.
func Wait(ctx context.Context, c Commit) error {
	c.Hurry()
	return WaitInTurn(ctx, c)
}

// WaitInTurn is Wait without hurrying the write.
func WaitInTurn(ctx context.Context, c Commit) error {
	select {
	case <-c.Done():
		return c.Err()
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Committed is the Commit of a record that is already stored.
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
