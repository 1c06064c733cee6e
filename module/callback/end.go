package callback

// Expire returns the ended record if the callback waits and its time is over. It ends
// as expired, or as failed if a job, a step or the work after its call was not
// finished.
func (r *Record) Expire(p *Policy, now Time) (*Record, bool) {
	if r.Phase != Waiting || now < r.ExpiresAt {
		return nil, false
	}
	if (r.Job == nil || r.pollsOnly()) && r.Call == nil && r.Step.IsZero() {
		next := r.finish(p, Expired, now)
		next.happened(Happening{At: now, Kind: HappenedExpired})
		return next, true
	}
	text := "What was to be done in the background was not done in time."
	if r.Job != nil && r.Job.Error != "" {
		text = "What was to be done in the background was not done in time; at last: " + r.Job.Error + "."
	}
	return r.failed(p, FailureExpired, text, now), true
}

// Close returns the closed record if the callback waits. A callback that has ended and
// takes more calls keeps its phase and its result, but takes no further call. by says who
// closes it, for its history.
func (r *Record) Close(p *Policy, reason, by string, now Time) (*Record, bool) {
	if r.takesMore(p, now) {
		next := *r
		next.ShutAt = now
		next.Reason = reason
		next.keep(p, now)
		next.happened(Happening{At: now, Kind: HappenedClosed, Reason: reason, By: by})
		return &next, true
	}
	if r.Phase != Waiting {
		return nil, false
	}
	next := r.finish(p, Closed, now)
	next.Reason = reason
	next.happened(Happening{At: now, Kind: HappenedClosed, Reason: reason, By: by})
	return next, true
}

// Purge returns the record as those are told who wait for a callback that is being removed.
// ended says that it has not ended before. Nothing of it is left to be done.
func (r *Record) Purge(reason string, now Time) (last *Record, ended bool) {
	if r.Phase != Waiting {
		return r, false
	}
	next := *r
	next.Phase, next.FinishedAt, next.Reason = Closed, now, reason
	next.Job, next.Request, next.Step, next.Delivery, next.Outbox = nil, nil, UUID{}, nil, nil
	return &next, true
}

// Withdraw returns the closed record of a callback whose request was not accepted, if
// it waits. Its client learns that from the response, so nothing is delivered. Its
// Idempotency-Key can be used again, unless concluding says that Conclude will follow.
func (r *Record) Withdraw(p *Policy, reason string, concluding bool, now Time) (*Record, bool) {
	if r.Phase != Waiting || r.Call != nil {
		return nil, false
	}
	next := *r
	next.Delivery, next.Outbox, next.Parent = nil, nil, UUID{}
	next = *next.finish(p, Closed, now)
	next.Reason = reason
	next.happened(Happening{At: now, Kind: HappenedClosed, Reason: reason})
	if !concluding {
		next.Aliases = nil
	}
	return &next, true
}

// Conclude returns the record of an ended callback with the answer that its client got,
// kept for when the client repeats the request. With nil no answer is kept, and the
// client's Idempotency-Key can be used again.
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

// Acknowledge returns the record with the upstream's ack noted, and with a kept as the
// ack if it is not nil. The phase does not change: a call may have come before the ack.
func (r *Record) Acknowledge(a *Response) (*Record, bool) {
	if r.Ack != nil || a == nil && r.Acked {
		return nil, false
	}
	next := *r
	next.Ack = a
	next.Acked, next.Awaited = true, nil
	return &next, true
}

// takesMore reports whether a callback that has ended with a call takes more of them.
func (r *Record) takesMore(p *Policy, now Time) bool {
	return p.Multiple && (r.Phase == Resolved || r.Phase == Failed) && r.Call != nil && r.ShutAt == 0 && now < r.ExpiresAt
}

// expired reports whether a callback without a call ended because its time was over.
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

// failed ends a callback as failed for a reason that is not a partner's.
func (r *Record) failed(p *Policy, code, text string, now Time) *Record {
	next := r.finish(p, Failed, now)
	next.Failure = &Failure{DocumentStatus: StatusFailed, ErrorCode: code, ErrorText: withoutControls(text, maxText), Later: r.Call != nil}
	next.happened(Happening{At: now, Kind: HappenedFailed, Reason: code})
	return next
}

// finish returns a copy with a final phase. The only work left is to hand the result
// on.
func (r *Record) finish(p *Policy, phase Phase, now Time) *Record {
	next := *r
	next.Phase = phase
	next.FinishedAt = now
	next.keep(p, now)
	next.Job, next.Request, next.Step, next.Awaited = nil, nil, UUID{}, nil
	if p.Multiple && (phase == Resolved || phase == Failed) {
		// It takes calls until it expires. Its retention begins then.
		next.keep(p, max(now, r.ExpiresAt))
	}
	next.beginDelivery(r, now)
	return &next
}
