package engine

import (
	"context"
	"errors"
	"time"

	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/store"
)

// elsewhereEvery is how often this node looks whether another one has done something.
const elsewhereEvery = 250 * time.Millisecond

// self returns the number of this node; zero for a process that has its store to itself.
func (e *Engine) self() callback.Node {
	if e.shared == nil {
		return 0
	}
	return e.shared.Node()
}

// elsewhere reports whether a node is another one, and lives.
func (e *Engine) elsewhere(n callback.Node) bool {
	return n != 0 && e.shared != nil && n != e.shared.Node() && e.shared.Lives(n)
}

// Nodes lists the nodes that live. self is the number of this one: zero if the process has
// its store to itself, and then it is the only one.
func (e *Engine) Nodes(ctx context.Context) (nodes []store.NodeInfo, self callback.Node, err error) {
	if e.roster == nil {
		return []store.NodeInfo{store.ThisNode()}, 0, nil
	}
	nodes, err = e.roster.Nodes(ctx)
	return nodes, e.self(), err
}

// Living returns how many nodes live, as far as is known.
func (e *Engine) Living() int {
	if e.roster == nil {
		return 1
	}
	return e.roster.Living()
}

// LostHints returns how often hints at what another node may have changed were lost, or may
// have been.
func (e *Engine) LostHints() uint64 {
	if e.roster == nil {
		return 0
	}
	return e.roster.LostHints()
}

// mark changes one of the nodes that a record names, and waits for the commit. change returns
// the node to put in place of the one that is there, or false to leave that.
func (e *Engine) mark(ctx context.Context, id callback.UUID, place func(*callback.Record) *callback.Node, change func(callback.Node) (callback.Node, bool)) error {
	_, commit, err := e.update(ctx, store.ByID(id), func(r *callback.Record) (store.Change, error) {
		node, yes := change(*place(r))
		if !yes || node == *place(r) {
			return store.Change{}, nil
		}
		next := *r
		*place(&next) = node
		return store.Change{Next: &next}, nil
	})
	if err != nil {
		return err
	}
	return store.Wait(ctx, commit)
}

// claim puts this node into a place of a record, unless another one is there that lives. It
// returns this node's number, and whether it is there.
func (e *Engine) claim(ctx context.Context, id callback.UUID, place func(*callback.Record) *callback.Node) (self callback.Node, ok bool, err error) {
	self = e.self()
	err = e.mark(ctx, id, place, func(n callback.Node) (callback.Node, bool) {
		ok = !e.elsewhere(n)
		return self, ok
	})
	return self, ok, err
}

// unclaim takes this node out of a place of a record, in the background, and then calls done:
// until then, nobody in this process may claim the place.
func (e *Engine) unclaim(id callback.UUID, self callback.Node, place func(*callback.Record) *callback.Node, done func()) {
	e.background.Go(func() {
		defer done()
		for passes(e.tryUnclaim(id, self, place)) && e.pauses(unclaimEvery) {
		}
	})
}

// unclaimDoubtful is unclaim after a claim, or the creation of its record, has failed with an error:
// it may be stored all the same, even a little later.
func (e *Engine) unclaimDoubtful(err error, id callback.UUID, self callback.Node, place func(*callback.Record) *callback.Node, done func()) {
	if self == 0 || !errors.Is(err, store.ErrFailed) {
		done()
		return
	}
	e.background.Go(func() {
		defer done()
		until := time.Now().Add(unclaimWithin)
		for err != nil && (passes(err) || time.Now().Before(until)) && e.pauses(unclaimEvery) {
			err = e.tryUnclaim(id, self, place)
		}
	})
}

// tryUnclaim tries once to take this node out of a place of a record. As long as the node lives,
// the others leave to it what it has claimed.
func (e *Engine) tryUnclaim(id callback.UUID, self callback.Node, place func(*callback.Record) *callback.Node) error {
	if err := e.store.Ready(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), unclaimWithin)
	defer cancel()
	return e.mark(ctx, id, place, func(n callback.Node) (callback.Node, bool) { return 0, n == self })
}

// passes reports whether an error of the store is one that passes.
func passes(err error) bool {
	return errors.Is(err, store.ErrFailed) || errors.Is(err, store.ErrFull) || errors.Is(err, context.DeadlineExceeded)
}

// pauses waits, and reports whether the engine goes on.
func (e *Engine) pauses(d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-e.stopping:
		return false
	}
}

// unclaimWithin is how long one try to take a node out of a record may take, and unclaimEvery how
// long it is waited before the next. What is there when the node ends is overlooked.
const (
	unclaimWithin = 10 * time.Second
	unclaimEvery  = time.Second
)

func flightOf(r *callback.Record) *callback.Node { return &r.Flight }
func askingOf(r *callback.Record) *callback.Node { return &r.Asking }
