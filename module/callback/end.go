package callback

// Expire returns the record as it ends when its time is over, if it waits and it
// is. Background work that was still to be done has then failed.
func (r *Record) Expire(p *Policy, now Time) (*Record, bool) {
	if r.Phase != Waiting || now < r.ExpiresAt {
		return nil, false
	}
	if r.Job == nil && r.Call == nil && r.Step.IsZero() {
		return r.finish(p, Expired, now), true
	}
	text := "What was to be done in the background was not done in time."
	if r.Job != nil && r.Job.Error != "" {
		text = "What was to be done in the background was not done in time; at last: " + r.Job.Error + "."
	}
	return r.failed(p, FailureExpired, text, now), true
}

// Close returns the closed record if the callback waits. One that has ended and takes
// more calls keeps its phase and its result, and takes no more.
func (r *Record) Close(p *Policy, reason string, now Time) (*Record, bool) {
	if r.takesMore(p, now) {
		next := *r
		next.ShutAt = now
		next.Reason = reason
		next.KeepUntil = now.Add(p.Retain)
		return &next, true
	}
	if r.Phase != Waiting {
		return nil, false
	}
	next := r.finish(p, Closed, now)
	next.Reason = reason
	return next, true
}

// Withdraw returns the closed record of a callback whose request was not accepted,
// if it waits. The client knows, so nothing is delivered. Its Idempotency-Key is
// free again, unless keep says that Conclude will follow.
func (r *Record) Withdraw(p *Policy, reason string, keep bool, now Time) (*Record, bool) {
	if r.Phase != Waiting || r.Call != nil {
		return nil, false
	}
	next := *r
	next.Delivery, next.Parent = nil, UUID{}
	next = *next.finish(p, Closed, now)
	next.Reason = reason
	if !keep {
		next.Aliases = nil
	}
	return &next, true
}

// Conclude returns the record of an ended callback with the answer that its client
// got in the end, which is kept for when it asks again. nil says that there is none
// to keep: then the client's Idempotency-Key is free again.
func (r *Record) Conclude(answer *Response) (*Record, bool) {
	if !r.Phase.Final() || r.Answer != nil || answer == nil && len(r.Aliases) == 0 {
		return nil, false
	}
	next := *r
	next.Answer = answer
	if answer == nil {
		next.Aliases = nil
	}
	return &next, true
}

// Acknowledge returns the record with the upstream's ack noted, and kept if a is not
// nil. The phase stays: a call that came before the ack has already decided it.
func (r *Record) Acknowledge(a *Response) (*Record, bool) {
	if r.Ack != nil || a == nil && r.Acked {
		return nil, false
	}
	next := *r
	next.Ack = a
	next.Acked = true
	return &next, true
}

// takesMore reports whether a callback that has ended with a call takes more of them.
func (r *Record) takesMore(p *Policy, now Time) bool {
	return p.Multiple && (r.Phase == Resolved || r.Phase == Failed) && r.Call != nil && r.ShutAt == 0 && now < r.ExpiresAt
}

// expired reports whether it was time that ended a callback to which no call has come.
func (r *Record) expired() bool {
	return r.Phase == Expired || r.Phase == Failed && r.Failure.ErrorCode == FailureExpired
}

// Codes of failures that are not a partner's.
const (
	FailureExpired = "expired"
	FailureClosed  = "closed"
	// FailureLost: the result of a step cannot be read any more.
	FailureLost = "result-lost"
)

// failed ends a callback as failed for a reason of ours.
func (r *Record) failed(p *Policy, code, text string, now Time) *Record {
	next := r.finish(p, Failed, now)
	next.Failure = &Failure{DocumentStatus: StatusFailed, ErrorCode: code, ErrorText: withoutControls(text, maxText), Later: r.Call != nil}
	return next
}

// finish returns a copy with a final phase, and no work but to hand the result on.
func (r *Record) finish(p *Policy, phase Phase, now Time) *Record {
	next := *r
	next.Phase = phase
	next.FinishedAt = now
	next.KeepUntil = now.Add(p.Retain)
	next.Job, next.Request, next.Step = nil, nil, UUID{}
	if p.Multiple && (phase == Resolved || phase == Failed) {
		// It takes calls until it expires, and is kept for as long after that.
		next.KeepUntil = max(now, r.ExpiresAt).Add(p.Retain)
	}
	next.Delivery = r.Delivery.begin(now)
	return &next
}
