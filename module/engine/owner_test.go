package engine

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/store/storetest"
)

// counting is a worker that takes a second for each attempt, and counts them.
func counting(attempts *atomic.Int64) Worker {
	return hand{
		attempt: func() callback.Attempt {
			attempts.Add(1)
			time.Sleep(time.Second)
			return answers()
		},
		deliver: func() callback.Sent { return callback.Sent{OK: true} },
	}
}

// wantPhase checks the phase of callbacks.
func (m member) wantPhase(t *testing.T, want callback.Phase, all ...*Callback) {
	t.Helper()
	for _, cb := range all {
		if r := m.find(t, cb.ID).Record; r.Phase != want || r.Phase.Final() && r.Owner != 0 {
			t.Errorf("a callback is %s and is node %d's, want %s", r.Phase, r.Owner, want)
		}
	}
}

func TestWorkIsDoneByOneNode(t *testing.T) {
	members(t, 3, func(t *testing.T, _ *storetest.Memory, nodes []member) {
		var attempts, of atomic.Int64
		for i, n := range nodes {
			if i == 0 {
				n.SetWorker(counting(&of))
				continue
			}
			n.SetWorker(counting(&attempts))
		}
		var all []*Callback
		for range 5 {
			all = append(all, nodes[0].deferred(t))
		}
		time.Sleep(10 * time.Second)
		nodes[1].wantPhase(t, callback.Resolved, all...)
		if of.Load() != 5 || attempts.Load() != 0 {
			t.Errorf("the node that made 5 jobs tried them %d times, and the others %d times", of.Load(), attempts.Load())
		}
	})
}

// A node that has left, in order or not, owns nothing any more.
func TestWorkOfANodeThatHasLeftIsDoneByOneOfTheOthers(t *testing.T) {
	members(t, 3, func(t *testing.T, _ *storetest.Memory, nodes []member) {
		var all []*Callback
		for range 5 {
			all = append(all, nodes[0].deferred(t))
		}
		if err := nodes[0].Close(); err != nil {
			t.Fatal(err)
		}
		var attempts atomic.Int64
		nodes[1].SetWorker(counting(&attempts))
		nodes[2].SetWorker(counting(&attempts))
		time.Sleep(5 * time.Second)
		nodes[1].wantPhase(t, callback.Resolved, all...)
		if attempts.Load() != 5 {
			t.Errorf("5 jobs were tried %d times", attempts.Load())
		}
	})
}

// The outcome of a node that was away for too long comes too late, and changes nothing.
func TestOutcomeOfWorkThatWasTakenOverIsNotTaken(t *testing.T) {
	members(t, 2, func(t *testing.T, m *storetest.Memory, nodes []member) {
		slow, quick := nodes[0], nodes[1]
		begun, release := make(chan struct{}), make(chan struct{})
		slow.SetWorker(hand{
			attempt: func() callback.Attempt {
				close(begun)
				<-release
				return callback.Attempt{Kind: callback.AttemptAnswered, Response: &callback.Response{Status: 500, Body: callback.NewBody([]byte("late"))}}
			},
			deliver: func() callback.Sent { t.Error("delivered twice"); return callback.Sent{OK: true} },
		})
		var attempts atomic.Int64
		quick.SetWorker(hand{
			attempt: func() callback.Attempt {
				attempts.Add(1)
				time.Sleep(5 * time.Second)
				return answers()
			},
			deliver: func() callback.Sent { return callback.Sent{OK: true} },
		})
		cb := slow.deferred(t)
		<-begun
		time.Sleep(5 * time.Second)
		if attempts.Load() != 0 {
			t.Error("work was taken from a node that lives")
		}
		m.GiveUp(slow.shared)
		time.Sleep(2 * sweepEvery)
		close(release)
		time.Sleep(10 * time.Second)
		slow.wantPhase(t, callback.Resolved, cb)
		if r := quick.find(t, cb.ID).Record; attempts.Load() != 1 || r.Answer == nil || string(r.Answer.Body.Data) != "done" {
			t.Errorf("after %d further attempts the answer is %+v", attempts.Load(), r.Answer)
		}
	})
}

// Another node must not end what is under way.
func TestAttemptThatIsUnderWayAtAnotherNodeAtTheExpiryCounts(t *testing.T) {
	members(t, 2, func(t *testing.T, _ *storetest.Memory, nodes []member) {
		nodes[0].SetWorker(hand{
			attempt: func() callback.Attempt { time.Sleep(2 * time.Minute); return answers() },
			deliver: func() callback.Sent { return callback.Sent{OK: true} },
		})
		cb := nodes[0].deferred(t)
		time.Sleep(90 * time.Second)
		nodes[1].wantPhase(t, callback.Waiting, cb)
		time.Sleep(time.Minute)
		nodes[1].wantPhase(t, callback.Resolved, cb)
	})
}

// What a call at one node makes due is done once, wherever it comes.
func TestDeliveryAfterACallAtAnotherNodeIsMadeOnce(t *testing.T) {
	members(t, 3, func(t *testing.T, _ *storetest.Memory, nodes []member) {
		var sent atomic.Int64
		for _, n := range nodes {
			n.SetWorker(hand{deliver: func() callback.Sent {
				sent.Add(1)
				time.Sleep(3 * time.Second)
				return callback.Sent{OK: true}
			}})
		}
		for i := range nodes {
			cb, err := nodes[0].Create(t.Context(), Spec{Policy: nodes[0].policy, Spec: callback.Spec{ExpiresIn: time.Minute, DeliverTo: "https://client.example.com/"}})
			if err != nil {
				t.Fatal(err)
			}
			nodes[i].resolve(t, cb)
		}
		time.Sleep(10 * time.Second)
		if sent.Load() != 3 {
			t.Errorf("3 results were sent %d times", sent.Load())
		}
	})
}
