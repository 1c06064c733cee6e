package store

import (
	"context"
	"time"

	"github.com/caddy-callback/caddy-callback/module/callback"
)

// Shared is what a store offers that several nodes use at the same time. A node is a process
// that has the store open.
//
// Such a store returns from Create and Update only when the write is committed: another node
// sees nothing earlier. The context ends the wait for a turn, and never a decision that was
// handed over. Due leaves out what belongs to another node that lives, by the record's Owner.
//
// A node that was given up meanwhile is another one from its next write on. Decisions are made
// again then; a creation fails with ErrFailed, because its record may name the node. Waiting
// counts what other nodes have changed a little later.
type Shared interface {
	Store

	// Node is this process as one of the nodes. After it was given up, because it was not
	// heard of for too long, it is another one.
	Node() callback.Node

	// Lives reports whether a node lives, as far as is known: one that was given up a moment
	// ago may still count, and so may a number that is not known yet. That a node does not
	// live is certain, and never changes.
	Lives(callback.Node) bool

	// Now returns the time of the clock that all nodes go by.
	Now() time.Time

	// AwaitsAck reports whether a callback waits that has one of these among its Awaited and
	// was not created after until.
	AwaitsAck(ctx context.Context, awaited []callback.Digest, until callback.Time) (bool, error)

	// Forget removes callbacks that are Forgettable at that time, at most limit of them, with
	// their bodies, and returns how many.
	Forget(ctx context.Context, until callback.Time, limit int) (int, error)

	// Ended returns those of the callbacks that do not wait any more, or that do not exist.
	Ended(ctx context.Context, ids []callback.UUID) ([]callback.UUID, error)
}

// Roster is implemented by shared stores that know their nodes.
type Roster interface {
	// Nodes lists the nodes that live, by their numbers.
	Nodes(ctx context.Context) ([]NodeInfo, error)

	// Living returns how many nodes live, as far as is known.
	Living() int

	// LostHints returns how often hints at what another node may have changed were lost, or
	// may have been, since the store was opened.
	LostHints() uint64
}

// NodeInfo is what is known of a node.
type NodeInfo struct {
	Node callback.Node
	// Release is that of this module at the node, and Host the name of its machine.
	Release, Host string
	// Silent is for how long nothing was heard of it.
	Silent time.Duration
}

// Hint says that another node may have changed a callback. The zero Hint says that hints
// were lost, so that everything may have changed.
type Hint struct {
	ID callback.UUID
	// Aliases are those that lead to the callback since the change.
	Aliases []callback.Digest
}

// IsZero reports whether hints were lost.
func (h Hint) IsZero() bool { return h.ID.IsZero() }
