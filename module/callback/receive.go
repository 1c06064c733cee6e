package callback

import (
	"cmp"
	"net/http"
	"slices"
	"time"
)

// Kind is the kind of decision on a call.
type Kind uint8

// The kinds of verdict (the table in docs/wire.md).
const (
	// Accepted: the call was the awaited answer. Reply and Next are set.
	Accepted Kind = iota + 1
	// Repeated: the call was taken before. Reply is set.
	Repeated
	// Returned: a person came back. Reply redirects; nothing changes.
	Returned
	// Conflict: another payload after one was accepted.
	Conflict
	// Gone: the callback is expired or closed. Next is set if it was this call that
	// found it expired.
	Gone
	// WrongMethod: this callback takes no calls with that method.
	WrongMethod
	// Refused: the content is not acceptable; Fault says why. Next is set if the
	// refused call ends the callback.
	Refused
	// Progressed: the call is not the answer yet. Reply and Next are set.
	Progressed
	// Unauthorized: the call needs a key and has shown none that is known.
	Unauthorized
	// Forbidden: the key is known, but must not make this call.
	Forbidden
	// Asks: the app must be asked about the call. The call is then received again, with
	// the app's decision.
	Asks
	// Unattended: the callback is of use only to a client that waits for it. None does
	// at the moment, but the client can come back with its Idempotency-Key.
	Unattended
	// Looked: the request only looks, at a callback that takes calls.
	Looked
	// Shown: a person sees what is to be decided, or what was decided. Confirmation is set;
	// nothing changes.
	Shown
	// Backlogged: too many results of earlier calls wait to be delivered. RetryAfter is
	// set.
	Backlogged
)

// Verdict is the decision on a call.
type Verdict struct {
	// ID is the callback's that a call was for. The engine sets it.
	ID UUID
	// Kind is the kind of decision.
	Kind Kind
	// Reply is what the partner is answered, if the kind has a reply.
	Reply *Reply
	// Next is the changed record; nil if nothing changes.
	Next *Record
	// Closed says, with Gone, that the callback was closed and has not expired.
	Closed bool
	// Fault says what is wrong with a refused call.
	Fault Fault
	// Unrecognized is set with Progressed for a call that means neither success nor
	// failure: it is what the call has where the policy looks; nil for any other call.
	Unrecognized *string
	// Confirmation is what a person sees in place of a problem, nil for the problem.
	Confirmation *Confirmation
	// RetryAfter is how long it is until there may be room for a call that is Backlogged.
	RetryAfter time.Duration
}

// Fault is what is wrong with a refused call.
type Fault struct {
	// Slug is the last part of the problem type.
	Slug string
	// Detail is for people.
	Detail string
	// Status is the HTTP status that the caller gets; 0 stands for 400.
	Status int
}

// Receive decides on a call when it arrives, against the newest record. Expiry is
// decided here, by comparing times, and does not depend on a timer.
func (r *Record) Receive(p *Policy, c *Call, look Lookup, now Time) Verdict {
	if p.Confirm != nil {
		return r.confirm(p, c, look, now)
	}
	if v, ok := r.sendOn(p, c, look, now); ok {
		return v
	}
	if kind := p.admit(c.Method, c.Caller.at(r.Name)); kind != Accepted {
		return Verdict{Kind: kind}
	}
	return r.route(p, c, look, now)
}

// Resolve decides on an operator's call: neither keys nor method are checked, and no
// app is asked.
func (r *Record) Resolve(p *Policy, c *Call, look Lookup, now Time) Verdict {
	c.Asked, c.byHand = &Asked{}, true
	if p.Confirm != nil {
		p.Confirm.choose(c)
	}
	return r.route(p, c, look, now)
}

// route picks the decision that the phase calls for. The caller is already permitted.
func (r *Record) route(p *Policy, c *Call, look Lookup, now Time) Verdict {
	switch {
	case r.Phase == Closed || r.Phase.Final() && r.Call == nil:
		return Verdict{Kind: Gone, Closed: !r.expired()}
	case r.Phase.Final() && p.Multiple:
		return r.weighNext(p, c, look, now)
	case r.Phase.Final() || r.Call != nil:
		return r.weighAgain(p, c, look)
	}
	if expired, yes := r.Expire(p, now); yes {
		return Verdict{Kind: Gone, Next: expired}
	}
	if r.knows(p, c) {
		return Verdict{Kind: Repeated, Reply: r.replyAgain(p, c, look)}
	}
	if r.Attended && c.Unattended {
		return r.leftAlone(p, now)
	}
	return r.weigh(p, c, look, now)
}

// leftAlone decides on a call to a callback whose client has gone. To accept it would be to
// tell the partner of a success, while the client's request never goes on.
func (r *Record) leftAlone(p *Policy, now Time) Verdict {
	if !r.Fingerprint.IsZero() {
		return Verdict{Kind: Unattended}
	}
	closed, _ := r.Close(p, "its client does not wait any more", "", now)
	return Verdict{Kind: Gone, Closed: true, Next: closed}
}

// Admit decides whether a caller may make a call with that method, whatever is in it:
// Accepted, WrongMethod, Unauthorized or Forbidden. A person's return is Accepted.
func (p *Policy) Admit(method string, c Caller) Kind {
	if p.redirectsPeople() && method == http.MethodGet {
		return Accepted
	}
	return p.admit(method, c)
}

// admit is Admit without the exception for a person's return.
func (p *Policy) admit(method string, c Caller) Kind {
	if c.shut {
		return Forbidden
	}
	if !slices.Contains(p.Methods, method) {
		return WrongMethod
	}
	// If the policy requires only the callback's own key, any named key with the
	// permission send is accepted as well.
	named := slices.ContainsFunc(c.Names, func(name string) bool { return len(p.Keys) == 0 || slices.Contains(p.Keys, name) })
	switch {
	case len(p.Keys) == 0 && !p.OwnKey, named, p.OwnKey && c.Own:
		return Accepted
	case c.Known:
		return Forbidden
	}
	return Unauthorized
}

// weigh decides on a call that can still be the answer.
func (r *Record) weigh(p *Policy, c *Call, look Lookup, now Time) Verdict {
	said, fault := r.read(p, c)
	forwards := said.progress && p.DeliversProgress()
	if c.Asked != nil && c.Asked.KeepWaiting {
		said.progress = true
	}
	if fault.Slug == "" && (forwards || !said.progress) && r.backlogged(c, forwards) {
		return Verdict{Kind: Backlogged, RetryAfter: max(0, r.Delivery.NextAt.Time().Sub(now.Time()))}
	}
	if fault.Slug == "" && r.AskPath(p) != "" {
		if c.Asked == nil {
			return Verdict{Kind: Asks}
		}
		fault = c.Asked.Fault
	}
	switch {
	case fault.Slug != "" && p.Once && !r.Phase.Final():
		return Verdict{Kind: Refused, Fault: fault, Next: r.fail(p, fault, now)}
	case fault.Slug != "":
		return Verdict{Kind: Refused, Fault: fault}
	case said.progress:
		v := r.note(p, c, look, now)
		if forwards {
			v.Next.forward(c, now)
		}
		v.Unrecognized = said.unrecognized
		return v
	}
	if block, goesOn := p.nextBlock(); goesOn && said.failure == nil {
		return r.proceed(p, block, c, look, now)
	}
	return r.accept(p, c, said.failure, look, now)
}

// weighAgain decides on a call after the one that was accepted.
func (r *Record) weighAgain(p *Policy, c *Call, look Lookup) Verdict {
	switch {
	case r.Call.Polled && c.byHand:
		return Verdict{Kind: Conflict}
	case r.Call.Polled:
		// Its partner cannot know that it was asked before it has called.
		return Verdict{Kind: Repeated, Reply: r.replyTo(p, c, r.Phase == Failed, look)}
	}
	sameRedirect := c.Method == http.MethodGet && r.Call.Method == http.MethodGet && r.Reply.redirects()
	if sameRedirect || r.sameChoice(p, c) || p.IgnoreConflicts && !c.byHand || r.knows(p, c) || c.Payload(p) == r.Payload {
		return Verdict{Kind: Repeated, Reply: r.Reply}
	}
	return Verdict{Kind: Conflict}
}

// weighNext decides on a further call if many are taken. Each counts, unless it has the
// same name as an earlier call.
func (r *Record) weighNext(p *Policy, c *Call, look Lookup, now Time) Verdict {
	if !r.takesMore(p, now) {
		return Verdict{Kind: Gone, Closed: r.ShutAt != 0}
	}
	if r.knows(p, c) {
		return Verdict{Kind: Repeated, Reply: r.Reply}
	}
	return r.weigh(p, c, look, now)
}

// accept makes the call the callback's answer.
func (r *Record) accept(p *Policy, c *Call, failure *Failure, look Lookup, now Time) Verdict {
	phase := Resolved
	if failure != nil {
		phase = Failed
	}
	next := r.finish(p, phase, now)
	if r.Phase.Final() {
		next.resend(r)
	}
	next.Failure = failure
	next.take(p, c, r.replyTo(p, c, failure != nil, look))
	next.happened(r.taking(HappenedCalled, p, c, next.Reply, now), c.decision(now), c.ending(phase, now))
	return Verdict{Kind: Accepted, Reply: next.Reply, Next: next}
}

// take stores the accepted call and its reply.
func (r *Record) take(p *Policy, c *Call, reply *Reply) {
	r.Call = c
	r.Latest, r.LatestReply = nil, nil
	r.Calls++
	r.Seen = r.seenWith(p, c)
	r.Payload = c.Payload(p)
	r.Reply = reply
}

// proceed accepts a call, and makes the job that runs the block that goes on after it.
func (r *Record) proceed(p *Policy, block Block, c *Call, look Lookup, now Time) Verdict {
	next := *r
	next.take(p, c, r.replyTo(p, c, false, look))
	next.Job, next.Step = &Job{Block: block, NextAt: now}, UUID{}
	next.happened(r.taking(HappenedCalled, p, c, next.Reply, now), c.decision(now))
	return Verdict{Kind: Accepted, Reply: next.Reply, Next: &next}
}

// note keeps a call that is not the answer yet.
func (r *Record) note(p *Policy, c *Call, look Lookup, now Time) Verdict {
	next := *r
	next.Latest, next.LatestReply = c, r.reply(p, c, look)
	next.Calls++
	next.Seen = r.seenWith(p, c)
	next.happened(r.taking(HappenedProgressed, p, c, next.LatestReply, now))
	return Verdict{Kind: Progressed, Reply: next.LatestReply, Next: &next}
}

// fail ends a callback as failed because its policy allows no call after a refused one.
func (r *Record) fail(p *Policy, fault Fault, now Time) *Record {
	before := *r
	before.happened(Happening{At: now, Kind: HappenedRefused, Status: cmp.Or(fault.Status, http.StatusBadRequest), Reason: fault.Slug})
	next := before.failed(p, fault.Slug, fault.Detail, now)
	next.Calls++
	return next
}
