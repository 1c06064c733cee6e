package engine

import (
	"context"
	"errors"
	"strconv"
	"testing"
	"testing/synctest"
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

// early makes a call to the fixed URL, and returns what becomes of it.
func (b *bed) early(t *testing.T, id string, keys ...string) <-chan taken {
	t.Helper()
	c, began := make(chan taken, 1), time.Now()
	go func() {
		v, _, err := b.ReceiveCorrelated(t.Context(), fixed("done", keys...), id)
		c <- taken{v.Kind, err, time.Since(began)}
	}()
	synctest.Wait()
	return c
}

type taken struct {
	kind callback.Kind
	err  error
	took time.Duration
}

func wantStillWaiting(t *testing.T, c <-chan taken) {
	t.Helper()
	synctest.Wait()
	select {
	case o := <-c:
		t.Fatalf("it does not wait: %+v", o)
	default:
	}
}

func wantUnmatched(t *testing.T, c <-chan taken, after time.Duration) {
	t.Helper()
	if o := <-c; !errors.Is(o.err, store.ErrNotFound) || o.took != after {
		t.Errorf("got %+v, want unmatched after %s", o, after)
	}
}

func wantAccepted(t *testing.T, c <-chan taken) {
	t.Helper()
	if o := <-c; o.err != nil || o.kind != callback.Accepted {
		t.Errorf("got %+v", o)
	}
}

// wantNothingEarly checks that nothing is remembered of calls and acks that are over.
func (b *bed) wantNothingEarly(t *testing.T) {
	t.Helper()
	if ea := b.Engine.early; len(ea.lines) > 0 || len(ea.wanted) > 0 {
		t.Errorf("%d lines and %d aliases are left", len(ea.lines), len(ea.wanted))
	}
}

// inTime runs a test in which time passes only while all wait.
func inTime(t *testing.T, test func(t *testing.T, b *bed)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		b := keyedBed(t)
		test(t, b)
		b.wantNothingEarly(t)
	})
}

func TestCallOfNobodyIsAnsweredAtOnceWhereNoAckIsAwaited(t *testing.T) {
	inTime(t, func(t *testing.T, b *bed) {
		b.create(t)
		wantUnmatched(t, b.early(t, "nobody's", "erp"), 0)
		// Another key's ack cannot be the one.
		defer b.ExpectAck(callback.UUID{}, []string{"shop"})()
		wantUnmatched(t, b.early(t, "nobody's", "erp"), 0)
		wantUnmatched(t, b.early(t, "nobody's"), 0)
		defer b.ExpectAck(callback.UUID{}, nil)()
		wantUnmatched(t, b.early(t, "nobody's", "erp"), 0)
	})
}

func TestCallWaitsAsLongAsAnAckIsAwaited(t *testing.T) {
	inTime(t, func(t *testing.T, b *bed) {
		first, second := b.ExpectAck(callback.UUID{}, []string{"erp"}), b.ExpectAck(callback.UUID{}, []string{"erp", "shop"})
		call := b.early(t, "nobody's", "erp")
		time.Sleep(time.Second)
		first()
		wantStillWaiting(t, call)
		time.Sleep(time.Second)
		second()
		second()
		wantUnmatched(t, call, 2*time.Second)
		wantUnmatched(t, b.early(t, "nobody's", "erp"), 0)
	})
}

func TestCallWaitsForTenSecondsAtMost(t *testing.T) {
	inTime(t, func(t *testing.T, b *bed) {
		defer b.ExpectAck(callback.UUID{}, []string{"erp"})()
		wantUnmatched(t, b.early(t, "nobody's", "erp"), earlyFor)
	})
}

// A partner calls only about a request that it has got. Otherwise, under load, some ack
// would always be awaited.
func TestCallWaitsForNoAckOfALaterRequest(t *testing.T) {
	inTime(t, func(t *testing.T, b *bed) {
		before := b.ExpectAck(callback.UUID{}, []string{"erp"})
		call := b.early(t, "nobody's", "erp")
		after := b.ExpectAck(callback.UUID{}, []string{"erp"})
		later := b.early(t, "nobody's", "erp")
		time.Sleep(time.Second)
		before()
		wantUnmatched(t, call, time.Second)
		wantStillWaiting(t, later)
		after()
		wantUnmatched(t, later, time.Second)
	})
}

func TestCallThatOvertakesTheAckIsTakenWhicheverKeyItIs(t *testing.T) {
	for _, key := range []string{"erp", "shop"} {
		inTime(t, func(t *testing.T, b *bed) {
			policy := *b.policy
			policy.Keys = []string{key}
			if err := policy.Compile(); err != nil {
				t.Fatal(err)
			}
			cb, err := b.Create(t.Context(), Spec{Policy: &policy, Spec: callback.Spec{ExpiresIn: time.Minute}})
			if err != nil {
				t.Fatal(err)
			}
			came := b.ExpectAck(callback.UUID{}, []string{key})
			calls := []<-chan taken{b.early(t, "job-7", "erp", "shop")}
			other := b.early(t, "job-8", "shop", "erp")
			wantStillWaiting(t, calls[0])
			b.correlate(t, cb, "job-7")
			wantAccepted(t, calls[0])
			wantStillWaiting(t, other)
			came()
			wantUnmatched(t, other, 0)
		})
	}
}

// The id of our own making is found in another spelling, which the ack can repeat.
func TestCallInAnotherSpellingThatOvertakesTheAckIsTaken(t *testing.T) {
	inTime(t, func(t *testing.T, b *bed) {
		const id, capitals = "0b9f9a4e-1d2c-4c8e-9a36-6a1c5a0f7d11", "0B9F9A4E-1D2C-4C8E-9A36-6A1C5A0F7D11"
		cb := b.create(t)
		defer b.ExpectAck(callback.UUID{}, []string{"erp"})()
		call := b.early(t, capitals, "erp")
		b.correlate(t, cb, id)
		wantAccepted(t, call)
	})
}

// Whoever gives an id while a call waits cannot be meant by it.
func TestCallThatWaitsForAnAckIsNotTakenByARequest(t *testing.T) {
	inTime(t, func(t *testing.T, b *bed) {
		cb := b.create(t)
		came := b.ExpectAck(callback.UUID{}, []string{"erp"})
		call := b.early(t, "job-7", "erp")
		given, err := b.given(t, "job-7")
		if err != nil {
			t.Fatal(err)
		}
		wantStillWaiting(t, call)
		b.correlate(t, cb, "job-7")
		wantAccepted(t, call)
		came()
		b.wantPhase(t, given, callback.Waiting)
	})
}

func TestCallerThatLeavesWaitsNoLonger(t *testing.T) {
	inTime(t, func(t *testing.T, b *bed) {
		defer b.ExpectAck(callback.UUID{}, []string{"erp"})()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, _, err := b.ReceiveCorrelated(ctx, fixed("done", "erp"), "nobody's"); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
	})
}

func TestOnlySoManyCallsOfAKeyWait(t *testing.T) {
	inTime(t, func(t *testing.T, b *bed) {
		came := b.ExpectAck(callback.UUID{}, []string{"erp", "shop"})
		var calls []<-chan taken
		for i := range maxEarly {
			calls = append(calls, b.early(t, strconv.Itoa(i), "erp"))
		}
		for _, keys := range [][]string{{"erp"}, {"erp", "shop"}, {"shop", "erp"}} {
			if o := <-b.early(t, "nobody's", keys...); !errors.Is(o.err, ErrBusy) {
				t.Errorf("one more: %+v", o)
			}
		}
		shop := b.early(t, "nobody's", "shop")
		wantStillWaiting(t, shop)
		came()
		for _, c := range append(calls, shop) {
			wantUnmatched(t, c, 0)
		}
	})
}

func TestCallbackThatTakesNoCallsIsNotFoundAtTheFixedURL(t *testing.T) {
	for name, end := range map[string]func(b *bed, cb *Callback){
		"expired": func(b *bed, _ *Callback) { b.pass(2 * time.Minute) },
		"expired, and noticed": func(b *bed, _ *Callback) {
			b.pass(2 * time.Minute)
			b.sweepOnce(context.Background(), sweepBatch)
		},
		"closed": func(b *bed, cb *Callback) {
			_, _ = b.CloseCallback(context.Background(), store.ByID(cb.ID), "closed", "")
		},
	} {
		t.Run(name, func(t *testing.T) {
			inTime(t, func(t *testing.T, b *bed) {
				for id, byAck := range map[string]bool{"order-1": false, "job-1": true} {
					cb, err := b.given(t, id)
					if byAck {
						cb = b.create(t)
						b.correlate(t, cb, id)
					}
					if err != nil {
						t.Fatal(err)
					}
					end(b, cb)
					wantUnmatched(t, b.early(t, id, "erp"), 0)
					if r := b.find(t, cb.ID); !r.Phase.Final() || r.Call != nil {
						t.Errorf("%s: %+v", id, r)
					}
				}
			})
		})
	}
}

func TestCallIsExpectedIfACallbackOrAnAckMayBeMeant(t *testing.T) {
	b := keyedBed(t)
	if _, err := b.given(t, "order-1"); err != nil {
		t.Fatal(err)
	}
	b.correlate(t, b.create(t), "job-1")
	wantExpected := func(want bool, id string, keys ...string) {
		t.Helper()
		if got := b.Expects(t.Context(), callback.Caller{Names: keys}, id); got != want {
			t.Errorf("%s by %v: %t", id, keys, got)
		}
	}
	for _, id := range []string{"order-1", "job-1"} {
		wantExpected(true, id, "erp")
		wantExpected(true, id, "nobody", "shop")
		wantExpected(false, id, "nobody")
		wantExpected(false, id)
	}
	wantExpected(false, "job-2", "erp")
	came := b.ExpectAck(callback.UUID{}, []string{"shop"})
	wantExpected(false, "job-2", "erp")
	wantExpected(true, "job-2", "erp", "shop")
	came()
	wantExpected(false, "job-2", "erp", "shop")
}

// The holder of two keys can mean two callbacks by one id.
func TestCallbackThatHasEndedHidesNoOtherOfAnotherKey(t *testing.T) {
	inTime(t, func(t *testing.T, b *bed) {
		made := make(map[string]*Callback)
		for _, key := range []string{"erp", "shop"} {
			policy := *b.policy
			policy.Keys = []string{key}
			if err := policy.Compile(); err != nil {
				t.Fatal(err)
			}
			cb, err := b.Create(t.Context(), Spec{Policy: &policy, Spec: callback.Spec{ExpiresIn: time.Minute, CorrelationID: "order-1"}})
			if err != nil {
				t.Fatal(err)
			}
			made[key] = cb
		}
		if _, err := b.CloseCallback(t.Context(), store.ByID(made["erp"].ID), "closed", ""); err != nil {
			t.Fatal(err)
		}
		wantAccepted(t, b.early(t, "order-1", "erp", "shop"))
		b.wantPhase(t, made["shop"], callback.Resolved)
		b.wantPhase(t, made["erp"], callback.Closed)
	})
}
