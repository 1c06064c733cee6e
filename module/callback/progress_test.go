package callback_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/caddy-callback/caddy-callback/module/callback"
)

// reporting returns a policy by which calls with the step 1 are progress, and are delivered.
func reporting(t testing.TB, p callback.Policy) *callback.Policy {
	t.Helper()
	p.Progress = []callback.Match{{Location: at("header", "X-Step"), Values: []string{"1"}}}
	p.Shape = &callback.Shape{Progress: true}
	return compiled(t, p)
}

// reports returns the record after a call that is progress.
func reports(t testing.TB, r *callback.Record, p *callback.Policy, body string, lines ...string) *callback.Record {
	t.Helper()
	before := contents(t, r)
	c := newCall("POST", body, append([]string{"X-Step", "1"}, lines...)...)
	v := receive(r, p, c, c.ReceivedAt)
	if v.Kind != callback.Progressed || v.Next == nil || contents(t, r) != before {
		t.Fatalf("progress gets %+v", v)
	}
	return v.Next
}

func TestProgressIsDeliveredInOrderBeforeTheResult(t *testing.T) {
	p := reporting(t, callback.Policy{})
	r := working(p, callback.CallBlock)
	r = reports(t, reports(t, r, p, "10%"), p, "20%")
	if r.Delivery.Total != 2 || r.Due() != born {
		t.Errorf("due at %d with %+v", r.Due(), r.Delivery)
	}
	toDeliver(t, r, 1, "10%")
	parcel, _, _ := r.ToDeliver()
	result := parcel.DeliveredResult(p)
	if parcel.Phase != callback.Waiting || result.Status != 202 || result.Header.Get(statusHeader) != "" || result.Header.Get(correlationHeader) != correlation {
		t.Errorf("%s is delivered as %+v", parcel.Phase, result)
	}
	at := r.Latest.ReceivedAt
	if r = attempted(t, r, p, callback.CallBlock, callback.Attempt{Kind: callback.AttemptAcked}); r.Due() != at {
		t.Errorf("due at %d", r.Due())
	}
	r = deliver(t, r, p, 1, callback.Sent{OK: true}, at)
	toDeliver(t, r, 2, "20%")
	r = accept(t, r, p, newCall("POST", "done"))
	toDeliver(t, r, 2, "20%")
	r = deliver(t, r, p, 2, callback.Sent{OK: true}, at)
	toDeliver(t, r, 3, "done")
	r = deliver(t, r, p, 3, callback.Sent{OK: true}, at)
	toDeliver(t, r, 0, "")
	if r, _ = r.Redeliver("", at); r == nil {
		t.Fatal("the result is not delivered anew")
	}
	toDeliver(t, r, 3, "done")
}

func TestProgressIsDeliveredOnlyWhereThatIsConfigured(t *testing.T) {
	silent := compiled(t, callback.Policy{Progress: []callback.Match{{Location: at("header", "X-Step"), Values: []string{"1"}}}})
	p := reporting(t, callback.Policy{Ask: "/decide"})
	handshake := newCall("POST", "hello")
	handshake.Asked = &callback.Asked{KeepWaiting: true}
	v := receive(working(p, ""), p, handshake, handshake.ReceivedAt)
	if v.Kind != callback.Progressed {
		t.Fatalf("a handshake gets %+v", v)
	}
	for name, r := range map[string]*callback.Record{
		"off": reports(t, working(silent, ""), silent, "10%"), "no URL": reports(t, waiting(silent), silent, "10%"), "a handshake": v.Next,
	} {
		if toDeliver(t, r, 0, ""); r.Due() != r.ExpiresAt || len(r.Outbox) != 0 {
			t.Errorf("%s: got %s", name, contents(t, r))
		}
	}
}

func TestProgressThatIsReportedAgainIsDeliveredOnce(t *testing.T) {
	p := reporting(t, callback.Policy{})
	r := reports(t, working(p, ""), p, "10%", "Webhook-Id", "m1")
	again := newCall("POST", "10%", "X-Step", "1", "Webhook-Id", "m1")
	if v := receive(r, p, again, again.ReceivedAt); v.Kind != callback.Repeated || v.Next != nil {
		t.Errorf("a repeat gets %+v", v)
	}
	if r.Delivery.Total != 1 {
		t.Errorf("got %+v", r.Delivery)
	}
}

// A result waits for no progress that cannot be delivered.
func TestProgressHoldsNoResultUp(t *testing.T) {
	p := reporting(t, callback.Policy{})
	r := reports(t, reports(t, working(p, ""), p, "10%"), p, "20%")
	late := born.Add(time.Hour / 2)
	r = deliver(t, r, p, 1, callback.Sent{RetryAt: late, Error: "busy"}, born)
	if toDeliver(t, r, 1, "10%"); r.Delivery.NextAt != late || r.Delivery.Attempts != 1 {
		t.Errorf("got %+v", r.Delivery)
	}
	r = accept(t, r, p, newCall("POST", "done"))
	now := r.FinishedAt
	if toDeliver(t, r, 1, "10%"); r.Delivery.NextAt != now || r.Due() != now {
		t.Errorf("the result waits until %d", r.Delivery.NextAt)
	}
	// Nobody may deliver at the moment: that is no attempt.
	waits := deliver(t, r, p, 1, callback.Sent{Waits: true, RetryAt: late}, now)
	toDeliver(t, waits, 1, "10%")
	for name, sent := range map[string]callback.Sent{"failed": {RetryAt: late, Status: 503}, "gone": {Dead: true, Status: 410}} {
		next := deliver(t, r, p, 1, sent, now)
		toDeliver(t, next, 3, "done")
		if d := next.Delivery; d.NextAt != now || d.Attempts != 0 || d.Dead || d.Status != sent.Status || len(next.Outbox) != 0 || !r.GivesUp(sent) {
			t.Errorf("%s: got %+v", name, d)
		}
		next = deliver(t, next, p, 3, callback.Sent{Dead: true}, now)
		if toDeliver(t, next, 0, ""); !next.Delivery.Dead {
			t.Errorf("%s: got %+v", name, next.Delivery)
		}
	}
}

func TestProgressThatIsGivenUpIsLeftOut(t *testing.T) {
	p := reporting(t, callback.Policy{})
	r := reports(t, reports(t, working(p, ""), p, "10%"), p, "20%")
	r = deliver(t, r, p, 1, callback.Sent{Dead: true, Status: 410}, born)
	if toDeliver(t, r, 2, "20%"); r.Delivery.Dead || r.Delivery.NextAt != born || r.Delivery.Attempts != 0 {
		t.Errorf("got %+v", r.Delivery)
	}
	r = deliver(t, r, p, 2, callback.Sent{Dead: true}, born)
	if toDeliver(t, r, 0, ""); r.Due() != r.ExpiresAt {
		t.Errorf("due at %d", r.Due())
	}
	toDeliver(t, accept(t, r, p, newCall("POST", "done")), 3, "done")
}

func TestEndWithoutACallIsDeliveredAfterTheProgress(t *testing.T) {
	p := reporting(t, callback.Policy{})
	r := reports(t, working(p, callback.ThenBlock), p, "10%")
	closed, _ := r.Close(p, "test", "", born)
	for name, ended := range map[string]*callback.Record{
		"expired": expire(t, r, p), "closed": closed,
		"answered": attempted(t, r, p, callback.ThenBlock, callback.Attempt{Kind: callback.AttemptAnswered, Response: answer(200)}),
	} {
		toDeliver(t, ended, 1, "10%")
		parcel, _, _ := ended.ToDeliver()
		if result := parcel.DeliveredResult(p); parcel.AsClientSees().Phase != callback.Waiting || string(result.Body.Data) != "10%" {
			t.Errorf("%s: %+v", name, result)
		}
		result, number, pending := deliver(t, ended, p, 1, callback.Sent{OK: true}, born).ToDeliver()
		if !pending || number != 2 || result.Phase != ended.Phase {
			t.Errorf("%s: number %d, %v", name, number, pending)
		}
	}
	withdrawn, _ := r.Withdraw(p, "test", false, born)
	purged, _ := r.Purge("test", born)
	for name, gone := range map[string]*callback.Record{"withdrawn": withdrawn, "purged": purged} {
		if gone.Delivery != nil || len(gone.Outbox) != 0 {
			t.Errorf("%s: got %s", name, contents(t, gone))
		}
	}
}

func TestProgressBetweenManyResultsKeepsItsPlace(t *testing.T) {
	p := reporting(t, callback.Policy{Multiple: true})
	r := accept(t, reports(t, working(p, ""), p, "a"), p, newCall("POST", "1"))
	r = accept(t, reports(t, reports(t, r, p, "b"), p, "c"), p, newCall("POST", "2"))
	// What fails is given up as far as a result waits behind it, and results are not.
	r = deliver(t, r, p, 1, callback.Sent{RetryAt: born}, born)
	toDeliver(t, r, 2, "1")
	r = deliver(t, r, p, 2, callback.Sent{RetryAt: born}, born)
	toDeliver(t, r, 2, "1")
	for i, body := range []string{"1", "b", "c", "2"} {
		toDeliver(t, r, i+2, body)
		r = deliver(t, r, p, i+2, callback.Sent{OK: true}, born)
	}
	r = reports(t, r, p, "d")
	toDeliver(t, r, 6, "d")
	r = deliver(t, r, p, 6, callback.Sent{OK: true}, born)
	// The result is delivered anew under its own number, whatever has come after it.
	r, _ = r.Redeliver("", born)
	toDeliver(t, r, 5, "2")
	r = reports(t, r, p, "e")
	toDeliver(t, r, 5, "2")
	r = deliver(t, r, p, 5, callback.Sent{OK: true}, born)
	toDeliver(t, r, 7, "e")
	r = accept(t, deliver(t, r, p, 7, callback.Sent{OK: true}, born), p, newCall("POST", "3"))
	toDeliver(t, r, 8, "3")
	// Behind a dead letter there is no progress, and the next result begins anew.
	r = reports(t, deliver(t, r, p, 8, callback.Sent{Dead: true, Round: 1}, born), p, "f")
	toDeliver(t, r, 0, "")
	toDeliver(t, accept(t, r, p, newCall("POST", "4")), 9, "4")
}

func TestProgressThatWaitsIsBounded(t *testing.T) {
	p := reporting(t, callback.Policy{})
	many, large := working(p, ""), working(p, "")
	for i := range 1000 {
		many = reports(t, many, p, fmt.Sprint(i))
	}
	for range 3 {
		c := inFile(21<<20, "X-Step", "1")
		large = receive(large, p, c, c.ReceivedAt).Next
	}
	for name, c := range map[string]struct {
		r    *callback.Record
		next *callback.Call
	}{"many": {many, newCall("POST", "1001", "X-Step", "1")}, "large": {large, inFile(21<<20, "X-Step", "1")}} {
		c.r = deliver(t, c.r, p, 1, callback.Sent{RetryAt: c.next.ReceivedAt + 5000}, born)
		if v := receive(c.r, p, c.next, c.next.ReceivedAt); v.Kind != callback.Backlogged || v.Next != nil || v.RetryAfter != 5*time.Second {
			t.Errorf("%s: %+v", name, v)
		}
		// The answer always has room.
		if r := accept(t, c.r, p, inFile(21<<20)); r.Delivery.Total != len(r.Outbox)+1 {
			t.Errorf("%s: got %+v", name, r.Delivery)
		}
	}
}

func TestPolicyThatDeliversProgressNeedsAReleaseThatCan(t *testing.T) {
	t.Parallel()
	if p := reporting(t, callback.Policy{}); !slices.Contains(p.Needs, "deliver progress") || p.CanJudge() != nil {
		t.Errorf("needs %v, %v", p.Needs, p.CanJudge())
	}
	if p := compiled(t, callback.Policy{Shape: &callback.Shape{Method: "PUT"}}); len(p.Needs) > 0 {
		t.Errorf("needs %v", p.Needs)
	}
}

// Another server may deliver progress to a callback URL: that is no answer.
func TestDeliveredProgressIsProgress(t *testing.T) {
	p := compiled(t, callback.Policy{RequireStatus: true})
	const resultStatus = "X-Link-Result-Status"
	for name, c := range map[string]struct {
		call *callback.Call
		kind callback.Kind
	}{
		"progress":         {newCall("POST", "10%", resultStatus, "202"), callback.Progressed},
		"result":           {newCall("POST", "done", resultStatus, "202", statusHeader, "Ok"), callback.Accepted},
		"failure":          {newCall("POST", "no", resultStatus, "424", statusHeader, "Failed"), callback.Accepted},
		"no delivery":      {newCall("POST", "done"), callback.Refused},
		"some other value": {newCall("POST", "done", resultStatus, "2xx"), callback.Refused},
	} {
		if v := receive(working(p, ""), p, c.call, c.call.ReceivedAt); v.Kind != c.kind {
			t.Errorf("%s: %+v", name, v)
		}
	}
	failed := newCall("POST", "10%", resultStatus, "202")
	failed.Suffix = callback.SuffixFailed
	p = compiled(t, callback.Policy{})
	if v := receive(working(p, ""), p, failed, failed.ReceivedAt); v.Kind != callback.Accepted || v.Next.Phase != callback.Failed {
		t.Errorf("at the URL for failures: %+v", v)
	}
}
