package engine

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/store"
	"github.com/caddy-callback/caddy-callback/module/store/storetest"
)

func (b *bed) purgeNow(t *testing.T, id callback.UUID) {
	t.Helper()
	if err := b.Purge(t.Context(), store.ByID(id), "by hand"); err != nil {
		t.Fatal(err)
	}
	b.wantGone(t, id)
}

// wantGone checks that there is no such callback, and that it does not come back.
func (b *bed) wantGone(t *testing.T, id callback.UUID) {
	t.Helper()
	if _, err := b.Find(t.Context(), store.ByID(id)); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("the callback is there: %v", err)
	}
	if err := b.Purge(t.Context(), store.ByID(id), "again"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("it is removed again: %v", err)
	}
}

func TestPurgeTellsWhoeverWaitsThatTheCallbackIsClosed(t *testing.T) {
	b := newBed(t, plenty, callback.Policy{})
	cb := b.create(t)
	held, durable := b.await(t, cb, false), b.await(t, cb, true)
	watching, err := b.AwaitChange(cb.ID)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(watching.Stop)
	b.purgeNow(t, cb.ID)
	for name, w := range map[string]*Waiter{"held": held, "durable": durable, "watching": watching} {
		if r := told(t, w); r.Phase != callback.Closed || r.Reason != "by hand" {
			t.Errorf("%s: told of %s because %s", name, r.Phase, r.Reason)
		}
	}
	if _, err := b.tryCall(t.Context(), cb, "too late"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("a call gets %v", err)
	}
	if n := b.Waiting(); n != 0 {
		t.Errorf("%d wait", n)
	}
}

// Work that is under way goes on, and its outcome is dropped with the bodies in it.
func TestWorkThatIsUnderWayDoesNotBringAPurgedCallbackBack(t *testing.T) {
	b := newBed(t, plenty, callback.Policy{})
	for name, c := range map[string]struct {
		ends bool
		kind callback.AttemptKind
	}{"answered": {true, callback.AttemptAnswered}, "to be tried again": {false, callback.AttemptRetry}, "failed": {true, callback.AttemptFailed}, "acked": {false, callback.AttemptAcked}} {
		cb := b.deferred(t)
		large := make([]byte, 2*inlineBody)
		if !b.work(t.Context(), hand{attempt: func() callback.Attempt {
			b.purgeNow(t, cb.ID)
			return callback.Attempt{Kind: c.kind, Response: &callback.Response{Status: 200, Body: callback.NewBody(large)}, RetryAt: callback.At(b.Now())}
		}}, cb.ID) {
			t.Errorf("%s: the work is taken for one that could not be recorded", name)
		}
		b.wantGone(t, cb.ID)
	}
	for name, sent := range map[string]callback.Sent{"delivered": {OK: true}, "to be sent again": {RetryAt: callback.At(b.Now())}, "given up": {Dead: true}} {
		cb := b.deferred(t)
		b.work(t.Context(), hand{attempt: answers}, cb.ID)
		if !b.work(t.Context(), hand{deliver: func() callback.Sent { b.purgeNow(t, cb.ID); return sent }}, cb.ID) {
			t.Errorf("%s: the delivery is taken for one that could not be recorded", name)
		}
		b.wantGone(t, cb.ID)
	}
	if b.unrecorded.Load() {
		t.Error("work is held up")
	}
}

// The callback that waits for a step hears of its end before the step is gone.
func TestParentIsToldOfAPurgedStep(t *testing.T) {
	b := newBed(t, plenty, callback.Policy{})
	for name, end := range map[string]func(step *Callback){
		"waits": func(*Callback) {}, "was called": func(step *Callback) { b.call(t, step, "an answer") },
	} {
		parent := b.deferred(t)
		step, err := b.Create(t.Context(), Spec{Policy: b.policy, Spec: callback.Spec{ExpiresIn: time.Minute, Parent: parent.ID}})
		if err != nil {
			t.Fatal(err)
		}
		b.work(t.Context(), hand{attempt: func() callback.Attempt {
			return callback.Attempt{Kind: callback.AttemptContinued, Step: step.ID}
		}}, parent.ID)
		end(step)
		b.purgeNow(t, step.ID)
		want := callback.Failed
		if name == "was called" {
			want = callback.Resolved
		}
		if r := b.find(t, parent.ID); r.Phase != want {
			t.Errorf("%s: the parent is %s", name, r.Phase)
		}
	}
}

// A step whose parent is gone has nobody to tell.
func TestStepOfAPurgedCallbackEndsByItself(t *testing.T) {
	b := newBed(t, plenty, callback.Policy{})
	parent := b.deferred(t)
	step, err := b.Create(t.Context(), Spec{Policy: b.policy, Spec: callback.Spec{ExpiresIn: time.Minute, Parent: parent.ID}})
	if err != nil {
		t.Fatal(err)
	}
	b.purgeNow(t, parent.ID)
	b.call(t, step, "an answer")
	b.purgeNow(t, step.ID)
	b.wantGone(t, parent.ID)
}

func TestPurgeIsCommittedAlthoughItsClientHasLeft(t *testing.T) {
	b := newBed(t, plenty, callback.Policy{})
	cb := b.create(t)
	over, cancel := context.WithCancel(t.Context())
	cancel()
	if err := b.Purge(over, store.ByID(cb.ID), "by hand"); err != nil {
		t.Error(err)
	}
	b.wantGone(t, cb.ID)
}

func TestResultWhoseBodyIsGoneIsNotDeliveredAgain(t *testing.T) {
	b := newBed(t, plenty, callback.Policy{RetainBodies: time.Minute})
	cb := b.deferred(t)
	work := func(h hand) {
		t.Helper()
		l, id, ok := b.lanes.take(2)
		if !ok || !b.work(t.Context(), h, id) {
			t.Fatal("there is no work, or it is not recorded")
		}
		b.lanes.done(l, id)
	}
	delivers := hand{deliver: func() callback.Sent { return callback.Sent{OK: true} }}
	work(hand{attempt: answers})
	b.offerNewest(t.Context(), cb.ID)
	work(delivers)
	if begun, err := b.Redeliver(t.Context(), store.ByID(cb.ID), ""); !begun || err != nil {
		t.Fatalf("with its body: %t, %v", begun, err)
	}
	work(delivers)
	watching, err := b.AwaitChange(cb.ID)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(watching.Stop)
	b.pass(time.Minute)
	b.sweepOnce(t.Context(), sweepBatch)
	// The watcher may have been told of what came before, and then reads the newest record.
	told(t, watching)
	if !b.find(t, cb.ID).Stripped() {
		t.Error("its body was not removed")
	}
	if begun, err := b.Redeliver(t.Context(), store.ByID(cb.ID), ""); begun || !errors.Is(err, ErrGone) {
		t.Errorf("without its body: %t, %v", begun, err)
	}
	if r := b.find(t, cb.ID); r.Delivery.Done != r.Delivery.Total {
		t.Errorf("the delivery is %+v", r.Delivery)
	}
}

// The step's own work tells its parent, too, and may be faster.
func TestStepIsPurgedWhileItsParentIsTold(t *testing.T) {
	members(t, 2, func(t *testing.T, _ *storetest.Memory, nodes []member) {
		a := nodes[0]
		a.SetWorker(hand{attempt: answers})
		for range 100 {
			step, err := a.Create(t.Context(), Spec{Policy: a.policy, Spec: callback.Spec{ExpiresIn: time.Minute, Parent: callback.NewUUID()}})
			if err != nil {
				t.Fatal(err)
			}
			if err := a.Purge(t.Context(), store.ByID(step.ID), "by hand"); err != nil {
				t.Fatal(err)
			}
		}
	})
}
