package archive

import (
	"context"
	"fmt"
	"time"

	"github.com/caddy-callback/caddy-callback/module/store"
)

const (
	// silentFor is how long nothing must have been heard of a node before it is waited for its
	// being given up. One that lives is heard of more often.
	silentFor = 5 * time.Second
	// givenUpWithin is how long that may take.
	givenUpWithin = 30 * time.Second
	// lookEvery is how often it is looked.
	lookEvery = 250 * time.Millisecond
)

// beAlone refuses a store that other nodes use. It waits until those that have died are given
// up.
func beAlone(ctx context.Context, s store.Store) error {
	roster, known := s.(store.Roster)
	shared, several := s.(store.Shared)
	if !known || !several {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, givenUpWithin)
	defer cancel()
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		other, err := otherNode(ctx, roster, shared)
		if other == nil || err != nil {
			return err
		}
		refused := fmt.Errorf("node %d on %s uses the store, and was heard of %v ago; stop Caddy there first", other.Node, other.Host, other.Silent.Round(100*time.Millisecond))
		if other.Silent < silentFor {
			return refused
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return refused
		}
	}
}

// otherNode returns the node that was heard of last, this one left out; nil if there is none.
func otherNode(ctx context.Context, roster store.Roster, shared store.Shared) (last *store.NodeInfo, err error) {
	all, err := roster.Nodes(ctx)
	if err != nil {
		return nil, err
	}
	for _, n := range all {
		if n.Node != shared.Node() && (last == nil || n.Silent < last.Silent) {
			last = &n
		}
	}
	return last, nil
}
