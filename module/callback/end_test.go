package callback_test

import (
	"testing"
	"time"

	"github.com/caddy-callback/caddy-callback/module/callback"
)

// everyEnd returns callbacks with a delivery that have ended in every possible way, by
// name.
func everyEnd(t testing.TB, p *callback.Policy) map[string]*callback.Record {
	t.Helper()
	r := working(p, "")
	closed, _ := r.Close(p, "test", "", born)
	withdrawn, _ := r.Withdraw(p, "test", true, born)
	return map[string]*callback.Record{
		"resolved": accept(t, r, p, newCall("POST", "paid")), "failed": accept(t, r, p, newCall("POST", "no", failing...)),
		"expired": expire(t, r, p), "closed": closed, "withdrawn": withdrawn,
		"job done":   attempted(t, working(p, callback.ThenBlock), p, callback.ThenBlock, callback.Attempt{Kind: callback.AttemptAnswered, Response: answer(200)}),
		"job failed": attempted(t, working(p, callback.ThenBlock), p, callback.ThenBlock, callback.Attempt{Kind: callback.AttemptFailed, Code: "x"}),
	}
}

func TestWithdrawnCallbackIsClosedWithoutATrace(t *testing.T) {
	for _, keep := range []bool{false, true} {
		p := compiled(t, callback.Policy{Keys: []string{"a"}, Retain: time.Minute})
		r := callback.New(&secret, p, callback.Spec{
			ExpiresIn: lifetime, Idempotency: idempotency, Request: request, Block: callback.CallBlock, DeliverTo: "https://h/", Parent: callback.UUID{1},
		}, born)
		before := contents(t, r)
		next, yes := r.Withdraw(p, "refused", keep, born+5)
		if !yes || next.Phase != callback.Closed || next.Reason != "refused" || next.FinishedAt != born+5 || next.KeepUntil != (born+5).Add(time.Minute) {
			t.Fatalf("got %s", contents(t, next))
		}
		if next.Delivery != nil || next.Untold() || next.Job != nil || next.Request != nil || next.Answer != nil || next.Due() != next.KeepUntil {
			t.Errorf("something is left to do: %s", contents(t, next))
		}
		if (len(next.Aliases) == len(r.Aliases)) != keep || !keep && next.Aliases != nil || contents(t, r) != before {
			t.Errorf("keep is %v: its aliases are %x", keep, next.Aliases)
		}
	}
}

func TestCallbackThatWasCalledOrHasEndedIsNotWithdrawn(t *testing.T) {
	then, p := compiled(t, callback.Policy{Then: true}), compiled(t, callback.Policy{})
	records := everyEnd(t, p)
	records["called"] = called(t, then)
	for name, r := range records {
		if next, yes := r.Withdraw(p, "refused", false, born); yes || next != nil {
			t.Errorf("%s: got %s", name, contents(t, next))
		}
	}
}

func TestProgressDoesNotKeepACallbackFromBeingWithdrawn(t *testing.T) {
	p := compiled(t, callback.Policy{Progress: []callback.Match{{Location: at("header", "X-Step"), Values: []string{"1"}}}})
	v := receive(waiting(p), p, newCall("POST", "", "X-Step", "1"), born)
	if next, yes := v.Next.Withdraw(p, "refused", false, born); !yes || next.Phase != callback.Closed {
		t.Errorf("got %s", contents(t, next))
	}
}

func TestAnswerThatTheClientGotIsKept(t *testing.T) {
	p := compiled(t, callback.Policy{Keys: []string{"a"}})
	withdrawn, _ := keyed(p, idempotency).Withdraw(p, "the upstream answered 404", true, born)
	resolved := accept(t, keyed(p, idempotency), compiled(t, callback.Policy{}), newCall("POST", "paid"))
	for name, r := range map[string]*callback.Record{"withdrawn": withdrawn, "resolved": resolved} {
		before := contents(t, r)
		a := answer(404)
		next, yes := r.Conclude(a)
		if !yes || next.Answer != a || len(next.Aliases) != 2 || next.Phase != r.Phase || contents(t, r) != before {
			t.Fatalf("%s: got %s", name, contents(t, next))
		}
		for _, again := range []*callback.Response{answer(200), nil} {
			if next, yes := next.Conclude(again); yes || next != nil {
				t.Errorf("%s: concluded twice: %s", name, contents(t, next))
			}
		}
		if result := next.Result(p); result.Status != 404 || string(result.Body.Data) != "done" {
			t.Errorf("%s: the result is %s", name, contents(t, result))
		}
		free, yes := r.Conclude(nil)
		if !yes || free.Aliases != nil || free.Answer != nil || contents(t, r) != before {
			t.Errorf("%s: got %s", name, contents(t, free))
		}
		if next, yes := free.Conclude(nil); yes || next != nil {
			t.Errorf("%s: freed twice", name)
		}
	}
	next, _ := withdrawn.Conclude(answer(404))
	if header := next.Result(p).Header; contents(t, header) != contents(t, answer(404).Header) {
		t.Errorf("what was passed on had other headers: %v", header)
	}
	if next, yes := keyed(p, idempotency).Conclude(answer(200)); yes || next != nil {
		t.Error("a callback that waits was concluded")
	}
}

func TestAckIsNotedWhereItIsNotTheResult(t *testing.T) {
	p := compiled(t, callback.Policy{})
	r := waiting(p)
	before := contents(t, r)
	noted, yes := r.Acknowledge(nil)
	if !yes || !noted.Acked || noted.Ack != nil || contents(t, r) != before {
		t.Fatalf("got %s", contents(t, noted))
	}
	if next, yes := noted.Acknowledge(nil); yes || next != nil {
		t.Error("noted twice")
	}
	kept, yes := noted.Acknowledge(ack(202))
	if !yes || kept.Ack == nil || !kept.Acked {
		t.Errorf("got %s", contents(t, kept))
	}
	if next, yes := kept.Acknowledge(nil); yes || next != nil {
		t.Error("an ack that is kept was noted again")
	}
}

func TestWhatTakesManyCallsIsClosedOnlyWhileItTakesThem(t *testing.T) {
	p := compiled(t, callback.Policy{Multiple: true, Once: true, RequireStatus: true})
	called := accept(t, waiting(p), p, newCall("POST", "x", statusHeader, "Ok"))
	before := contents(t, called)
	if next, yes := called.Close(p, "by hand", "", called.ExpiresAt-1); !yes || next.Phase != callback.Resolved || next.Reason != "by hand" || contents(t, called) != before {
		t.Errorf("got %s", contents(t, next))
	}
	if next, yes := waiting(p).Close(p, "by hand", "", born); !yes || next.Phase != callback.Closed || next.KeepUntil != born.Add(p.Retain) {
		t.Errorf("got %s", contents(t, next))
	}
	refusing := receive(waiting(p), p, newCall("POST", "x"), born).Next
	for name, c := range map[string]struct {
		record *callback.Record
		now    callback.Time
	}{
		"its time is over":                 {called, called.ExpiresAt},
		"ended by a call that was refused": {refusing, born},
		"expired":                          {expire(t, waiting(p), p), born},
	} {
		if next, yes := c.record.Close(p, "by hand", "", c.now); yes || next != nil {
			t.Errorf("%s: got %s", name, contents(t, next))
		}
	}
}

func TestClosingACallbackWithWorkEndsTheWork(t *testing.T) {
	p := compiled(t, callback.Policy{Then: true})
	for name, r := range map[string]*callback.Record{"call": working(p, callback.CallBlock), "then": called(t, p)} {
		next, yes := r.Close(p, "by hand", "", born+5)
		if !yes || next.Phase != callback.Closed || next.Job != nil || next.Request != nil || next.Failure != nil {
			t.Errorf("%s: got %s", name, contents(t, next))
		}
	}
}
