package callback

import (
	"net/http"
	"slices"
)

// Result is what the waiting side gets in the end.
type Result struct {
	// Status is the HTTP status.
	Status int
	// Header has the copied headers and the wire headers.
	Header Header
	// Body is the body of a call, an ack or another response; nil if Failure is set.
	Body *Body
	// Call is the call whose Document is the result, with Body as its body; nil if Body is
	// the result itself.
	Call *Call
	// Failure is set for a failed callback, whose answer is a problem document.
	Failure *Failure
	// Gone says that the body was removed, and nothing can take its place.
	Gone bool
}

// Result returns what the waiting side gets from a callback that is resolved or failed,
// or that was closed and has an answer. Of a callback that waits it is its call, which is not
// the answer yet.
func (r *Record) Result(p *Policy) Result {
	result := r.result(p)
	result.Gone = r.Stripped() && result.Body != nil
	return result
}

// result is Result as if no body was removed.
func (r *Record) result(p *Policy) Result {
	switch {
	case r.Phase == Waiting:
		return r.handedOn(p, http.StatusAccepted)
	case r.Answer != nil && r.Phase == Closed:
		return Result{Status: r.Answer.Status, Header: r.Answer.Header, Body: &r.Answer.Body}
	case r.Answer != nil:
		return r.response(p, r.Answer)
	case r.Phase == Failed && p.FailedBody && r.Call != nil && !r.Failure.Later:
		return r.handedOn(p, p.FailedStatus)
	case r.Phase == Failed:
		return Result{Status: p.FailedStatus, Header: r.wireHeader(p), Failure: r.Failure}
	case p.AckIsResult && r.Ack != nil:
		return r.response(p, r.Ack)
	case p.AckIsResult:
		return Result{Status: http.StatusOK, Header: r.wireHeader(p), Body: &Body{}}
	}
	return r.handedOn(p, http.StatusOK)
}

// Progress returns what the latest call has told that was not the answer, in the form that it
// would have as the result. There is none if such a call has not come, or the answer has.
func (r *Record) Progress(p *Policy) (result Result, told bool) {
	if r.Latest == nil {
		return Result{}, false
	}
	of := *r
	of.Call = r.Latest
	return of.handedOn(p, http.StatusOK), true
}

// handedOn returns what of the call is the result.
func (r *Record) handedOn(p *Policy, status int) Result {
	body, document, made := p.HandedOn(r.Call)
	result := Result{Status: status, Header: r.copied(p), Body: &body}
	if made {
		result.Header = madeHeader(result.Header)
	}
	if document {
		result.Call = r.Call
	}
	return result
}

// DeliveredResult returns the result as it is delivered. Its headers become those of a
// request, so that of an app's response, too, it has only those that are copied: not its
// Server, Date or Set-Cookie.
func (r *Record) DeliveredResult(p *Policy) Result {
	result := r.Result(p)
	result.Header = slices.DeleteFunc(slices.Clone(result.Header), func(f Field) bool {
		return !slices.Contains(p.CopyHeaders, f.Name) && !p.wire.Speaks(f.Name)
	})
	return result
}

// AsClientSees returns the record as its client sees the end: to the client, a callback
// that has expired or was closed has failed.
func (r *Record) AsClientSees() *Record {
	var code string
	switch r.Phase {
	case Expired:
		code = FailureExpired
	case Closed:
		code = FailureClosed
	default:
		return r
	}
	failed := *r
	failed.Phase, failed.Call, failed.Answer = Failed, nil, nil
	failed.Failure = &Failure{DocumentStatus: StatusFailed, ErrorCode: code, ErrorText: "The callback is " + r.Phase.String() + "."}
	return &failed
}

// response returns a response as the result, with the wire headers.
func (r *Record) response(p *Policy, response *Response) Result {
	return Result{Status: response.Status, Header: append(r.without(p, response.Header), r.wireHeader(p)...), Body: &response.Body}
}

// copied returns the call's header lines that are handed on, with the wire headers.
func (r *Record) copied(p *Policy) Header {
	header := make(Header, 0, len(p.CopyHeaders)+2)
	for _, f := range r.Call.Header {
		if slices.Contains(p.CopyHeaders, f.Name) && !p.wire.Speaks(f.Name) {
			header = append(header, f)
		}
	}
	return append(header, r.wireHeader(p)...)
}

// without returns a response's header lines except those that are wire headers.
func (r *Record) without(p *Policy, header Header) Header {
	return slices.DeleteFunc(slices.Clone(header), func(f Field) bool { return p.wire.Speaks(f.Name) })
}

// wireHeader returns the wire headers of the result.
func (r *Record) wireHeader(p *Policy) Header {
	h := Header{{Name: p.wire.CorrelationID, Value: r.CorrelationID}}
	if r.Phase == Waiting {
		return h
	}
	if r.Phase != Failed {
		return append(h, Field{Name: p.wire.Status, Value: StatusOk})
	}
	h = append(h, Field{Name: p.wire.Status, Value: StatusFailed})
	add := func(name, value string) {
		if value != "" {
			h = append(h, Field{Name: name, Value: value})
		}
	}
	add(p.wire.DocumentStatus, r.Failure.DocumentStatus)
	add(p.wire.TechnicalStatus, r.Failure.TechnicalStatus)
	add(p.wire.ErrorCode, r.Failure.ErrorCode)
	add(p.wire.ErrorText, r.Failure.ErrorText)
	return h
}
