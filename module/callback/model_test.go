package callback_test

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/caddy-callback/caddy-callback/module/callback"
)

// machine drives one callback through random calls, expiries, closes and acks,
// and compares it with a model that knows as little as possible.
type machine struct {
	t      testing.TB
	policy *callback.Policy
	record *callback.Record
	clock  callback.Time

	// phase, first and firstReply are the model: where the callback stands, the
	// call that was accepted, and what it was answered.
	phase      callback.Phase
	first      *attempt
	firstReply string
	acked      bool

	accepted int
	handed   []handed
}

// handed is a record that was given to the domain or came from it, with what was
// in it then.
type handed struct {
	record *callback.Record
	was    string
}

// attempt is what the model knows of a call.
type attempt struct {
	method, body, status, correlation string
}

func (a attempt) call(now callback.Time) *callback.Call {
	var lines []string
	if a.status != "" {
		lines = append(lines, statusHeader, a.status)
	}
	if a.correlation != "" {
		lines = append(lines, correlationHeader, a.correlation)
	}
	c := newCall(a.method, a.body, lines...)
	c.ReceivedAt = now
	return c
}

// same reports whether the model takes two calls for one and the same.
func (a attempt) same(b attempt) bool {
	a.method, b.method = "", ""
	return a == b
}

func TestAnyCourseOfEventsKeepsTheRules(t *testing.T) {
	policies := []callback.Policy{{}, respondPolicy(), redirectPolicy(), bothPolicy(), {AckIsResult: true}}
	rapid.Check(t, func(rt *rapid.T) {
		p := compiled(t, rapid.SampledFrom(policies).Draw(rt, "policy"))
		m := &machine{t: t, policy: p, record: waiting(p), clock: born, phase: callback.Waiting}
		m.hand(m.record)
		rt.Repeat(map[string]func(*rapid.T){
			"call":        m.call,
			"repeat":      m.repeat,
			"expire":      m.expire,
			"close":       m.close,
			"acknowledge": m.acknowledge,
			"clock":       m.moveClock,
			"":            m.check,
		})
	})
}

func (m *machine) call(t *rapid.T) {
	m.receive(t, attempt{
		method:      rapid.SampledFrom([]string{"POST", "POST", "PUT", "GET", "HEAD", "OPTIONS"}).Draw(t, "method"),
		body:        rapid.SampledFrom([]string{"", "paid", "{http.callback.id}"}).Draw(t, "body"),
		status:      rapid.SampledFrom([]string{"", "Ok", "ok", "Failed", "FAILED", "Done"}).Draw(t, "status"),
		correlation: rapid.SampledFrom([]string{"", correlation, "order-1"}).Draw(t, "correlation"),
	})
}

func (m *machine) repeat(t *rapid.T) {
	if m.first == nil {
		t.Skip("nothing to repeat")
	}
	again := *m.first
	again.method = rapid.SampledFrom([]string{again.method, "POST", "GET"}).Draw(t, "method")
	m.receive(t, again)
}

func (m *machine) receive(t *rapid.T, a attempt) {
	kind := m.expected(a)
	v := receive(m.record, m.policy, a.call(m.clock), m.clock)
	if v.Kind != kind {
		t.Fatalf("%+v at %d while %s: kind %d, want %d", a, m.clock, m.phase, v.Kind, kind)
	}
	if hasReply := v.Reply != nil; hasReply != (kind == callback.Accepted || kind == callback.Repeated || kind == callback.Returned) {
		t.Fatalf("kind %d has the reply %+v", kind, v.Reply)
	}
	if hasFault := v.Fault.Slug != ""; hasFault != (kind == callback.Refused) {
		t.Fatalf("kind %d has the fault %+v", kind, v.Fault)
	}
	switch {
	case kind == callback.Accepted:
		m.accepted++
		m.first, m.firstReply = &a, contents(m.t, v.Reply)
		m.moveTo(t, v.Next, map[bool]callback.Phase{false: callback.Resolved, true: callback.Failed}[a.failed()])
	case kind == callback.Gone && m.phase == callback.Waiting:
		m.moveTo(t, v.Next, callback.Expired)
	case v.Next != nil:
		t.Fatalf("kind %d changed the record", kind)
	case kind == callback.Repeated && contents(m.t, v.Reply) != m.firstReply:
		t.Fatalf("the first reply was %s, a repeat got %s", m.firstReply, contents(m.t, v.Reply))
	}
}

func (a attempt) failed() bool { return a.status == "Failed" || a.status == "FAILED" }

// expected is the table of what each call gets.
func (m *machine) expected(a attempt) callback.Kind {
	redirects, responds := m.policy.Redirect != nil, m.policy.Respond != nil
	methods := []string{"POST", "PUT"}
	if redirects && !responds {
		methods = append(methods, "GET")
	}
	switch {
	case redirects && responds && a.method == "GET":
		return callback.Returned
	case !slices.Contains(methods, a.method):
		return callback.WrongMethod
	case m.phase == callback.Expired || m.phase == callback.Closed:
		return callback.Gone
	case m.phase != callback.Waiting && (a.same(*m.first) || a.method == "GET" && m.first.method == "GET"):
		return callback.Repeated
	case m.phase != callback.Waiting:
		return callback.Conflict
	case m.clock >= m.record.ExpiresAt:
		return callback.Gone
	case a.correlation == "order-1" || a.status == "Done":
		return callback.Refused
	}
	return callback.Accepted
}

func (m *machine) expire(t *rapid.T) {
	next, yes := m.record.Expire(m.policy, m.clock)
	if yes != (m.phase == callback.Waiting && m.clock >= m.record.ExpiresAt) {
		t.Fatalf("expired while %s at %d: %v", m.phase, m.clock, yes)
	}
	if yes {
		m.moveTo(t, next, callback.Expired)
	}
}

func (m *machine) close(t *rapid.T) {
	if rapid.IntRange(0, 3).Draw(t, "often") > 0 {
		t.Skip("closing seldom leaves more to happen")
	}
	next, yes := m.record.Close(m.policy, "test", m.clock)
	if yes != (m.phase == callback.Waiting) {
		t.Fatalf("closed while %s: %v", m.phase, yes)
	}
	if yes {
		m.moveTo(t, next, callback.Closed)
	}
}

func (m *machine) acknowledge(t *rapid.T) {
	next, yes := m.record.Acknowledge(ack(202))
	if yes == m.acked {
		t.Fatalf("acknowledged again: %v", yes)
	}
	if yes {
		m.acked = true
		m.moveTo(t, next, m.phase)
	}
}

func (m *machine) moveClock(t *rapid.T) {
	m.clock = m.clock.Add(time.Duration(rapid.Int64Range(-int64(lifetime), int64(lifetime)).Draw(t, "by")))
}

// moveTo takes the next record, which the model expects in that phase.
func (m *machine) moveTo(t *rapid.T, next *callback.Record, phase callback.Phase) {
	if next == nil || next.Phase != phase {
		t.Fatalf("%s was to become %s: %+v", m.phase, phase, next)
	}
	m.record, m.phase = next, phase
	m.hand(next)
}

func (m *machine) hand(r *callback.Record) {
	m.handed = append(m.handed, handed{r, contents(m.t, r)})
}

func (m *machine) check(t *rapid.T) {
	for i, h := range m.handed {
		if contents(m.t, h.record) != h.was {
			t.Fatalf("record %d was\n%s\nand is now\n%s", i, h.was, contents(m.t, h.record))
		}
		if i > 0 && m.handed[i-1].record.Phase.Final() && m.handed[i-1].record.Phase != h.record.Phase {
			t.Fatalf("%s became %s", m.handed[i-1].record.Phase, h.record.Phase)
		}
	}
	if m.record.Phase != m.phase || m.accepted > 1 || (m.accepted == 1) != (m.record.Call != nil) {
		t.Fatalf("%s after %d accepted calls, the model says %s", m.record.Phase, m.accepted, m.phase)
	}
	if m.phase.Final() != (m.record.FinishedAt != 0) {
		t.Fatalf("%s, finished at %d", m.phase, m.record.FinishedAt)
	}
	m.checkResult(t)
}

// checkResult checks that there is a result whenever there has to be one, and
// that building it changes nothing.
func (m *machine) checkResult(t *rapid.T) {
	if m.phase != callback.Resolved && m.phase != callback.Failed {
		return
	}
	r := m.record.Result(m.policy)
	if r.Header.Get(correlationHeader) != correlation || (r.Failure != nil) != (m.phase == callback.Failed) {
		t.Fatalf("%s has the result %s", m.phase, contents(m.t, r))
	}
	if want := map[bool]string{true: "Failed", false: "Ok"}[m.phase == callback.Failed]; r.Header.Get(statusHeader) != want {
		t.Fatalf("%s has the status %s", m.phase, r.Header.Get(statusHeader))
	}
}
