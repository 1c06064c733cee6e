package engine

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/store"
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

// without is a worker whose configuration does not have the route of any job.
type without struct{ hand }

func (without) CanAttempt(*callback.Record) bool { return false }

func (without) CanDeliver(*callback.Record) bool { return false }

// A node that has other rules must neither send a result by them nor use its attempts up.
func TestDeliveryIsLeftToANodeThatKnowsItsRules(t *testing.T) {
	members(t, 3, func(t *testing.T, _ *storetest.Memory, nodes []member) {
		var sent, lost atomic.Int64
		other := without{hand{deliver: func() callback.Sent { lost.Add(1); return callback.Sent{OK: true} }}}
		nodes[0].SetWorker(other)
		nodes[1].SetWorker(other)
		nodes[2].SetWorker(hand{deliver: func() callback.Sent { sent.Add(1); return callback.Sent{OK: true} }})
		deliver := func() {
			for i := range nodes {
				cb, err := nodes[0].Create(t.Context(), Spec{Policy: nodes[0].policy, Spec: callback.Spec{ExpiresIn: time.Minute, DeliverTo: "https://client.example.com/"}})
				if err != nil {
					t.Fatal(err)
				}
				nodes[i].resolve(t, cb)
			}
		}
		deliver()
		time.Sleep(3 * time.Second)
		if sent.Load() != 3 || lost.Load() != 0 {
			t.Errorf("3 results were sent %d times, and %d times by a node with other rules", sent.Load(), lost.Load())
		}
		// If all have other rules, those count in the end.
		nodes[2].SetWorker(other)
		deliver()
		time.Sleep(rollout - time.Second)
		if lost.Load() != 0 {
			t.Errorf("%d results were sent before the rollout was over", lost.Load())
		}
		time.Sleep(3 * time.Second)
		if lost.Load() != 3 {
			t.Errorf("%d results were sent when the rollout was over", lost.Load())
		}
	})
}

// While the configuration of the nodes is changed one after the other, only some of them know
// a route.
func TestJobIsLeftToANodeThatKnowsItsRoute(t *testing.T) {
	members(t, 3, func(t *testing.T, _ *storetest.Memory, nodes []member) {
		wrong := without{hand{attempt: func() callback.Attempt {
			t.Error("a node without the route has tried the job")
			return answers()
		}}}
		nodes[0].SetWorker(wrong)
		nodes[1].SetWorker(wrong)
		created := nodes[0].deferred(t)
		var attempts atomic.Int64
		nodes[2].SetWorker(counting(&attempts))
		time.Sleep(5 * time.Second)
		nodes[1].wantPhase(t, callback.Resolved, created)

		// A node whose route is taken away while the job is queued leaves it to the others.
		nodes[2].SetWorker(nil)
		time.Sleep(time.Millisecond)
		nodes[1].SetWorker(hand{attempt: func() callback.Attempt {
			return callback.Attempt{Kind: callback.AttemptRetry, RetryAt: callback.At(time.Now().Add(3 * time.Second))}
		}})
		moved := nodes[1].deferred(t)
		time.Sleep(time.Second)
		nodes[1].SetWorker(wrong)
		nodes[2].SetWorker(counting(&attempts))
		time.Sleep(10 * time.Second)
		nodes[0].wantPhase(t, callback.Resolved, moved)
		if attempts.Load() != 2 {
			t.Errorf("2 jobs were tried %d times", attempts.Load())
		}
	})
}

func TestJobWhoseRouteNoNodeKnowsFailsAfterTheRollout(t *testing.T) {
	members(t, 2, func(t *testing.T, _ *storetest.Memory, nodes []member) {
		gone := without{hand{
			attempt: func() callback.Attempt { return callback.Attempt{Kind: callback.AttemptFailed, Code: "route-gone"} },
			deliver: func() callback.Sent { return callback.Sent{OK: true} },
		}}
		nodes[0].SetWorker(gone)
		nodes[1].SetWorker(gone)
		cb, err := nodes[0].Create(t.Context(), Spec{Policy: nodes[0].policy, Spec: callback.Spec{ExpiresIn: time.Hour, Block: callback.ThenBlock, Request: &callback.Request{Method: "POST"}}})
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(rollout - time.Second)
		nodes[1].wantPhase(t, callback.Waiting, cb)
		time.Sleep(3 * time.Second)
		nodes[1].wantPhase(t, callback.Failed, cb)
	})
}

func TestCallbacksAreForgottenManyAtOnce(t *testing.T) {
	membersWith(t, 2, callback.Policy{Retain: 2 * time.Minute}, func(t *testing.T, _ *storetest.Memory, nodes []member) {
		for range 3 * sweepBatch / 2 {
			nodes[0].resolve(t, nodes[0].create(t))
		}
		kept := nodes[1].create(t)
		time.Sleep(time.Minute)
		if page, _, err := nodes[0].List(t.Context(), store.Query{}); err != nil || len(page) == 0 {
			t.Errorf("before their time %d are left, %v", len(page), err)
		}
		time.Sleep(90 * time.Second)
		page, _, err := nodes[1].List(t.Context(), store.Query{Limit: store.MaxPageSize})
		if err != nil || len(page) != 1 || page[0].ID != kept.ID {
			t.Errorf("%d are left, %v", len(page), err)
		}
	})
}
