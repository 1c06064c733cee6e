package callback_test

import (
	"testing"
	"time"

	"github.com/caddy-callback/caddy-callback/module/callback"
)

// shortly is a policy by which bodies go before their callback.
func shortly(t testing.TB, p callback.Policy) *callback.Policy {
	t.Helper()
	p.RetainBodies = time.Minute
	return compiled(t, p)
}

const minute = hour / 60

func TestBodiesGoBeforeTheirCallback(t *testing.T) {
	t.Parallel()
	p, multiple := shortly(t, callback.Policy{}), shortly(t, callback.Policy{Multiple: true})
	plain := accept(t, waiting(p), p, newCall("POST", "paid"))
	pending := accept(t, working(p, ""), p, newCall("POST", "paid"))
	delivered := deliver(t, pending, p, 1, callback.Sent{OK: true}, pending.FinishedAt+2*hour)
	dead := deliver(t, pending, p, 1, callback.Sent{Dead: true}, pending.FinishedAt+2*hour)
	again := deliver(t, pending, p, 1, callback.Sent{RetryAt: pending.FinishedAt + hour}, pending.FinishedAt+3)
	parent := waiting(p)
	untold := accept(t, stepOf(p, parent), p, newCall("POST", "paid"))
	told, _ := untold.Tell()
	open := accept(t, waiting(multiple), multiple, newCall("POST", "one"))
	shut, _ := open.Close(multiple, "test", "", open.FinishedAt+9)
	closed, _ := waiting(p).Close(p, "test", "", born)
	asked := newCall("GET", "")
	asked.Query = "paid=yes"
	byQuery := accept(t, waiting(shortly(t, callback.Policy{Methods: []string{"GET"}})), shortly(t, callback.Policy{Methods: []string{"GET"}}), asked)
	const never = callback.Time(0)
	for name, c := range map[string]struct {
		record *callback.Record
		at     callback.Time
	}{
		"accepted":             {plain, plain.FinishedAt + minute},
		"by its query":         {byQuery, byQuery.FinishedAt + minute},
		"to be delivered":      {pending, never},
		"to be sent again":     {again, never},
		"delivered late":       {delivered, pending.FinishedAt + 2*hour + minute},
		"given up":             {dead, pending.FinishedAt + 2*hour + minute},
		"a step that is told":  {told, told.FinishedAt + minute},
		"a step that is not":   {untold, never},
		"takes more":           {open, open.ExpiresAt + minute},
		"shut":                 {shut, open.FinishedAt + 9 + minute},
		"closed, with nothing": {closed, never},
		"waiting":              {waiting(p), never},
	} {
		if c.at == never {
			if r, yes := c.record.StripBodies(born + 20*hour); yes || r != nil {
				t.Errorf("%s: its bodies go", name)
			}
			continue
		}
		before := contents(t, c.record)
		if c.record.Due() != c.at {
			t.Errorf("%s: due at %d, want %d", name, c.record.Due()-born, c.at-born)
		}
		if _, yes := c.record.StripBodies(c.at - 1); yes {
			t.Errorf("%s: its bodies go too early", name)
		}
		r, yes := c.record.StripBodies(c.at)
		if !yes || !r.Stripped() || r.Due() != r.KeepUntil || r.Phase != c.record.Phase || r.KeepUntil != c.record.KeepUntil {
			t.Fatalf("%s: %t, due at %d: %s", name, yes, r.Due()-born, contents(t, r))
		}
		for _, b := range r.Bodies() {
			if b.Size > 0 || b.Data != nil || b.File != "" {
				t.Errorf("%s: a body is left: %+v", name, b)
			}
		}
		if r.Call != nil && r.Call.Query != "" || len(r.Outbox) > 0 {
			t.Errorf("%s: something is left: %s", name, contents(t, r))
		}
		if _, yes := r.StripBodies(c.at + hour); yes || contents(t, c.record) != before {
			t.Errorf("%s: there was something left to remove, or the record handed in was changed", name)
		}
	}
}

func TestBodiesStayAsLongAsTheirCallbackByDefault(t *testing.T) {
	t.Parallel()
	for name, policy := range map[string]callback.Policy{"not said": {}, "the same": {RetainBodies: callback.DefaultRetain}, "longer": {RetainBodies: callback.DefaultRetain + 1}} {
		p := compiled(t, policy)
		r := accept(t, waiting(p), p, newCall("POST", "paid"))
		if _, yes := r.StripBodies(r.KeepUntil - 1); yes || r.Strip != nil || r.Due() != r.KeepUntil {
			t.Errorf("%s: %+v, due at %d", name, r.Strip, r.Due()-born)
		}
	}
}

func TestResultWithoutItsBodyIsGone(t *testing.T) {
	t.Parallel()
	strip := func(r *callback.Record) *callback.Record {
		t.Helper()
		next, yes := r.StripBodies(r.KeepUntil)
		if !yes {
			t.Fatalf("nothing was removed of %s", contents(t, r))
		}
		return next
	}
	p, failedBody, ack := shortly(t, callback.Policy{}), shortly(t, callback.Policy{FailedBody: true}), shortly(t, callback.Policy{AckIsResult: true})
	no := newCall("POST", "no stock", statusHeader, "Failed")
	acked := accept(t, waiting(ack), ack, newCall("POST", "paid"))
	acked, _ = acked.Acknowledge(&callback.Response{Status: 202, Header: callback.Header{{Name: "Set-Cookie", Value: "a=b"}}, Body: callback.NewBody([]byte("ack"))})
	for name, c := range map[string]struct {
		record *callback.Record
		policy *callback.Policy
		gone   bool
	}{
		"a call":                   {strip(accept(t, waiting(p), p, newCall("POST", "paid"))), p, true},
		"an ack":                   {strip(acked), ack, true},
		"a failure's own body":     {strip(accept(t, waiting(failedBody), failedBody, no)), failedBody, true},
		"a failure without a body": {strip(accept(t, waiting(p), p, no)), p, false},
		"not yet":                  {accept(t, waiting(p), p, newCall("POST", "paid")), p, false},
	} {
		if got := c.record.Result(c.policy); got.Gone != c.gone {
			t.Errorf("%s: gone is %t", name, got.Gone)
		}
		if c.record.Ack != nil && c.record.Ack.Header != nil {
			t.Errorf("%s: the header is kept", name)
		}
	}
	// What the partner is told does not change.
	r := strip(accept(t, waiting(p), p, newCall("POST", "paid")))
	if v := receive(r, p, newCall("POST", "paid"), r.FinishedAt+hour); v.Kind != callback.Repeated {
		t.Errorf("the same call again is %v", v.Kind)
	}
	if v := receive(r, p, newCall("POST", "another"), r.FinishedAt+hour); v.Kind != callback.Conflict {
		t.Errorf("another call is %v", v.Kind)
	}
}

// An ack that comes when the bodies are gone goes, too.
func TestAckThatComesAfterTheBodiesWentGoesToo(t *testing.T) {
	t.Parallel()
	p := shortly(t, callback.Policy{AckIsResult: true})
	r := accept(t, waiting(p), p, newCall("POST", "paid"))
	r, _ = r.StripBodies(r.FinishedAt + minute)
	late, _ := r.Acknowledge(&callback.Response{Status: 202, Body: callback.NewBody([]byte("ack"))})
	if late.Due() != r.FinishedAt+minute || !late.Result(p).Gone {
		t.Errorf("due at %d, gone is %t", late.Due()-born, late.Result(p).Gone)
	}
	if again, yes := late.StripBodies(late.Due()); !yes || again.Ack.Body.Size > 0 {
		t.Errorf("the ack is left: %t", yes)
	}
}
