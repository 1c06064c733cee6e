package callback

import (
	"slices"
	"strings"
)

// Kind is what a call comes to.
type Kind uint8

// The kinds of verdict (the table in docs/wire.md).
const (
	// Accepted: the call was the awaited answer. Reply and Next are set.
	Accepted Kind = iota + 1
	// Repeated: the same payload again. Reply is what the first call got.
	Repeated
	// Returned: a person came back. Reply redirects; nothing changes.
	Returned
	// Conflict: another payload after one was accepted.
	Conflict
	// Gone: the callback is expired or closed. Next is set where the expiry
	// was noticed by this call.
	Gone
	// WrongMethod: this callback takes no calls with that method.
	WrongMethod
	// Refused: the content is not acceptable; Fault says why. The callback
	// stays as it is.
	Refused
)

// Verdict is the decision on a call.
type Verdict struct {
	// Kind is what the call comes to.
	Kind Kind
	// Reply is what the partner is answered, where the kind has one.
	Reply *Reply
	// Next is the changed record; nil where nothing changes.
	Next *Record
	// Closed says of a callback that is gone that it was closed, and has not
	// expired.
	Closed bool
	// Fault says what is wrong with a refused call.
	Fault Fault
}

// Fault is what is wrong with a refused call.
type Fault struct {
	// Slug is the last part of the problem type.
	Slug string
	// Detail is for people.
	Detail string
}

// Receive decides on a call. The decision is made once, on the call's arrival,
// against the newest record; expiry is judged here and by no timer.
func (r *Record) Receive(p *Policy, c *Call, look Lookup, now Time) Verdict {
	if p.returnsPeople() && c.Method == "GET" {
		return Verdict{Kind: Returned, Reply: p.reply(c.Method, look)}
	}
	if !slices.Contains(p.Methods, c.Method) {
		return Verdict{Kind: WrongMethod}
	}
	switch {
	case r.Phase == Expired || r.Phase == Closed:
		return Verdict{Kind: Gone, Closed: r.Phase == Closed}
	case r.Phase.Final():
		return r.receiveAgain(p, c)
	}
	if expired, yes := r.Expire(p, now); yes {
		return Verdict{Kind: Gone, Next: expired}
	}
	failure, fault := r.judge(p, c)
	if fault.Slug != "" {
		return Verdict{Kind: Refused, Fault: fault}
	}
	return r.accept(p, c, failure, look, now)
}

// receiveAgain decides on a call after one was accepted.
func (r *Record) receiveAgain(p *Policy, c *Call) Verdict {
	sameRedirect := p.redirectsCalls() && c.Method == "GET" && r.Call.Method == "GET"
	if sameRedirect || c.Payload(p.wire) == r.Payload {
		return Verdict{Kind: Repeated, Reply: r.Reply}
	}
	return Verdict{Kind: Conflict}
}

// accept ends the callback with the call.
func (r *Record) accept(p *Policy, c *Call, failure *Failure, look Lookup, now Time) Verdict {
	phase := Resolved
	if failure != nil {
		phase = Failed
	}
	next := r.finish(p, phase, now)
	next.Call = c
	next.Payload = c.Payload(p.wire)
	next.Failure = failure
	next.Reply = p.reply(c.Method, look)
	return Verdict{Kind: Accepted, Reply: next.Reply, Next: next}
}

// judge looks at a call's content: a failure that it reports, or what is wrong
// with it.
func (r *Record) judge(p *Policy, c *Call) (*Failure, Fault) {
	ids := c.Header.Values(p.wire.CorrelationID)
	if slices.ContainsFunc(ids, func(id string) bool { return id != r.CorrelationID }) {
		return nil, Fault{Slug: "correlation-mismatch", Detail: p.wire.CorrelationID + " does not belong to this callback."}
	}
	statuses := c.Header.Values(p.wire.Status)
	switch {
	case len(statuses) == 0:
		return nil, Fault{}
	case len(statuses) == 1 && strings.EqualFold(statuses[0], StatusOk):
		return nil, Fault{}
	case len(statuses) == 1 && strings.EqualFold(statuses[0], StatusFailed):
		return p.failure(c), Fault{}
	}
	return nil, Fault{Slug: "invalid-status", Detail: p.wire.Status + " must be Ok or Failed, once."}
}

// failure reads what a call with status Failed says of it. A document status
// that the policy does not know becomes the technical status.
func (p *Policy) failure(c *Call) *Failure {
	text := func(name string) string { return withoutControls(c.Header.Get(name), maxText) }
	return &Failure{
		DocumentStatus:  StatusFailed,
		TechnicalStatus: text(p.wire.DocumentStatus),
		ErrorCode:       text(p.wire.ErrorCode),
		ErrorText:       text(p.wire.ErrorText),
	}
}

// Expire returns the expired record if the callback waits and its time is over.
func (r *Record) Expire(p *Policy, now Time) (*Record, bool) {
	if r.Phase != Waiting || now < r.ExpiresAt {
		return nil, false
	}
	return r.finish(p, Expired, now), true
}

// Close returns the closed record if the callback waits.
func (r *Record) Close(p *Policy, reason string, now Time) (*Record, bool) {
	if r.Phase != Waiting {
		return nil, false
	}
	next := r.finish(p, Closed, now)
	next.Reason = reason
	return next, true
}

// Acknowledge returns the record with the upstream's ack, if it has none. The
// phase stays: a call that came before the ack has already decided it.
func (r *Record) Acknowledge(a *Ack) (*Record, bool) {
	if r.Ack != nil {
		return nil, false
	}
	next := *r
	next.Ack = a
	return &next, true
}

// finish returns a copy with a final phase.
func (r *Record) finish(p *Policy, phase Phase, now Time) *Record {
	next := *r
	next.Phase = phase
	next.FinishedAt = now
	next.KeepUntil = now.Add(p.Retain)
	return &next
}
