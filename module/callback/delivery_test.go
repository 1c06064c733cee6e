package callback_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/caddy-callback/caddy-callback/module/callback"
)

// deliver returns the record after an attempt to deliver, which must count.
func deliver(t testing.TB, r *callback.Record, p *callback.Policy, number int, sent callback.Sent, now callback.Time) *callback.Record {
	t.Helper()
	before := contents(t, r)
	next, yes := r.Delivered(p, number, sent, now)
	if !yes || next == nil {
		t.Fatalf("the attempt %+v at number %d does not count", sent, number)
	}
	if contents(t, r) != before {
		t.Fatal("the record handed in was changed")
	}
	return next
}

// toDeliver checks which result is to be delivered next: its number and its call's body;
// 0 for none.
func toDeliver(t testing.TB, r *callback.Record, number int, body string) {
	t.Helper()
	before := contents(t, r)
	result, got, pending := r.ToDeliver()
	switch {
	case contents(t, r) != before:
		t.Fatal("to look at what is to be delivered changes it")
	case pending != (number > 0) || got != number || (result != nil) != pending:
		t.Fatalf("number %d is to be delivered (%v), want %d", got, pending, number)
	case pending && string(result.Call.Body.Data) != body:
		t.Fatalf("%q is to be delivered, want %q", result.Call.Body.Data, body)
	}
}

func TestDeliveryBeginsAtEachEnd(t *testing.T) {
	p := compiled(t, callback.Policy{})
	for name, r := range everyEnd(t, p) {
		if name == "withdrawn" {
			if r.Delivery != nil {
				t.Errorf("%s: got %+v", name, r.Delivery)
			}
			continue
		}
		if *r.Delivery != (callback.Delivery{URL: "https://client.example.com/results", Total: 1, NextAt: r.FinishedAt}) || r.Due() != r.FinishedAt {
			t.Errorf("%s: got %+v", name, r.Delivery)
		}
		if result, number, pending := r.ToDeliver(); !pending || number != 1 || result != r {
			t.Errorf("%s: number %d, %v", name, number, pending)
		}
	}
	for name, r := range map[string]*callback.Record{"waiting": working(p, ""), "no URL": accept(t, waiting(p), p, newCall("POST", ""))} {
		toDeliver(t, r, 0, "")
		if next, yes := r.Delivered(p, 1, callback.Sent{OK: true}, born); yes || next != nil {
			t.Errorf("%s: it was delivered", name)
		}
		if next, yes := r.Redeliver("", born); yes || next != nil {
			t.Errorf("%s: it is delivered anew", name)
		}
	}
}

func TestAttemptToDeliver(t *testing.T) {
	p := compiled(t, callback.Policy{Retain: time.Minute})
	r := accept(t, working(p, ""), p, newCall("POST", "paid"))
	now := r.FinishedAt + 10
	long := "no\x00 route" + strings.Repeat("x", 2000)
	for name, c := range map[string]struct {
		sent      callback.Sent
		want      callback.Delivery
		keepUntil callback.Time
	}{
		"delivered": {callback.Sent{OK: true, Status: 204}, callback.Delivery{Total: 1, Done: 1, DeliveredAt: now, NextAt: now, Status: 204}, now.Add(time.Minute)},
		"again":     {callback.Sent{RetryAt: now + 5, Status: 503, Error: "busy"}, callback.Delivery{Total: 1, Attempts: 1, NextAt: now + 5, Status: 503, Error: "busy"}, r.KeepUntil},
		"waits":     {callback.Sent{Waits: true, RetryAt: now + 5, Error: "gone"}, callback.Delivery{Total: 1, NextAt: now + 5, Error: "gone"}, r.KeepUntil},
		"dead":      {callback.Sent{Dead: true, Status: 410, Error: long}, callback.Delivery{Total: 1, Attempts: 1, NextAt: r.FinishedAt, Dead: true, Status: 410, Error: "no route" + strings.Repeat("x", 1016)}, now.Add(time.Minute)},
	} {
		c.want.URL = "https://client.example.com/results"
		next := deliver(t, r, p, 1, c.sent, now)
		if *next.Delivery != c.want || next.KeepUntil != c.keepUntil || next.Phase != callback.Resolved {
			t.Errorf("%s: got %+v, kept until %d", name, next.Delivery, next.KeepUntil)
		}
		next.Delivery, next.KeepUntil, next.History = r.Delivery, r.KeepUntil, r.History
		if contents(t, next) != contents(t, r) {
			t.Errorf("%s: something else has changed: %s", name, contents(t, next))
		}
	}
}

func TestAttemptWithAnotherNumberChangesNothing(t *testing.T) {
	p := compiled(t, callback.Policy{Multiple: true})
	first := accept(t, working(p, ""), p, newCall("POST", "1"))
	done := deliver(t, first, p, 1, callback.Sent{OK: true}, born)
	dead := deliver(t, first, p, 1, callback.Sent{Dead: true}, born)
	for name, c := range map[string]struct {
		record *callback.Record
		stale  []int
	}{
		"to be delivered":        {first, []int{-1, 0, 2}},
		"delivered":              {done, []int{0, 1, 2}},
		"dead":                   {dead, []int{0, 1, 2}},
		"second waits":           {accept(t, first, p, newCall("POST", "2")), []int{0, 2, 3}},
		"second, first is done":  {accept(t, done, p, newCall("POST", "2")), []int{0, 1, 3}},
		"second, first was dead": {accept(t, dead, p, newCall("POST", "2")), []int{0, 1, 3}},
	} {
		before := contents(t, c.record)
		for _, number := range c.stale {
			for _, sent := range []callback.Sent{{OK: true}, {Dead: true}, {RetryAt: born + 9}} {
				if next, yes := c.record.Delivered(p, number, sent, born); yes || next != nil || contents(t, c.record) != before {
					t.Errorf("%s: number %d made it %s", name, number, contents(t, next))
				}
			}
		}
	}
}

func TestResultsAreDeliveredInTheOrderOfTheirCalls(t *testing.T) {
	p := compiled(t, callback.Policy{Multiple: true})
	r := working(p, "")
	for i, status := range []string{"Ok", "Failed", "Ok"} {
		r = accept(t, r, p, newCall("POST", fmt.Sprint(i+1), statusHeader, status, textHeader, "no stock"))
	}
	if len(r.Outbox) != 2 || len(r.Bodies()) != 3 || r.Delivery.Total != 3 {
		t.Fatalf("got %s", contents(t, r))
	}
	phases := []callback.Phase{callback.Resolved, callback.Failed, callback.Resolved}
	for i, phase := range phases {
		toDeliver(t, r, i+1, fmt.Sprint(i+1))
		// A failed attempt holds up the results after it.
		r = deliver(t, r, p, i+1, callback.Sent{RetryAt: r.FinishedAt + 5}, r.FinishedAt)
		toDeliver(t, r, i+1, fmt.Sprint(i+1))
		result, _, _ := r.ToDeliver()
		if result.Phase != phase || (result.Failure != nil) != (phase == callback.Failed) || result.Delivery.Attempts != 1 {
			t.Errorf("%d: %s, %+v", i+1, result.Phase, result.Failure)
		}
		if got := result.Result(p).Header.Get(textHeader); (got == "no stock") != (phase == callback.Failed) {
			t.Errorf("%d: %q", i+1, got)
		}
		r = deliver(t, r, p, i+1, callback.Sent{OK: true}, r.FinishedAt+hour)
		if r.Delivery.Attempts != 0 || r.Delivery.Done != i+1 || r.Delivery.NextAt != r.FinishedAt+hour {
			t.Errorf("%d: %+v", i+1, r.Delivery)
		}
	}
	toDeliver(t, r, 0, "")
	if string(r.Call.Body.Data) != "3" || len(r.Outbox) != 0 {
		t.Errorf("got %s", contents(t, r))
	}
}

func TestCallDoesNotHurryTheDeliveryOfTheOneBefore(t *testing.T) {
	p := compiled(t, callback.Policy{Multiple: true})
	r := accept(t, working(p, ""), p, newCall("POST", "1"))
	r = accept(t, deliver(t, r, p, 1, callback.Sent{RetryAt: born + hour}, born), p, newCall("POST", "2"))
	toDeliver(t, r, 1, "1")
	if r.Delivery.Attempts != 1 || r.Delivery.NextAt != born+hour || r.Due() != born+hour {
		t.Errorf("got %+v", r.Delivery)
	}
}

func TestCallAfterADeadLetterIsDelivered(t *testing.T) {
	p := compiled(t, callback.Policy{Multiple: true})
	r := accept(t, accept(t, working(p, ""), p, newCall("POST", "1")), p, newCall("POST", "2"))
	r = deliver(t, r, p, 1, callback.Sent{RetryAt: born + 5}, born)
	r = deliver(t, r, p, 1, callback.Sent{Dead: true, Error: "gone"}, born)
	toDeliver(t, r, 0, "")
	next := accept(t, r, p, newCall("POST", "3"))
	toDeliver(t, next, 3, "3")
	if next.Delivery.Dead || next.Delivery.Attempts != 0 || next.Delivery.NextAt != next.FinishedAt || len(next.Outbox) != 0 || len(r.Outbox) != 1 {
		t.Errorf("got %s", contents(t, next))
	}
	next = deliver(t, next, p, 3, callback.Sent{OK: true}, born)
	toDeliver(t, next, 0, "")
}

func TestDeadLetterIsDeliveredAnewWithWhatHasWaitedBehindIt(t *testing.T) {
	p := compiled(t, callback.Policy{Multiple: true})
	r := accept(t, accept(t, working(p, ""), p, newCall("POST", "1")), p, newCall("POST", "2"))
	r = deliver(t, r, p, 1, callback.Sent{Dead: true, Error: "gone"}, born)
	before := contents(t, r)
	next, yes := r.Redeliver("", born+hour)
	if !yes || next.Delivery.Dead || next.Delivery.Attempts != 0 || next.Due() != born+hour || contents(t, r) != before {
		t.Fatalf("got %s", contents(t, next))
	}
	toDeliver(t, next, 1, "1")
	toDeliver(t, deliver(t, next, p, 1, callback.Sent{OK: true}, born), 2, "2")
}

func TestResultIsDeliveredAnewUnderItsNumber(t *testing.T) {
	for _, phase := range []string{"resolved", "failed", "expired", "closed", "job done"} {
		p := compiled(t, callback.Policy{})
		r := everyEnd(t, p)[phase]
		trying := deliver(t, r, p, 1, callback.Sent{RetryAt: born + 10*hour, Error: "busy"}, born)
		for name, r := range map[string]*callback.Record{"never tried": r, "tried": trying, "dead": deliver(t, r, p, 1, callback.Sent{Dead: true}, born), "done": deliver(t, r, p, 1, callback.Sent{OK: true}, born)} {
			before := contents(t, r)
			next, yes := r.Redeliver("", born+9)
			if !yes || contents(t, r) != before {
				t.Fatalf("%s, %s: it is not delivered anew", phase, name)
			}
			if _, number, pending := next.ToDeliver(); !pending || number != 1 || next.Delivery.Attempts != 0 || next.Due() != born+9 || next.Phase != r.Phase {
				t.Errorf("%s, %s: got %s", phase, name, contents(t, next))
			}
		}
	}
	p := compiled(t, callback.Policy{Multiple: true})
	r := accept(t, working(p, ""), p, newCall("POST", "1"))
	r = accept(t, deliver(t, r, p, 1, callback.Sent{OK: true}, born), p, newCall("POST", "2"))
	r, _ = deliver(t, r, p, 2, callback.Sent{OK: true}, born).Redeliver("", born)
	toDeliver(t, r, 2, "2")
	r = accept(t, r, p, newCall("POST", "3"))
	toDeliver(t, r, 2, "2")
	toDeliver(t, deliver(t, r, p, 2, callback.Sent{OK: true}, born), 3, "3")
}

// backlogged checks that there is no room for a call, and that it changes nothing.
func backlogged(t *testing.T, r *callback.Record, p *callback.Policy, c *callback.Call, after time.Duration) {
	t.Helper()
	before := contents(t, r)
	for name, decide := range map[string]func(*callback.Policy, *callback.Call, callback.Lookup, callback.Time) callback.Verdict{"partner": r.Receive, "operator": r.Resolve} {
		c.Asked = nil
		v := decide(p, c, lookIn(r, p, c), r.FinishedAt)
		if v.Kind != callback.Backlogged || v.Next != nil || v.Reply != nil || v.RetryAfter != after || contents(t, r) != before {
			t.Fatalf("the %s gets %+v", name, v)
		}
	}
	c.Asked = nil
}

// inFile returns a call whose body of that many bytes is in a file.
func inFile(size int64, lines ...string) *callback.Call {
	c := newCall("POST", "", lines...)
	c.Body = callback.Body{File: strings.Repeat("f", 32), Size: size}
	return c
}

func TestResultsThatWaitAreBoundedInNumber(t *testing.T) {
	p := compiled(t, callback.Policy{Multiple: true, Progress: []callback.Match{{Location: at("header", "X-Step"), Values: []string{"1"}}}})
	r := working(p, "")
	for i := range 1000 {
		r = accept(t, r, p, newCall("POST", fmt.Sprint(i+1), "Webhook-Id", fmt.Sprint(i+1)))
		if i == 500 {
			r = deliver(t, r, p, 1, callback.Sent{RetryAt: r.FinishedAt + 5000}, r.FinishedAt)
		}
	}
	if len(r.Outbox) != 999 || r.Delivery.Total != 1000 || r.Delivery.Done != 0 || r.Calls != 1000 {
		t.Errorf("%d wait, %+v", len(r.Outbox), r.Delivery)
	}
	backlogged(t, r, p, newCall("POST", "1001"), 5*time.Second)
	// What makes no result needs no room.
	if v := receive(r, p, newCall("POST", "1", "Webhook-Id", "1"), r.FinishedAt); v.Kind != callback.Repeated {
		t.Errorf("a repeat gets %+v", v)
	}
	if v := receive(r, p, newCall("POST", "half", "X-Step", "1"), r.FinishedAt); v.Kind != callback.Progressed {
		t.Errorf("progress gets %+v", v)
	}
	if v := receive(r, p, newCall("POST", "", statusHeader, "nonsense"), r.FinishedAt); v.Kind != callback.Refused {
		t.Errorf("nonsense gets %+v", v)
	}
	r = deliver(t, r, p, 1, callback.Sent{OK: true}, born)
	r = accept(t, r, p, newCall("POST", "1001"))
	backlogged(t, r, p, newCall("POST", "1002"), 0)
	for number := 2; number <= 1001; number++ {
		if result, got, _ := r.ToDeliver(); got != number || string(result.Call.Body.Data) != fmt.Sprint(number) {
			t.Fatalf("number %d is to be delivered, want %d", got, number)
		}
		r, _ = r.Delivered(p, number, callback.Sent{OK: true}, born)
	}
	toDeliver(t, r, 0, "")
	accept(t, r, p, newCall("POST", "1002"))
}

func TestResultsThatWaitAreBoundedInBytes(t *testing.T) {
	p := compiled(t, callback.Policy{Multiple: true})
	const mib = 1 << 20
	for name, c := range map[string]struct {
		size int64
		want int
	}{"small": {60_000, 1000}, "large": {mib, 63}, "half": {32 * mib, 1}, "all": {64 * mib, 1}, "more": {200 * mib, 1}} {
		r := working(p, "")
		for range c.want {
			r = accept(t, r, p, inFile(c.size))
		}
		backlogged(t, r, p, inFile(c.size), 0)
		if len(r.Outbox) != c.want-1 || r.Delivery.Total != c.want {
			t.Errorf("%s: %d wait, %+v", name, len(r.Outbox)+1, r.Delivery)
		}
		// What was delivered, or was given up, needs no room.
		dead := deliver(t, r, p, 1, callback.Sent{Dead: true}, born)
		accept(t, dead, p, inFile(c.size))
		for number := range c.want {
			r, _ = r.Delivered(p, number+1, callback.Sent{OK: true}, born)
		}
		accept(t, r, p, inFile(c.size))
	}
}

// A record has room for a few bodies only, but not for a thousand.
func TestBodiesOfResultsThatWaitMoveOutOfTheRecord(t *testing.T) {
	p := compiled(t, callback.Policy{Multiple: true})
	r, inline := working(p, ""), 0
	for i := range 1000 {
		c := newCall("POST", strings.Repeat("x", 60_000), "Content-Type", "application/json", "User-Agent", "partner/1.0")
		next := accept(t, r, p, c)
		if next.Spills(c) {
			c = inFile(60_000, "Content-Type", "application/json", "User-Agent", "partner/1.0")
			next = accept(t, r, p, c)
		} else {
			inline++
		}
		if r = next; r.Size() > 768<<10 {
			t.Fatalf("with %d results the record has %d bytes", i+1, r.Size())
		}
	}
	if inline < 2 || inline > 4 || len(r.Outbox) != 999 {
		t.Errorf("%d of %d bodies are in the record", inline, len(r.Outbox)+1)
	}
	if small := newCall("POST", "paid"); r.Spills(small) {
		t.Error("a small body is put into a file")
	}
	if one := accept(t, working(p, ""), p, newCall("POST", strings.Repeat("x", 60_000))); one.Spills(one.Call) {
		t.Error("the only result is put into a file")
	}
	// Headers stay in the record, which has an end.
	r = working(p, "")
	heavy := []string{"X-Large", strings.Repeat("h", 62_000)}
	for range 12 {
		r = accept(t, r, p, inFile(1, heavy...))
	}
	backlogged(t, r, p, inFile(1, heavy...), 0)
	if r.Size() > 768<<10 {
		t.Errorf("the record has %d bytes", r.Size())
	}
}
