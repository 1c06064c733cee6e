package engine

import (
	"context"
	"testing"
	"time"

	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/store"
)

// hand is a worker that does what the test says.
type hand struct {
	attempt func() callback.Attempt
	deliver func() callback.Sent
}

func (hand) CanAttempt(*callback.Record) bool { return true }

func (hand) CanDeliver(*callback.Record) bool { return true }

func (h hand) Attempt(context.Context, *Callback) callback.Attempt { return h.attempt() }

func (h hand) Deliver(context.Context, *Callback, int) callback.Sent { return h.deliver() }

// answers returns the outcome of an attempt that got the result.
func answers() callback.Attempt {
	return callback.Attempt{Kind: callback.AttemptAnswered, Response: &callback.Response{Status: 200, Body: callback.NewBody([]byte("done"))}}
}

// deferred makes a callback with background work.
func (b *bed) deferred(t *testing.T) *Callback {
	t.Helper()
	cb, err := b.Create(t.Context(), Spec{Policy: b.policy, Spec: callback.Spec{
		ExpiresIn: time.Minute, Block: callback.ThenBlock, Request: &callback.Request{Method: "POST"},
		DeliverTo: "https://client.example.com/",
	}})
	if err != nil {
		t.Fatal(err)
	}
	return cb
}

func (b *bed) find(t *testing.T, id callback.UUID) *Callback {
	t.Helper()
	cb, err := b.Find(t.Context(), store.ByID(id))
	if err != nil {
		t.Fatal(err)
	}
	return cb
}

func TestWorkThatCannotBeRecordedIsNotDoneOverAndOver(t *testing.T) {
	b := newBed(t, plenty, callback.Policy{})
	cb := b.deferred(t)
	attempts := 0
	worker := hand{attempt: func() callback.Attempt { attempts++; return answers() }}
	b.store.full.Store(true)
	for range 5 {
		if b.work(t.Context(), worker, cb.ID) {
			t.Error("the work was recorded")
		}
	}
	if attempts != 1 {
		t.Errorf("it was done %d times", attempts)
	}
	b.store.full.Store(false)
	if !b.work(t.Context(), worker, cb.ID) || attempts != 2 || b.find(t, cb.ID).Phase != callback.Resolved {
		t.Errorf("with room again it was done %d times, and the callback is %s", attempts, b.find(t, cb.ID).Phase)
	}
}

func TestWorkOfAnExpiredCallbackIsNotBegun(t *testing.T) {
	b := newBed(t, plenty, callback.Policy{})
	cb := b.deferred(t)
	b.pass(time.Minute)
	// It is taken only after the callback has expired.
	l, id, _ := b.lanes.take(2)
	b.work(t.Context(), hand{attempt: func() callback.Attempt {
		t.Error("an attempt was made")
		return answers()
	}}, id)
	b.lanes.done(l, id)
	b.sweepOnce(t.Context(), sweepBatch)
	if phase := b.find(t, cb.ID).Phase; phase != callback.Failed {
		t.Errorf("the callback is %s", phase)
	}
}

func TestAttemptThatIsUnderWayAtTheExpiryCounts(t *testing.T) {
	b := newBed(t, Limits{MaxMemory: 64 << 20, MaxWaiting: 1000, MaxHeld: 1000, Concurrency: 2}, callback.Policy{})
	begun, release := make(chan struct{}), make(chan struct{})
	b.SetWorker(hand{
		attempt: func() callback.Attempt { close(begun); <-release; return answers() },
		deliver: func() callback.Sent { return callback.Sent{OK: true} },
	})
	cb := b.deferred(t)
	w := b.await(t, cb, true)
	defer w.Stop()
	<-begun
	b.pass(2 * time.Minute)
	b.sweepOnce(t.Context(), sweepBatch)
	if phase := b.find(t, cb.ID).Phase; phase != callback.Waiting {
		t.Errorf("while the attempt is under way the callback is %s", phase)
	}
	close(release)
	if r := told(t, w); r.Phase != callback.Resolved {
		t.Errorf("the callback is %s", r.Phase)
	}
}

func TestRedeliveryIsNotUndoneByTheAttemptBeforeIt(t *testing.T) {
	b := newBed(t, plenty, callback.Policy{})
	cb := b.deferred(t)
	sent := callback.Sent{Dead: true, Error: "gone"}
	deliveries := 0
	worker := hand{attempt: answers, deliver: func() callback.Sent {
		if deliveries++; deliveries == 1 {
			if begun, err := b.Redeliver(t.Context(), store.ByID(cb.ID), ""); !begun || err != nil {
				t.Errorf("redeliver: %v, %v", begun, err)
			}
		}
		return sent
	}}
	b.work(t.Context(), worker, cb.ID)
	b.work(t.Context(), worker, cb.ID)
	if d := b.find(t, cb.ID).Delivery; d.Dead || d.Attempts != 0 {
		t.Errorf("the delivery that was begun anew is %+v", d)
	}
	b.work(t.Context(), worker, cb.ID)
	if d := b.find(t, cb.ID).Delivery; !d.Dead || d.Attempts != 1 || deliveries != 2 {
		t.Errorf("after %d attempts the delivery is %+v", deliveries, d)
	}
}

// Nobody would call again if the answer to a poll was lost after the client had it, so the
// next answer could be another one.
func TestClientIsToldOfAnAnswerToAPollWhenItIsCommitted(t *testing.T) {
	b := newBed(t, plenty, callback.Policy{})
	cb := b.create(t)
	if _, err := b.BeginPolling(t.Context(), cb.ID, callback.Job{Block: callback.PollBlock, NextAt: callback.At(b.Engine.now())}); err != nil {
		t.Fatal(err)
	}
	waiter, err := b.Await(cb.ID, false)
	if err != nil {
		t.Fatal(err)
	}
	defer waiter.Stop()
	release := b.store.hold()
	answered, recorded := make(chan struct{}), make(chan bool)
	go func() {
		recorded <- b.work(t.Context(), hand{attempt: func() callback.Attempt {
			return callback.Attempt{Kind: callback.AttemptPolled, Call: &callback.Call{Method: "GET"}, Done: func() { close(answered) }}
		}}, cb.ID)
	}()
	eventually(t, "the answer", func() bool { return b.find(t, cb.ID).Phase == callback.Resolved })
	select {
	case <-waiter.C:
		t.Error("the client was told before")
	case <-answered:
		t.Error("the work was over before")
	default:
	}
	release()
	if !<-recorded {
		t.Error("the answer was not recorded")
	}
	if n := <-waiter.C; n.Record.Phase != callback.Resolved {
		t.Errorf("the client was told of %s", n.Record.Phase)
	}
}
