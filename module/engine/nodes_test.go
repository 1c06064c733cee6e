package engine

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/store"
	"github.com/caddy-callback/caddy-callback/module/store/storetest"
)

// member is a node and its store.
type member struct {
	*bed
	shared store.Shared
}

// members runs a test with some nodes on one memory. Time passes only while all wait.
func members(t *testing.T, n int, test func(t *testing.T, m *storetest.Memory, nodes []member)) {
	t.Helper()
	membersWith(t, n, callback.Policy{}, test)
}

// membersWith is members with a policy.
func membersWith(t *testing.T, n int, policy callback.Policy, test func(t *testing.T, m *storetest.Memory, nodes []member)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		m := storetest.NewMemory()
		var nodes []member
		for range n {
			s := m.Join()
			nodes = append(nodes, member{newNode(t, s, policy), s})
		}
		test(t, m, nodes)
	})
}

// keyed makes a callback whose request can be repeated.
func (m member) keyed(t *testing.T) *Callback {
	t.Helper()
	return m.keyedAs(t, 1)
}

// keyedAs is keyed with a key of the test's choice.
func (m member) keyedAs(t *testing.T, key byte) *Callback {
	t.Helper()
	cb, err := m.Create(t.Context(), Spec{Policy: m.policy, Spec: callback.Spec{ExpiresIn: time.Minute, Idempotency: callback.Digest{key}, Fingerprint: callback.Digest{2}}})
	if err != nil {
		t.Fatal(err)
	}
	return cb
}

// departs reports whether a request of a callback can be served at a node.
func (m member) departs(t *testing.T, cb *Callback) (land func(), ok bool) {
	t.Helper()
	found := *cb
	found.made = false
	land, ok, err := m.Depart(t.Context(), &found)
	if err != nil {
		t.Fatal(err)
	}
	return land, ok
}

func TestRequestWithAKeyIsServedAtOneNode(t *testing.T) {
	members(t, 2, func(t *testing.T, m *storetest.Memory, nodes []member) {
		a, b := nodes[0], nodes[1]
		cb := a.keyed(t)
		if _, ok := b.departs(t, cb); ok {
			t.Error("it is served at a second node before the first has begun")
		}
		land, ok := a.departs(t, cb)
		if _, again := b.departs(t, cb); !ok || again {
			t.Errorf("it is served at its node: %t, and at another: %t", ok, again)
		}
		r := b.find(t, cb.ID).Record
		if !b.Serves(r) || b.Landed(cb.ID) != nil || b.Elsewhere(r) == nil || a.Elsewhere(r) != nil {
			t.Error("the other node does not know who serves it")
		}
		land()
		synctest.Wait()
		r = b.find(t, cb.ID).Record
		if land, ok = b.departs(t, cb); !ok || b.Elsewhere(r) != nil {
			t.Error("after it has landed it cannot be served again")
		}
		if _, ok := a.departs(t, cb); ok {
			t.Error("it is served at both")
		}
		m.GiveUp(b.shared)
		if a.Serves(a.find(t, cb.ID).Record) {
			t.Error("a node that was given up serves it")
		}
		landA, ok := a.departs(t, cb)
		if !ok {
			t.Fatal("what a node has left cannot be served")
		}
		// The node that was given up does not know it yet.
		land()
		synctest.Wait()
		if r := b.find(t, cb.ID).Record; !b.Serves(r) {
			t.Error("it has landed with the node that was given up")
		}
		landA()
		synctest.Wait()
	})
}

func TestRequestThatHasMadeItsCallbackDepartsWithoutTheStore(t *testing.T) {
	members(t, 2, func(t *testing.T, m *storetest.Memory, nodes []member) {
		a, b := nodes[0], nodes[1]
		cb := a.keyed(t)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		land, ok, err := a.Depart(ctx, cb)
		if err != nil || !ok || b.Elsewhere(b.find(t, cb.ID).Record) == nil {
			t.Fatalf("departing: %t, %v", ok, err)
		}
		land()
		synctest.Wait()
		// A node that was given up meanwhile must look.
		other := b.keyedAs(t, 3)
		m.GiveUp(b.shared)
		if _, ok := a.departs(t, other); !ok {
			t.Error("what a node has left cannot be served")
		}
		if _, ok, err := b.Depart(t.Context(), other); ok || err != nil {
			t.Errorf("a node that was given up serves what another one does: %t, %v", ok, err)
		}
	})
}

func TestOfRequestsWithAKeyAtSeveralNodesOneIsServed(t *testing.T) {
	members(t, 3, func(t *testing.T, m *storetest.Memory, nodes []member) {
		cb := nodes[0].keyed(t)
		m.GiveUp(nodes[0].shared)
		var served atomic.Int64
		var done sync.WaitGroup
		for _, n := range nodes {
			for range 3 {
				done.Go(func() {
					if _, ok := n.departs(t, cb); ok {
						served.Add(1)
					}
				})
			}
		}
		done.Wait()
		if served.Load() != 1 {
			t.Errorf("%d of them are served", served.Load())
		}
	})
}

// A callback that ends with its client is attended wherever the client is.
func TestCallComesToAnotherNodeThanTheClientThatItIsFor(t *testing.T) {
	members(t, 2, func(t *testing.T, m *storetest.Memory, nodes []member) {
		attended := func() (*Callback, *Waiter) {
			cb, err := nodes[0].Create(t.Context(), Spec{Policy: nodes[0].policy, Spec: callback.Spec{ExpiresIn: time.Minute, Attended: true}})
			if err != nil {
				t.Fatal(err)
			}
			return cb, nodes[0].await(t, cb, true)
		}
		cb, w := attended()
		nodes[1].resolve(t, cb)
		wantToldAfter(t, w, 0, 0)
		cb, w = attended()
		m.GiveUp(nodes[0].shared)
		if v, err := nodes[1].tryCall(t.Context(), cb, "answer"); err != nil || v.Kind != callback.Gone {
			t.Errorf("after its client's node was given up the call is %v, %v", v.Kind, err)
		}
		w.Stop()
	})
}
