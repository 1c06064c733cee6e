package callback

// Poll returns the record of a callback whose upstream has accepted the request and is asked
// for the result as well, by that job. If a call has come before, or the callback has ended,
// nobody need ask.
func (r *Record) Poll(job Job) (*Record, bool) {
	if r.Phase != Waiting || r.Job != nil || r.Call != nil {
		return nil, false
	}
	next := *r
	next.Job = &job
	next.Acked, next.Awaited = true, nil
	return &next, true
}

// polled returns the record after the upstream has answered when it was asked for the result;
// without a call in the attempt, that there is none yet.
// The answer is judged as a call is, but need have no wire headers. What cannot be read is no
// result: the upstream is asked again.
func (r *Record) polled(p *Policy, a Attempt, now Time) *Record {
	if a.Call == nil {
		return r.noting(HappenedPolled, a, "", now).retried(a)
	}
	lenient := *p
	lenient.RequireCorrelationID, lenient.RequireStatus = false, false
	said, fault := r.read(&lenient, a.Call)
	switch {
	case fault.Slug != "":
		a.Error = fault.Detail
		return r.noting(HappenedPolled, a, fault.Slug, now).retried(a)
	case said.progress:
		return r.noting(HappenedPolled, a, "", now).retried(a)
	}
	a.Call.Polled = true
	before := *r.noting(HappenedPolled, a, "", now)
	before.Latest, before.LatestReply = nil, nil
	if block, goesOn := p.nextBlock(); goesOn && said.failure == nil {
		next := before
		next.Call = a.Call
		next.Job = &Job{Block: block, NextAt: now}
		return &next
	}
	phase := Resolved
	if said.failure != nil {
		phase = Failed
	}
	next := before.finish(p, phase, now)
	next.Call, next.Failure = a.Call, said.failure
	next.happened(Happening{At: now, Kind: endings[phase]})
	return next
}

// nextBlock returns the block that goes on after a success, if one does.
func (p *Policy) nextBlock() (block Block, goesOn bool) {
	switch {
	case p.Fetch:
		return FetchBlock, true
	case p.Then:
		return ThenBlock, true
	}
	return "", false
}

// pollsOnly reports whether the only work that is left is to ask for the result.
func (r *Record) pollsOnly() bool { return r.Job != nil && r.Job.Block == PollBlock }
