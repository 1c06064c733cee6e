package engine

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/store"
)

// later returns a policy that needs a release which does not exist yet.
func later(t *testing.T, p callback.Policy) *callback.Policy {
	t.Helper()
	p.BaseURL = "https://app.example.com"
	if err := p.Compile(); err != nil {
		t.Fatal(err)
	}
	p.Needs = []string{"tomorrow"}
	b, err := p.Encode()
	if err != nil {
		t.Fatal(err)
	}
	decoded, err := callback.DecodePolicy(b)
	if err != nil {
		t.Fatal(err)
	}
	return decoded
}

func TestCallThatOnlyALaterReleaseCanJudgeChangesNothing(t *testing.T) {
	for name, p := range map[string]callback.Policy{
		"one call": {Keys: []string{"erp"}}, "once": {Once: true}, "many calls": {Multiple: true}, "state in the query": {StateQuery: "state"},
		"an app that is asked": {Ask: "/ask"},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBed(t, plenty, callback.Policy{})
			cb, err := b.Create(t.Context(), Spec{Policy: later(t, p), Spec: callback.Spec{ExpiresIn: time.Minute, CorrelationID: "order-4711"}})
			if err != nil {
				t.Fatal(err)
			}
			call := func() *callback.Call {
				return &callback.Call{Method: "POST", Body: callback.NewBody(make([]byte, inlineBody+1)), Caller: callback.Caller{Names: []string{"erp"}}}
			}
			in := Incoming{State: b.store.Secret().State(cb.ID), Parameter: p.StateQuery, Call: call(), Ask: func(context.Context, *Callback, *callback.Call, callback.Fields) *callback.Asked {
				t.Error("the app was asked")
				return nil
			}}
			_, _, admitted := b.Admit(t.Context(), in)
			_, _, received := b.Receive(t.Context(), in)
			_, resolved := b.Resolve(t.Context(), cb.ID, call(), nil)
			for how, err := range map[string]error{"admitted": admitted, "received": received, "resolved": resolved} {
				if !errors.Is(err, callback.ErrNeeds) {
					t.Errorf("%s: %v", how, err)
				}
			}
			if len(p.Keys) > 0 {
				in.Fixed = true
				if _, _, err := b.ReceiveCorrelated(t.Context(), in, "order-4711"); !errors.Is(err, callback.ErrNeeds) {
					t.Errorf("at the fixed URL: %v", err)
				}
			}
			r := b.find(t, cb.ID)
			if r.Phase != callback.Waiting || r.Calls != 0 || r.Call != nil {
				t.Errorf("the callback is %s after %d calls", r.Phase, r.Calls)
			}
			b.pass(time.Minute)
			b.sweepOnce(t.Context(), sweepBatch)
			if r := b.find(t, cb.ID); r.Phase != callback.Expired {
				t.Errorf("after its time the callback is %s", r.Phase)
			}
		})
	}
}

func TestCallbackThatOnlyALaterReleaseCanJudgeIsShownAndClosed(t *testing.T) {
	b := newBed(t, plenty, callback.Policy{})
	cb, err := b.Create(t.Context(), Spec{Policy: later(t, callback.Policy{}), Spec: callback.Spec{ExpiresIn: time.Minute}})
	if err != nil {
		t.Fatal(err)
	}
	page, _, err := b.List(t.Context(), store.Query{})
	if err != nil || len(page) != 1 || page[0].URL() != cb.URL() {
		t.Errorf("%v, %v", page, err)
	}
	if r, err := b.CloseCallback(t.Context(), store.ByID(cb.ID), "not needed", ""); err != nil || r.Phase != callback.Closed {
		t.Errorf("%+v, %v", r, err)
	}
}
