package callback

import "strconv"

// Block names a block of the directive that runs in the background.
type Block string

// The blocks.
const (
	// CallBlock is the block whose upstream answers by callback.
	CallBlock Block = "call"
	// ThenBlock is the block whose response is the result.
	ThenBlock Block = "then"
	// PollBlock is the block through which the upstream is asked for the result.
	PollBlock Block = "poll"
	// FetchBlock is the block through which the result is fetched after a success.
	FetchBlock Block = "fetch"
)

// Job is background work that a callback needs done: a block to be run on the
// stored request. It is done at least once.
type Job struct {
	// Block is the block to run.
	Block Block `cbor:"1,keyasint"`
	// Attempts counts the failed attempts.
	Attempts int `cbor:"2,keyasint,omitempty"`
	// NextAt is when to try next.
	NextAt Time `cbor:"3,keyasint"`
	// Error says, for people, why the last attempt failed.
	Error string `cbor:"4,keyasint,omitempty"`
	// Target is the path and query that the block is asked for, where the upstream has said
	// it; empty where the configuration says it.
	Target string `cbor:"5,keyasint,omitempty"`
	// Unknown are members that this release does not know.
	Unknown Unknown `cbor:"-"`
}

// Request is a client's request as it is stored, before anything is injected.
type Request struct {
	Method string `cbor:"1,keyasint"`
	// URI is path and query as they were escaped in the request.
	URI  string `cbor:"2,keyasint"`
	Host string `cbor:"3,keyasint"`
	// Header has every header but those of the connection: background work sends the
	// request in the client's name.
	Header Header `cbor:"4,keyasint,omitempty"`
	Body   Body   `cbor:"5,keyasint"`
	// RemoteAddr is the client's address and port.
	RemoteAddr string `cbor:"6,keyasint,omitempty"`
	// TLS says that the client came over TLS.
	TLS bool `cbor:"7,keyasint,omitempty"`
	// Unknown are members that this release does not know.
	Unknown Unknown `cbor:"-"`
}

// Attempt is the outcome of an attempt at a job.
type Attempt struct {
	Kind AttemptKind
	// Response is the response that ends the job, or the ack if that is kept.
	Response *Response
	// Call is what the upstream has answered when it was asked for the result, with
	// AttemptPolled: it is judged as a call is.
	Call *Call
	// Poll is the job that asks the upstream for the result, with AttemptAcked; nil for none.
	Poll *Job
	// RetryAt is when to try again.
	RetryAt Time
	// Status is that of the upstream's answer; 0 if there was none.
	Status int
	// Code and Error say why the attempt failed.
	Code, Error string
	// Step is the callback that continues the work, with AttemptContinued.
	Step UUID
	// Lost is why the response could not be kept, nil if it could. The attempt is not
	// recorded then.
	Lost error
	// Done lets go of the response, which is not used any more; nil if there is nothing to
	// let go of.
	Done func()
}

// AttemptKind is the kind of outcome of an attempt.
type AttemptKind uint8

// The kinds of attempt.
const (
	// AttemptAcked: the upstream has accepted the request and will call back.
	AttemptAcked AttemptKind = iota + 1
	// AttemptAnswered: the response is the result.
	AttemptAnswered
	// AttemptContinued: another callback is the next step.
	AttemptContinued
	// AttemptUnknown: the upstream may have accepted the request, and must not get it
	// again.
	AttemptUnknown
	// AttemptRetry: the attempt has failed and is to be repeated.
	AttemptRetry
	// AttemptFailed: the job has failed for good.
	AttemptFailed
	// AttemptPolled: the upstream was asked for the result, and has answered.
	AttemptPolled
)

// Attempted returns the record after an attempt at the job in a block. It changes
// nothing if that job is no longer to be done: a call can arrive before the ack. Such a
// late ack is kept only if it is the result.
func (r *Record) Attempted(p *Policy, block Block, a Attempt, now Time) (*Record, bool) {
	if r.Phase == Resolved && r.Call != nil && block == CallBlock && a.Kind == AttemptAcked && p.AckIsResult && a.Response != nil {
		return r.noting(HappenedAcked, a, "", now).Acknowledge(a.Response)
	}
	if r.Phase != Waiting || r.Job == nil || r.Job.Block != block {
		return nil, false
	}
	switch a.Kind {
	case AttemptAcked:
		return r.noting(HappenedAcked, a, "", now).handedOver(p, a), true
	case AttemptUnknown:
		return r.noting(HappenedAttempted, a, "perhaps accepted", now).handedOver(p, a), true
	case AttemptContinued:
		return r.noting(HappenedAttempted, a, "continued by a step", now).handedOver(p, a), true
	case AttemptRetry:
		return r.noting(HappenedAttempted, a, a.Error, now).retried(a), true
	case AttemptPolled:
		return r.polled(p, a, now), true
	case AttemptAnswered:
		a.Status = a.Response.Status
		return r.noting(HappenedAttempted, a, "", now).answered(p, a.Response, now), true
	}
	return r.noting(HappenedAttempted, a, a.Code, now).failed(p, a.Code, a.Error, now), true
}

// handedOver ends a job whose outcome will come from a call or a step.
func (r *Record) handedOver(p *Policy, a Attempt) *Record {
	next := *r
	next.Job = a.Poll
	if !p.Then || r.Job.Block != CallBlock {
		// No later call can begin more work.
		next.Request = nil
	}
	if a.Kind == AttemptAcked {
		next.Acked, next.Awaited = true, nil
		if p.AckIsResult && r.Ack == nil {
			next.Ack = a.Response
		}
	}
	next.Step = a.Step
	return &next
}

// retried schedules the next attempt at the job.
func (r *Record) retried(a Attempt) *Record {
	next, job := *r, *r.Job
	job.Attempts++
	job.NextAt = a.RetryAt
	job.Error = withoutControls(a.Error, maxText)
	next.Job = &job
	return &next
}

// answered ends a callback with a response that is its result. From 400 on it
// means Failed, with the status as the error code.
func (r *Record) answered(p *Policy, response *Response, now Time) *Record {
	if response.Status < 400 {
		next := r.finish(p, Resolved, now)
		next.Answer = response
		next.happened(Happening{At: now, Kind: HappenedResolved})
		return next
	}
	next := r.failed(p, strconv.Itoa(response.Status), "The upstream has answered with status "+strconv.Itoa(response.Status)+".", now)
	next.Answer = response
	return next
}

// Untold reports whether the parent still has to be told how this step ended.
func (r *Record) Untold() bool { return r.Phase.Final() && !r.Parent.IsZero() && !r.Told }

// Tell returns the record of a step whose parent was told how it ended.
func (r *Record) Tell() (*Record, bool) {
	if !r.Untold() {
		return nil, false
	}
	next := *r
	next.Told = true
	return &next, true
}

// Follow returns the record of a callback after the step that it waits for has ended.
// result is that step's result; nil if it has none. A step can end before the record of
// its parent names it; the parent then still has its job.
func (r *Record) Follow(p *Policy, step *Record, result *Response, now Time) (*Record, bool) {
	early := r.Job != nil && step.Parent == r.ID
	if r.Phase != Waiting || !step.Phase.Final() || r.Step != step.ID && !early {
		return nil, false
	}
	name := "The step"
	if step.Name != "" {
		name += " " + step.Name
	}
	switch {
	case step.Phase == Expired:
		return r.failed(p, FailureExpired, name+" has expired.", now), true
	case step.Phase == Closed:
		return r.failed(p, FailureClosed, name+" was closed: "+step.Reason, now), true
	case step.Phase == Failed:
		next, failure := r.finish(p, Failed, now), *step.Failure
		failure.Later = r.Call != nil
		next.Failure, next.Answer = &failure, result
		next.happened(Happening{At: now, Kind: HappenedFailed, Reason: byStep})
		return next, true
	case result == nil:
		return r.failed(p, FailureLost, name+" was resolved, and its result cannot be read any more.", now), true
	}
	next := r.finish(p, Resolved, now)
	next.Answer = result
	next.happened(Happening{At: now, Kind: HappenedResolved, Reason: byStep})
	return next, true
}

// byStep is why a callback has ended as the step did that it waited for.
const byStep = "step"
