package callback_test

import (
	"slices"
	"strconv"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/caddy-callback/caddy-callback/module/callback"
)

// machine drives one callback through random events, and compares it with a model that
// knows as little as possible.
type machine struct {
	t      testing.TB
	policy *callback.Policy
	record *callback.Record
	clock  callback.Time
	// handed are all records so far, with the contents that they had then.
	handed []handed

	model
}

// model is what the callback should be like.
type model struct {
	phase callback.Phase
	// last is the last accepted call, lastReply its reply, and names the names of all
	// accepted calls. calls counts the calls that changed the callback.
	last      *attempt
	lastReply string
	names     map[string]bool
	calls     int
	// shut: it was closed after its end. timedOut: it ended because its time was over.
	shut, timedOut bool
	// block is the job that is to be done, tries the number of its failed attempts.
	block callback.Block
	tries int
	// ackKept and answered: there is an ack, and a response that is the result.
	ackKept, answered bool

	outbox
}

type handed struct {
	record *callback.Record
	was    string
}

// attempt is what the model knows about a call.
type attempt struct {
	method, body, status, correlation, step, name string
	// heavy says that the body is in a file, and has a third of the bytes that may wait to
	// be delivered.
	heavy bool
	// says is the app's decision: nothing yet, allow, override, refuse or handshake.
	says string
	// byHand says that the call is an operator's, person that it is that of a browser, and
	// polled that it is no call, but what the upstream answered when it was asked.
	byHand, person, polled bool
}

func (a attempt) call(now callback.Time) *callback.Call {
	var lines []string
	for _, l := range [][2]string{{statusHeader, a.status}, {correlationHeader, a.correlation}, {"X-Step", a.step}, {"Webhook-Id", a.name}} {
		if l[1] != "" {
			lines = append(lines, l[0], l[1])
		}
	}
	if a.step == clash {
		lines = append(lines, "X-Step", "another")
	}
	c := newCall(a.method, a.body, lines...)
	c.ReceivedAt = now
	c.Person = a.person
	if a.heavy {
		c.Body.File, c.Body.Size = "heavy", heavy
	}
	switch a.says {
	case "allow":
		c.Asked = &callback.Asked{}
	case "override":
		c.Asked = &callback.Asked{Reply: &callback.Fields{Type: callback.TypeResponse, Code: 299, Body: "as the app says"}}
	case "handshake":
		c.Asked = &callback.Asked{KeepWaiting: true}
	case "refuse":
		c.Asked = &refused
	}
	return c
}

// same reports whether the model takes two calls for one and the same.
func (a attempt) same(b attempt) bool {
	return a.body == b.body && a.status == b.status && a.correlation == b.correlation && a.step == b.step
}

func (a attempt) failed() bool { return a.status == "Failed" || a.status == "FAILED" }

// clash is a step that cannot be read: its header has two values.
const clash = "clash"

// named returns what the call is known by when it is made again; "" for nothing.
func (a attempt) named() string {
	if a.name != "" && a.byHand {
		return a.name + " by hand"
	}
	return a.name
}

// The meanings of a call.
const (
	success    = "success"
	failure    = "failure"
	progress   = "progress"
	unreadable = "unreadable"
)

// meaning returns what a call means: a failure, then progress, then success if the policy
// says what that is, else success.
func (m *machine) meaning(a attempt) string {
	switch {
	case a.says == "handshake":
		return progress
	case a.failed():
		return failure
	case a.step == clash && !a.byHand:
		return unreadable
	case m.policy.Failed != nil && a.step == "2":
		return failure
	case a.step == "1":
		return progress
	case m.policy.Succeeded == nil || a.byHand || a.step == "3":
		return success
	case m.policy.Failed == nil:
		return failure
	}
	return progress
}

// One hundred thousand steps take some seconds:
//
//	go test -run TestAnyCourse ./module/callback -rapid.checks=2000 -rapid.steps=50
func TestAnyCourseOfEventsKeepsTheRules(t *testing.T) {
	replies := []callback.Policy{{}, respondPolicy(), redirectPolicy(), bothPolicy(), {AckIsResult: true}}
	rapid.Check(t, func(rt *rapid.T) {
		policy := rapid.SampledFrom(replies).Draw(rt, "policy")
		policy.Progress = []callback.Match{{Location: at("header", "X-Step"), Values: []string{"1"}}}
		if rapid.Bool().Draw(rt, "failed") {
			policy.Failed = []callback.Match{{Location: at("header", "X-Step"), Values: []string{"2"}}}
		}
		if rapid.Bool().Draw(rt, "succeeded") {
			policy.Succeeded = []callback.Match{{Location: at("header", "X-Step"), Values: []string{"3"}}}
		}
		policy.Once = rapid.Bool().Draw(rt, "once")
		policy.Ask = rapid.SampledFrom([]string{"", "/decide"}).Draw(rt, "ask")
		mode := rapid.SampledFrom([]string{"single", "multiple", "then", "fetch"}).Draw(rt, "mode")
		policy.Multiple, policy.Then, policy.Fetch = mode == "multiple", mode == "then", mode == "fetch"
		policy.IgnoreConflicts = !policy.Multiple && rapid.Bool().Draw(rt, "ignore conflicts")
		blocks := []callback.Block{"", callback.CallBlock, callback.ThenBlock}
		if policy.Then {
			blocks = blocks[1:2]
		}
		p := compiled(t, policy)
		spec := callback.Spec{CorrelationID: correlation, ExpiresIn: lifetime, Request: request}
		spec.Block = rapid.SampledFrom(blocks).Draw(rt, "block")
		if rapid.Bool().Draw(rt, "deliver progress") {
			policy.Shape = &callback.Shape{Progress: true}
			p = compiled(t, policy)
		}
		spec.DeliverTo = rapid.SampledFrom([]string{"", "https://client.example.com/"}).Draw(rt, "deliver")
		m := &machine{t: t, policy: p, record: callback.New(&secret, p, spec, born), clock: born}
		m.model = model{phase: callback.Waiting, names: make(map[string]bool), block: spec.Block, outbox: outbox{on: spec.DeliverTo != ""}}
		m.handed = append(m.handed, handed{m.record, contents(t, m.record)})
		rt.Repeat(map[string]func(*rapid.T){
			"call":        m.call,
			"repeat":      m.repeat,
			"crowd":       m.crowd,
			"attempt":     m.attempt,
			"poll":        m.poll,
			"polled":      m.polled,
			"deliver":     m.deliver,
			"redeliver":   m.redeliver,
			"acknowledge": m.acknowledge,
			"expire":      m.expire,
			"close":       m.close,
			"withdraw":    m.withdraw,
			"clock":       m.moveClock,
			"":            m.check,
		})
		m.checkHanded(rt)
	})
}

// seldom skips most draws, so that more happens before an end.
func seldom(t *rapid.T) {
	if rapid.IntRange(0, 15).Draw(t, "often") > 0 {
		t.Skip("seldom")
	}
}

func (m *machine) call(t *rapid.T) {
	m.receive(t, attempt{
		method:      rapid.SampledFrom([]string{"POST", "POST", "POST", "PUT", "GET", "GET", "HEAD"}).Draw(t, "method"),
		body:        rapid.SampledFrom([]string{"", "paid", "{http.callback.id}"}).Draw(t, "body"),
		status:      rapid.SampledFrom([]string{"", "", "Ok", "ok", "Failed", "FAILED", "Done"}).Draw(t, "status"),
		correlation: rapid.SampledFrom([]string{"", "", correlation, correlation, "order-1"}).Draw(t, "correlation"),
		step:        rapid.SampledFrom([]string{"", "", "1", "2", "3", "3", clash}).Draw(t, "step"),
		heavy:       rapid.IntRange(0, 2).Draw(t, "heavy") == 0,
		name:        rapid.SampledFrom([]string{"", "", "m1", "m2"}).Draw(t, "name"),
		byHand:      rapid.IntRange(0, 5).Draw(t, "by hand") == 0,
		person:      rapid.IntRange(0, 3).Draw(t, "person") == 0,
	})
}

func (m *machine) repeat(t *rapid.T) {
	if m.last == nil {
		t.Skip("nothing to repeat")
	}
	again := *m.last
	again.says, again.polled = "", false
	again.method = rapid.SampledFrom([]string{again.method, "POST", "GET"}).Draw(t, "method")
	m.receive(t, again)
}

// crowd makes calls with more bytes than may wait to be delivered.
func (m *machine) crowd(t *rapid.T) {
	if !m.takesMore() {
		t.Skip("no further call is taken")
	}
	for i := range 4 {
		m.receive(t, attempt{method: "POST", body: strconv.Itoa(i), step: "3", heavy: true})
	}
}

func (m *machine) receive(t *rapid.T, a attempt) {
	kind := m.expected(a)
	c := a.call(m.clock)
	decide := m.record.Receive
	if a.byHand {
		decide = m.record.Resolve
	}
	v := decide(m.policy, c, lookIn(m.record, m.policy, c), m.clock)
	if v.Kind != kind {
		t.Fatalf("%+v at %d while %s: kind %d, want %d", a, m.clock, m.phase, v.Kind, kind)
	}
	if hasReply := v.Reply != nil; hasReply != slices.Contains([]callback.Kind{callback.Accepted, callback.Repeated, callback.Returned, callback.Progressed}, kind) {
		t.Fatalf("kind %d has the reply %+v", kind, v.Reply)
	}
	if hasFault := v.Fault.Slug != ""; hasFault != (kind == callback.Refused) {
		t.Fatalf("kind %d has the fault %+v", kind, v.Fault)
	}
	if v.Closed != (kind == callback.Gone && m.closed()) {
		t.Fatalf("while %s it is said to be closed: %v", m.phase, v.Closed)
	}
	if (v.RetryAfter > 0) != (kind == callback.Backlogged && m.record.Delivery.NextAt > m.clock) {
		t.Fatalf("kind %d may be made again after %v", kind, v.RetryAfter)
	}
	if v.Reply != nil && a.says == "override" && v.Reply.Status != 299 {
		t.Fatalf("the app's reply is not sent: %+v", v.Reply)
	}
	switch {
	case kind == callback.Asks:
		a.says = rapid.SampledFrom([]string{"allow", "override", "refuse", "handshake"}).Draw(t, "says")
		m.receive(t, a)
	case kind == callback.Accepted:
		m.accept(t, a, v)
	case kind == callback.Progressed:
		m.calls++
		m.names[a.named()] = true
		if m.forwards(a) {
			m.forward(a.body, a.heavy)
		}
		m.moveTo(t, v.Next, m.phase)
	case kind == callback.Gone && m.phase == callback.Waiting:
		m.timeOver(t, v.Next)
	case kind == callback.Refused && m.policy.Once && m.phase == callback.Waiting:
		m.calls++
		m.end(t, v.Next, callback.Failed, "")
	case v.Next != nil:
		t.Fatalf("kind %d changed the record", kind)
	case kind == callback.Repeated && m.last != nil && !m.last.polled && contents(m.t, v.Reply) != m.lastReply:
		t.Fatalf("the reply was %s, a repeat got %s", m.lastReply, contents(m.t, v.Reply))
	}
}

// accept moves the model on after a call was accepted.
func (m *machine) accept(t *rapid.T, a attempt, v callback.Verdict) {
	if m.last != nil && !m.policy.Multiple {
		t.Fatalf("accepted %+v after %+v", a, *m.last)
	}
	m.last, m.lastReply = &a, contents(m.t, v.Reply)
	m.calls++
	m.names[a.named()] = true
	m.answer(t, a, v.Next)
}

// answer moves the model on to the next record, for which that is the answer.
func (m *machine) answer(t *rapid.T, a attempt, next *callback.Record) {
	switch {
	case m.meaning(a) == failure:
		m.endWith(t, next, callback.Failed, a)
	case m.policy.Then:
		m.block, m.tries = callback.ThenBlock, 0
		m.moveTo(t, next, callback.Waiting)
	case m.policy.Fetch:
		m.block, m.tries = callback.FetchBlock, 0
		m.moveTo(t, next, callback.Waiting)
	default:
		m.endWith(t, next, callback.Resolved, a)
	}
}

// expected returns the decision that a call must get.
func (m *machine) expected(a attempt) callback.Kind {
	redirects, responds := m.policy.Redirect != nil, m.policy.Respond != nil
	methods := []string{"POST", "PUT"}
	if redirects && !responds {
		methods = append(methods, "GET")
	}
	switch {
	case a.byHand:
	case redirects && (responds && a.method == "GET" || a.person && (m.last != nil || m.phase.Final()) && !m.takesMore()) && !m.over():
		return callback.Returned
	case redirects && (responds && a.method == "GET" || a.person) && m.over():
		return callback.Gone
	case !slices.Contains(methods, a.method):
		return callback.WrongMethod
	}
	known := a.name != "" && m.names[a.named()]
	again := m.last != nil && (a.same(*m.last) || redirects && m.last.says != "override" && a.method == "GET" && m.last.method == "GET")
	switch {
	case m.phase == callback.Closed || m.phase.Final() && m.last == nil:
		return callback.Gone
	case m.last != nil && m.last.polled && a.byHand:
		return callback.Conflict
	case m.last != nil && m.last.polled:
		return callback.Repeated
	case m.policy.Multiple && m.last != nil && !m.takesMore():
		return callback.Gone
	case m.policy.Multiple && m.last != nil && known:
		return callback.Repeated
	case m.last != nil && !m.policy.Multiple && (again || known || m.policy.IgnoreConflicts && !a.byHand):
		return callback.Repeated
	case m.last != nil && !m.policy.Multiple:
		return callback.Conflict
	case m.phase == callback.Waiting && m.late():
		return callback.Gone
	case m.last == nil && known:
		return callback.Repeated
	case m.isFaulty(a):
		return callback.Refused
	case m.full(a.heavy) && (m.takesMore() && m.meaning(a) != progress || m.forwards(a)):
		return callback.Backlogged
	case m.policy.Ask != "" && a.says == "" && !a.byHand:
		return callback.Asks
	case a.says == "refuse" && !a.byHand:
		return callback.Refused
	case m.meaning(a) == progress:
		return callback.Progressed
	}
	return callback.Accepted
}

// isFaulty reports whether the content of a call is not acceptable.
func (m *machine) isFaulty(a attempt) bool {
	return a.correlation == "order-1" || a.status == "Done" || m.meaning(a) == unreadable
}

// forwards reports whether a call is not the answer yet and is to be delivered. That an app
// keeps the callback waiting tells its client nothing.
func (m *machine) forwards(a attempt) bool {
	a.says = ""
	return m.policy.DeliversProgress() && m.meaning(a) == progress
}

// over reports whether the callback has expired, or was closed, without a call.
func (m *machine) over() bool {
	return m.phase == callback.Closed || m.phase == callback.Expired || m.phase == callback.Waiting && m.last == nil && m.late()
}

// late reports whether the time for calls is over.
func (m *machine) late() bool { return m.clock >= m.record.ExpiresAt }

// closed reports whether something other than time ended the callback, so that no call
// can be accepted any more.
func (m *machine) closed() bool {
	return m.shut || m.phase == callback.Closed || m.phase.Final() && m.last == nil && !m.timedOut
}

// takesMore reports whether another call can replace the result.
func (m *machine) takesMore() bool {
	return m.policy.Multiple && m.last != nil && !m.shut && !m.late()
}

func (m *machine) moveClock(t *rapid.T) {
	m.clock = m.clock.Add(rapid.SampledFrom([]time.Duration{time.Millisecond, time.Minute, lifetime / 4, lifetime / 2, -lifetime / 4}).Draw(t, "by"))
}
