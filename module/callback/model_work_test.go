package callback_test

import (
	"fmt"
	"slices"

	"pgregory.net/rapid"

	"github.com/caddy-callback/caddy-callback/module/callback"
)

// letter is something that is delivered, or is to be.
type letter struct {
	result string
	number int
	// heavy says that it has a heavy body, progress that it is not the answer yet.
	heavy, progress bool
}

// outbox is what the model knows about a delivery.
type outbox struct {
	on bool
	// waiting are the letters that are still to be delivered, the oldest first; newest is
	// the last result, total the number of all letters.
	waiting []letter
	newest  letter
	total   int
	// failed counts the failed attempts at the first that waits. dead: no more are made.
	failed int
	dead   bool
	// round counts how often the delivery was restarted.
	round int
}

// heavy is the size of a heavy body. Three of them may wait, with many that are not.
const heavy = 21 << 20

// add puts a result into the outbox.
func (o *outbox) add(result string, heavy bool) {
	if o.dead {
		o.waiting, o.failed, o.dead = nil, 0, false
	}
	o.total++
	o.newest = letter{result: result, number: o.total, heavy: heavy}
	o.waiting = append(o.waiting, o.newest)
}

// forward puts a call that is not the answer yet into the outbox.
func (o *outbox) forward(body string, heavy bool) {
	if !o.on || o.dead {
		return
	}
	o.total++
	o.waiting = append(o.waiting, letter{resultOf(callback.Waiting, body), o.total, heavy, true})
}

// full reports whether there is no room for another letter.
func (o *outbox) full(heavy bool) bool {
	weight := 0
	for _, l := range append(o.waiting, letter{heavy: heavy}) {
		if l.heavy {
			weight++
		}
	}
	return o.pending() && (len(o.waiting) == 1000 || weight > 3)
}

func (o *outbox) pending() bool { return len(o.waiting) > 0 && !o.dead }

// number returns the number of the first letter that waits.
func (o *outbox) number() int {
	if len(o.waiting) == 0 {
		return o.total + 1
	}
	return o.waiting[0].number
}

// drop drops letters that are delivered or given up.
func (o *outbox) drop(n int) { o.waiting, o.failed = o.waiting[n:], 0 }

// fail notes a failed attempt: progress is given up if a result waits behind it.
func (o *outbox) fail(dead bool) {
	first := slices.IndexFunc(o.waiting, func(l letter) bool { return !l.progress })
	switch {
	case first > 0:
		o.drop(first)
	case first < 0 && dead:
		o.drop(1)
	default:
		o.failed++
		o.dead = dead
	}
}

// resultOf returns the model's name for a result.
func resultOf(phase callback.Phase, body string) string { return fmt.Sprintf("%s: %s", phase, body) }

// end takes the next record, whose phase is final and whose result has that body.
func (m *machine) end(t *rapid.T, next *callback.Record, phase callback.Phase, body string) {
	m.endWith(t, next, phase, attempt{body: body})
}

// endWith takes the next record, whose phase is final and whose result is that call.
func (m *machine) endWith(t *rapid.T, next *callback.Record, phase callback.Phase, a attempt) {
	m.block, m.tries = "", 0
	if m.on {
		m.add(resultOf(phase, a.body), a.heavy)
	}
	m.moveTo(t, next, phase)
}

// body returns the body of the last accepted call.
func (m *machine) body() string {
	if m.last == nil {
		return ""
	}
	return m.last.body
}

// timeOver takes the next record, which has ended because its time is over.
func (m *machine) timeOver(t *rapid.T, next *callback.Record) {
	phase := callback.Expired
	if m.block != "" && m.block != callback.PollBlock || m.last != nil {
		phase = callback.Failed
	}
	m.timedOut = true
	m.end(t, next, phase, m.body())
}

func (m *machine) expire(t *rapid.T) {
	next, yes := m.record.Expire(m.policy, m.clock)
	if yes != (m.phase == callback.Waiting && m.late()) {
		t.Fatalf("expired while %s at %d: %v", m.phase, m.clock, yes)
	}
	if yes {
		m.timeOver(t, next)
	}
}

func (m *machine) close(t *rapid.T) {
	seldom(t)
	waits, more := m.phase == callback.Waiting, m.takesMore()
	next, yes := m.record.Close(m.policy, "test", "", m.clock)
	switch {
	case yes != (waits || more):
		t.Fatalf("closed while %s: %v", m.phase, yes)
	case waits:
		m.end(t, next, callback.Closed, m.body())
	case more:
		m.shut = true
		m.moveTo(t, next, m.phase)
	}
}

func (m *machine) withdraw(t *rapid.T) {
	seldom(t)
	next, yes := m.record.Withdraw(m.policy, "test", false, m.clock)
	if yes != (m.phase == callback.Waiting && m.last == nil) {
		t.Fatalf("withdrawn while %s: %v", m.phase, yes)
	}
	if yes {
		m.on, m.waiting = false, nil
		m.end(t, next, callback.Closed, "")
	}
}

func (m *machine) acknowledge(t *rapid.T) {
	next, yes := m.record.Acknowledge(ack(202))
	if yes == m.ackKept {
		t.Fatalf("acknowledged again: %v", yes)
	}
	if yes {
		m.ackKept = true
		m.moveTo(t, next, m.phase)
	}
}

func (m *machine) attempt(t *rapid.T) {
	block := rapid.SampledFrom([]callback.Block{m.block, m.block, callback.CallBlock, callback.ThenBlock, callback.PollBlock, callback.FetchBlock}).Draw(t, "block")
	kinds := []string{"retry", "retry", "ok", "error", "failed"}
	if block == callback.CallBlock || block == callback.ThenBlock {
		kinds = append(kinds, "acked", "unknown")
	}
	kind := rapid.SampledFrom(kinds).Draw(t, "attempt")
	next, yes := m.record.Attempted(m.policy, block, map[string]callback.Attempt{
		"retry":   {Kind: callback.AttemptRetry, RetryAt: m.clock + 9, Error: "refused"},
		"acked":   {Kind: callback.AttemptAcked},
		"unknown": {Kind: callback.AttemptUnknown},
		"ok":      {Kind: callback.AttemptAnswered, Response: answer(200)},
		"error":   {Kind: callback.AttemptAnswered, Response: answer(500)},
		"failed":  {Kind: callback.AttemptFailed, Code: "x"},
	}[kind], m.clock)
	if yes != (m.block != "" && m.block == block) {
		t.Fatalf("an attempt at %q while %q is to be done counts: %v", block, m.block, yes)
	}
	if !yes {
		return
	}
	switch kind {
	case "retry":
		m.tries++
		m.moveTo(t, next, callback.Waiting)
	case "acked", "unknown":
		m.block, m.tries = "", 0
		m.moveTo(t, next, callback.Waiting)
	case "ok":
		m.answered = true
		m.end(t, next, callback.Resolved, "done")
	case "error":
		m.answered = true
		m.end(t, next, callback.Failed, "done")
	default:
		m.end(t, next, callback.Failed, m.body())
	}
}

// poll begins to ask the upstream for the result.
func (m *machine) poll(t *rapid.T) {
	if m.policy.Multiple || m.policy.Ask != "" {
		t.Skip("the two do not go together")
	}
	next, yes := m.record.Poll(callback.Job{Block: callback.PollBlock, NextAt: m.clock + 9, Target: "/jobs/7"})
	if yes != (m.phase == callback.Waiting && m.block == "" && m.last == nil) {
		t.Fatalf("while %s with the block %q, polling begins: %v", m.phase, m.block, yes)
	}
	if yes {
		m.block, m.tries = callback.PollBlock, 0
		m.moveTo(t, next, callback.Waiting)
	}
}

// polled is what the upstream answers when it is asked for the result, perhaps late.
func (m *machine) polled(t *rapid.T) {
	a := attempt{
		method:      "GET",
		polled:      true,
		body:        rapid.SampledFrom([]string{"", "paid"}).Draw(t, "body"),
		status:      rapid.SampledFrom([]string{"", "", "Ok", "Failed", "Done"}).Draw(t, "status"),
		correlation: rapid.SampledFrom([]string{"", "", correlation, "order-1"}).Draw(t, "correlation"),
		step:        rapid.SampledFrom([]string{"", "1", "2", "3", "3", clash}).Draw(t, "step"),
		heavy:       rapid.IntRange(0, 2).Draw(t, "heavy") == 0,
		name:        rapid.SampledFrom([]string{"", "m1"}).Draw(t, "name"),
	}
	outcome := callback.Attempt{Kind: callback.AttemptPolled, RetryAt: m.clock + 9}
	pending := rapid.IntRange(0, 3).Draw(t, "pending") == 0
	if !pending {
		outcome.Call = a.call(m.clock)
	}
	next, yes := m.record.Attempted(m.policy, callback.PollBlock, outcome, m.clock)
	if yes != (m.block == callback.PollBlock) {
		t.Fatalf("an answer counts while %q is to be done: %v", m.block, yes)
	}
	switch {
	case !yes:
	case pending, m.isFaulty(a), m.meaning(a) == progress:
		m.tries++
		m.moveTo(t, next, callback.Waiting)
	default:
		m.last = &a
		m.answer(t, a, next)
	}
}

func (m *machine) deliver(t *rapid.T) {
	number := m.number() + rapid.SampledFrom([]int{0, 0, 0, 0, -1, 1}).Draw(t, "off by")
	kind := rapid.SampledFrom([]string{"ok", "ok", "retry", "dead"}).Draw(t, "sent")
	late := rapid.SampledFrom([]int{0, 0, 0, 1}).Draw(t, "rounds late")
	sent := callback.Sent{OK: kind == "ok", Dead: kind == "dead", RetryAt: m.clock + 9, Round: m.round - late}
	next, yes := m.record.Delivered(m.policy, number, sent, m.clock)
	if yes != (m.pending() && number == m.number() && (sent.OK || late == 0)) {
		t.Fatalf("the attempt at number %d counts: %v", number, yes)
	}
	if !yes {
		return
	}
	if m.record.GivesUp(sent) != (kind == "dead" || kind == "retry" && m.waiting[0].progress && m.phase.Final() && slices.ContainsFunc(m.waiting, func(l letter) bool { return !l.progress })) {
		t.Fatalf("%s of %+v gives something up, or not", kind, m.outbox)
	}
	if kind == "ok" {
		m.drop(1)
	} else {
		m.fail(kind == "dead")
	}
	m.moveTo(t, next, m.phase)
}

func (m *machine) redeliver(t *rapid.T) {
	next, yes := m.record.Redeliver("", m.clock)
	if yes != (m.on && m.phase.Final()) {
		t.Fatalf("delivered anew while %s: %v", m.phase, yes)
	}
	if yes {
		if len(m.waiting) == 0 {
			m.waiting = []letter{m.newest}
		}
		m.failed, m.dead = 0, false
		m.round++
		m.moveTo(t, next, m.phase)
	}
}

// moveTo takes the next record, which the model expects in that phase.
func (m *machine) moveTo(t *rapid.T, next *callback.Record, phase callback.Phase) {
	if next == nil || next.Phase != phase {
		t.Fatalf("%s was to become %s: %+v", m.phase, phase, next)
	}
	if was := m.handed[len(m.handed)-1]; contents(m.t, was.record) != was.was {
		t.Fatalf("the record handed in was\n%s\nand is now\n%s", was.was, contents(m.t, was.record))
	}
	m.checkHistory(t, next)
	m.record, m.phase = next, phase
	m.handed = append(m.handed, handed{next, contents(m.t, next)})
}

// checkHanded checks that no record that was handed out has changed, and that no end
// was undone.
func (m *machine) checkHanded(t *rapid.T) {
	before := callback.Waiting
	for i, h := range m.handed {
		if contents(m.t, h.record) != h.was {
			t.Fatalf("record %d was\n%s\nand is now\n%s", i, h.was, contents(m.t, h.record))
		}
		replaced := m.policy.Multiple && before <= callback.Failed && h.record.Phase <= callback.Failed
		if before.Final() && before != h.record.Phase && !replaced {
			t.Fatalf("%s became %s", before, h.record.Phase)
		}
		before = h.record.Phase
	}
}

func (m *machine) check(t *rapid.T) {
	r := m.record
	tries := 0
	if r.Job != nil {
		tries = r.Job.Attempts
	}
	switch {
	case r.Phase != m.phase || (m.last != nil) != (r.Call != nil) || r.Calls != m.calls:
		t.Fatalf("%s after %d calls, the model says %s after %d", r.Phase, r.Calls, m.phase, m.calls)
	case m.phase.Final() != (r.FinishedAt != 0):
		t.Fatalf("%s, finished at %d", m.phase, r.FinishedAt)
	case (m.block != "") != (r.Job != nil) || m.block != "" && r.Job.Block != m.block || tries != m.tries:
		t.Fatalf("the job is %+v, the model says %q after %d tries", r.Job, m.block, m.tries)
	case m.block != "" && (m.phase.Final() || m.runsOnRequest() && r.Request == nil || r.Due() > r.Job.NextAt):
		t.Fatalf("%s with the job %+v, due at %d", m.phase, r.Job, r.Due())
	case r.Call != nil && r.Latest != nil && !m.policy.Multiple:
		t.Fatalf("%s, and a call before the answer is said to be the latest", m.phase)
	case m.phase == callback.Waiting && r.Due() > r.ExpiresAt:
		t.Fatalf("due at %d, after its expiry", r.Due())
	case r.Forgettable(r.KeepUntil+hour) != (m.phase.Final() && !m.pending()):
		t.Fatalf("%s with %v to be delivered is forgotten", m.phase, m.waiting)
	}
	m.checkDelivery(t)
	if m.phase == callback.Resolved || m.phase == callback.Failed {
		m.checkResult(t)
	}
}

// runsOnRequest reports whether the job sends the client's request.
func (m *machine) runsOnRequest() bool {
	return m.block == callback.CallBlock || m.block == callback.ThenBlock && m.policy.Then
}

func (m *machine) checkDelivery(t *rapid.T) {
	d := m.record.Delivery
	if (d != nil) != m.on {
		t.Fatalf("the delivery is %+v", d)
	}
	if d != nil && (d.Total != m.total || d.Total-d.Done != len(m.waiting) || d.Attempts != m.failed || d.Dead != m.dead) {
		t.Fatalf("the delivery is %+v, the model says %+v", d, m.outbox)
	}
	result, number, pending := m.record.ToDeliver()
	if pending != m.pending() || pending && number != m.number() {
		t.Fatalf("number %d is to be delivered (%v), the model says %d", number, pending, m.number())
	}
	if !pending {
		return
	}
	body := ""
	switch {
	case result.Answer != nil:
		body = string(result.Answer.Body.Data)
	case result.Call != nil:
		body = string(result.Call.Body.Data)
	}
	if got := resultOf(result.Phase, body); got != m.waiting[0].result || m.phase.Final() && m.record.Due() != d.NextAt || m.record.Due() > d.NextAt {
		t.Fatalf("%q is to be delivered, the model says %+v", got, m.waiting[0])
	}
}

// checkResult checks the result of a resolved or failed callback.
func (m *machine) checkResult(t *rapid.T) {
	r := m.record.Result(m.policy)
	if r.Header.Get(correlationHeader) != correlation || (r.Failure != nil) != (m.phase == callback.Failed && !m.answered) || (r.Body == nil) != (r.Failure != nil) {
		t.Fatalf("%s has the result %s", m.phase, contents(m.t, r))
	}
	if want := map[bool]string{true: "Failed", false: "Ok"}[m.phase == callback.Failed]; r.Header.Get(statusHeader) != want {
		t.Fatalf("%s has the status %s", m.phase, r.Header.Get(statusHeader))
	}
}
