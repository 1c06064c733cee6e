package engine

import (
	"errors"
	"testing"
	"time"

	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/store"
	"github.com/caddy-callback/caddy-callback/module/store/storetest"
)

// keyedBed is a bed whose callbacks need the key erp or shop.
func keyedBed(t *testing.T) *bed {
	t.Helper()
	return newBed(t, plenty, callback.Policy{Keys: []string{"erp", "shop"}})
}

// given makes a callback whose correlation id comes from a request.
func (b *bed) given(t *testing.T, id string) (*Callback, error) {
	t.Helper()
	return b.Create(t.Context(), Spec{Policy: b.policy, Spec: callback.Spec{ExpiresIn: time.Minute, CorrelationID: id}})
}

func (b *bed) correlate(t *testing.T, cb *Callback, id string) {
	t.Helper()
	r, err := b.Correlate(t.Context(), cb.ID, id)
	if err != nil || r.CorrelationID != id {
		t.Fatalf("%+v, %v", r, err)
	}
}

// fixed is a call to the fixed URL.
func fixed(body string, keys ...string) Incoming {
	return Incoming{Call: &callback.Call{Method: "POST", Body: callback.NewBody([]byte(body)), Caller: callback.Caller{Known: true, Names: keys}}}
}

func (b *bed) wantPhase(t *testing.T, cb *Callback, want callback.Phase) {
	t.Helper()
	if r := b.find(t, cb.ID); r.Phase != want {
		t.Errorf("%s: %s, want %s", r.CorrelationID, r.Phase, want)
	}
}

func TestCorrelationIDOfAnAckWinsOverThatOfARequest(t *testing.T) {
	for _, keys := range [][]string{{"erp"}, {"shop"}, {"shop", "erp"}} {
		b := keyedBed(t)
		asked, err := b.given(t, "job-7")
		if err != nil {
			t.Fatal(err)
		}
		answered := b.create(t)
		b.correlate(t, answered, "job-7")
		for range 2 {
			if v, _, err := b.ReceiveCorrelated(t.Context(), fixed("done", keys...), "job-7"); err != nil || v.Reply == nil {
				t.Fatalf("%+v, %v", v, err)
			}
		}
		b.wantPhase(t, answered, callback.Resolved)
		b.wantPhase(t, asked, callback.Waiting)
		// It is not found when the other has ended, either.
		if v, _, err := b.ReceiveCorrelated(t.Context(), fixed("another", keys...), "job-7"); err != nil || v.Kind != callback.Conflict {
			t.Errorf("%+v, %v", v, err)
		}
		b.wantPhase(t, asked, callback.Waiting)
		if r := b.find(t, asked.ID); r.CorrelationID != "job-7" {
			t.Errorf("it has the id %s", r.CorrelationID)
		}
	}
}

func TestCorrelationIDThatAnAckGaveIsRefusedToARequest(t *testing.T) {
	b := keyedBed(t)
	answered := b.create(t)
	b.correlate(t, answered, "job-7")
	if _, err := b.given(t, "job-7"); !errors.Is(err, store.ErrExists) {
		t.Errorf("a request got it: %v", err)
	}
	if _, err := b.given(t, "job-8"); err != nil {
		t.Error(err)
	}
	if _, err := b.Correlate(t.Context(), b.create(t).ID, "job-7"); !errors.Is(err, store.ErrExists) {
		t.Errorf("another ack got it: %v", err)
	}
}

// A partner can send the id back that it got. It is then the partner's own.
func TestCorrelationIDThatTheAckRepeatsIsFound(t *testing.T) {
	b := keyedBed(t)
	cb := b.create(t)
	b.correlate(t, cb, cb.CorrelationID)
	if v, _, err := b.ReceiveCorrelated(t.Context(), fixed("done", "erp"), cb.CorrelationID); err != nil || v.Kind != callback.Accepted {
		t.Errorf("%+v, %v", v, err)
	}
	b.wantPhase(t, cb, callback.Resolved)
}

func TestCorrelationIDOfAnAckOutlivesTheEngine(t *testing.T) {
	memory := storetest.NewMemory()
	kept := memory.Open()
	b := newBedOn(t, memory.Open(), plenty, callback.Policy{Keys: []string{"erp"}})
	asked, err := b.given(t, "job-7")
	if err != nil {
		t.Fatal(err)
	}
	answered := b.create(t)
	b.correlate(t, answered, "job-7")

	next := newBedOn(t, kept, plenty, callback.Policy{Keys: []string{"erp"}})
	if v, _, err := next.ReceiveCorrelated(t.Context(), fixed("done", "erp"), "job-7"); err != nil || v.Kind != callback.Accepted {
		t.Errorf("%+v, %v", v, err)
	}
	next.wantPhase(t, answered, callback.Resolved)
	next.wantPhase(t, asked, callback.Waiting)
}
