package hold

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"

	"github.com/caddy-callback/caddy-callback/module/answer"
	"github.com/caddy-callback/caddy-callback/module/app"
	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/engine"
	"github.com/caddy-callback/caddy-callback/module/inject"
	"github.com/caddy-callback/caddy-callback/module/memory"
	"github.com/caddy-callback/caddy-callback/module/page"
	"github.com/caddy-callback/caddy-callback/module/problem"
	"github.com/caddy-callback/caddy-callback/module/span"
	"github.com/caddy-callback/caddy-callback/module/store"
	"github.com/caddy-callback/caddy-callback/module/upstream"
)

// exchange is one request from a client, from its arrival to its answer.
type exchange struct {
	h    *Handler
	rt   *app.Runtime
	w    http.ResponseWriter
	r    *http.Request
	next caddyhttp.Handler

	request *outgoing
	// retry identifies the request when it is repeated; nil if it has no key.
	retry *callback.Retry
	// step is the background job that the request is part of, nil for a request from a
	// client.
	step *step

	callback *engine.Callback
	// waiter is nil if the exchange does not wait for the end of the callback. notice is
	// what it was told, and early is that notice if it came while the exchange waited for the
	// ack. watcher looks out for calls for a client that does not wait for them.
	waiter  *engine.Waiter
	notice  engine.Notice
	early   chan engine.Notice
	watcher *engine.Waiter
	// told is the record that an attached step was told of; nil as long as it was not.
	told *callback.Record
	// attached says that the callback was made by an earlier request. departed says that the
	// engine knows that this one is being served.
	attached, departed bool

	preference answer.Preference
	// span is nil where nothing is traced.
	span *span.Span
	// came is to be called once the ack has come, or when none can come any more.
	came func()
	// call is the request that was sent upstream, and body its body.
	call *upstream.Call
	body *trackedBody

	// timeout ends the wait as failed. patience ends it with 202 once the upstream
	// has accepted the request; nil for never.
	timeout  *time.Timer
	patience <-chan time.Time
	// parks says that the client gets 202, at once or later, if its callback has not come
	// by then. chain is the chain of redirects that it gets in place of it; none if its wait
	// is 0.
	parks bool
	chain answer.Chain

	// streams says that the client takes events once the upstream has acked, stream is what
	// it gets then; nil before that. resumes says that it was cut off while it got them, and
	// calls is how many had changed the callback when it was last told of one.
	streams, resumes bool
	stream           *answer.Stream
	calls            int

	// phase is the final phase of the callback, if the exchange knows it.
	phase callback.Phase

	// cut is why the client is not held any longer; notCut while it is.
	cut cut
	// acked says that the upstream has answered with an ack. ack is that ack, if it is
	// the result.
	acked bool
	ack   *callback.Response
	// unread says that the upstream's answer may be an ack, but cannot be read.
	unread bool
}

// cut is why an exchange ends before its callback has come.
type cut uint8

const (
	notCut cut = iota
	cutByTimeout
	cutByExit
	cutByClient
)

// end releases the resources of the exchange.
func (x *exchange) end() {
	x.takeBack()
	if x.call != nil {
		x.call.Close()
	}
	x.body.stop(x.w)
	select {
	case n := <-x.early:
		n.Done()
	default:
	}
	if x.request != nil {
		x.request.drop()
	}
	if x.waiter != nil {
		x.waiter.Stop()
	}
	if x.timeout != nil {
		x.timeout.Stop()
	}
	x.endSpan()
}

// logAs adds id and phase of the callback to the request's line in Caddy's access log.
func (x *exchange) logAs() {
	if fields, ok := x.r.Context().Value(caddyhttp.ExtraLogFieldsCtxKey).(*caddyhttp.ExtraLogFields); ok {
		fields.Set(zap.Stringer("callback_id", x.callback.ID))
		fields.Set(zap.Stringer("callback_phase", x))
	}
	if x.span != nil {
		x.span.Of(x.callback.ID, x.callback.Name)
	}
}

// String returns the phase of the callback, as far as the exchange knows it. The access
// log calls it when it writes the line.
func (x *exchange) String() string { return max(x.phase, callback.Waiting).String() }

// refuse answers with a problem.
func (x *exchange) refuse(p problem.Problem) error {
	x.takeBack()
	x.span.Fail(p.Slug, p.Status >= http.StatusInternalServerError)
	switch {
	case x.stream != nil:
		x.tellProblem(p)
		return nil
	case x.resumes:
		// Caddy's log of errors would show the id that opens the stream.
		p.Write(answeredTo(x.w, x.r))
		return nil
	}
	return x.h.refuse(x.w, x.r, p)
}

// refuseFor answers with the problem of an error.
func (x *exchange) refuseFor(err error) error {
	var p problem.Problem
	if !errors.As(err, &p) {
		x.rt.Engine.Refused(err, zap.String("request", "to a callback directive"))
	}
	return x.refuse(answer.ProblemOf(err))
}

// lasting returns a context that does not end when the client leaves.
func (x *exchange) lasting() context.Context { return context.WithoutCancel(x.r.Context()) }

// beginTime starts the two timers, counted from the request's arrival: timeout, and
// patience if 202 comes first.
func (x *exchange) beginTime(arrived time.Time) {
	timeout := time.Duration(x.h.Timeout)
	x.preference = answer.Preference{Ignored: true}
	if x.h.heedsPrefer() {
		x.preference = answer.PreferenceOf(x.r.Header, timeout)
	}
	if x.h.isStep() || x.resumes {
		// The request goes on after its callback, so there is no result to fetch later; or
		// it was held already.
		x.preference.Async = false
	}
	p := x.preference
	x.streams = x.takesEvents()
	elapsed := time.Since(arrived)
	switch {
	case x.h.Mode == modeHold && !x.preference.Async:
		if p.Waits {
			timeout = p.Wait
		}
		x.parks = x.h.parksAtTimeout()
		if x.toPage() {
			x.parks, x.patience = true, time.After(min(x.h.Page.patience(), timeout)-elapsed)
			timeout += ackGrace
			break
		}
		if x.h.OnTimeout == onTimeoutRedirect {
			x.chain = answer.NewChain(timeout)
		}
		if x.parks {
			x.patience = time.After(timeout - elapsed)
			timeout += ackGrace
		}
	default:
		x.parks = true
		if p.Waits {
			x.patience = time.After(p.Wait - elapsed)
		}
	}
	x.timeout = time.NewTimer(timeout - elapsed)
}

// ackGrace is how much longer an exchange waits for the upstream's ack after the time at
// which the client should get 202: before the ack, there is no 202 to give.
const ackGrace = 5 * time.Second

// answersAtOnce reports whether the client gets 202 as soon as the upstream has accepted
// the request.
func (x *exchange) answersAtOnce() bool { return x.parks && x.patience == nil }

// begin makes the callback, or finds the one that an earlier request has made. The
// callback of a request with a key, or with a job, is committed before begin returns.
func (x *exchange) begin() error {
	spec, err := x.spec()
	if err != nil {
		return err
	}
	if old, err := x.findOld(); old != nil || err != nil {
		return x.found(old, err)
	}
	cb, err := x.rt.Engine.Create(x.r.Context(), spec)
	if errors.Is(err, store.ErrExists) {
		return x.find()
	}
	if err != nil {
		return err
	}
	x.callback = cb
	x.logAs()
	if err := x.await(); err != nil {
		_, _ = x.withdraw("too many requests are held", false)
		return err
	}
	x.setPlaceholders()
	if x.retry == nil && !x.h.background() {
		return nil
	}
	return store.Wait(x.lasting(), cb.Commit)
}

// spec describes the callback that the request makes.
func (x *exchange) spec() (engine.Spec, error) {
	h := x.h
	if len(x.r.Header["Content-Encoding"]) > 0 {
		x.request.unpacked = x.rt.Engine.Packed(x.request.own.Bytes(), x.rt.Engine.Memory(memory.Nobody))
		defer x.request.unpacked.Release()
	}
	spec := callback.Spec{Name: h.Name, ExpiresIn: h.lifetime(), Trace: callback.Trace(x.r.Header)}
	var err error
	if h.CorrelationID != nil && h.CorrelationID.From == fromRequest {
		if spec.CorrelationID, err = x.request.correlationID(h.CorrelationID.Location); err != nil {
			return engine.Spec{}, err
		}
	}
	if h.deliverer != nil {
		if spec.DeliverTo, err = x.request.deliverTo(); err != nil {
			return engine.Spec{}, h.passesWithout(err)
		}
		if spec.DeliverFailedTo, err = x.request.deliverFailedTo(); err != nil {
			return engine.Spec{}, err
		}
		spec.Sender = h.deliverer.Sender()
		// If the receiver of the delivery handles it as a call, it expects the
		// correlation id that the client sent.
		m := inject.Message{Header: x.r.Header}
		if id, _ := m.Only(inject.Location{In: inject.Header, Name: h.policy.Wire().CorrelationID}); callback.ValidCorrelationID(id) {
			spec.DeliverAs = id
		}
	}
	if x.retry != nil {
		spec.Idempotency, spec.Fingerprint = x.retry.Alias, x.retry.Fingerprint
	}
	// A step of a job waits for its job, which survives a restart.
	spec.Attended = h.isStep() && x.step == nil
	spec.AwaitsID = h.correlates()
	spec.Confirm, spec.Question = h.Confirm != nil, x.question()
	if x.step != nil && h.Mode != modeHold {
		spec.Parent = x.step.parent
	}
	if h.background() {
		spec.Block = h.firstBlock()
		spec.Request = x.request.stored(x.r)
	}
	return engine.Spec{Policy: h.policy, Spec: spec, Held: !x.answersAtOnce()}, nil
}

// lifetime returns how long calls are accepted. The callback of a step is closed at the
// timeout. If it expired at that moment, too, it would be left to chance which of the two its
// client is told of.
func (h *Handler) lifetime() time.Duration {
	expires := time.Duration(h.ExpiresIn)
	if h.isStep() && h.ExpiresIn >= h.Timeout {
		return expires + ackGrace
	}
	return expires
}

// find finds the callback that an earlier request has made.
func (x *exchange) find() error {
	if x.retry != nil {
		cb, err := x.rt.Engine.FindCommitted(x.lasting(), store.ByAlias(x.retry.Alias))
		if !errors.Is(err, store.ErrNotFound) {
			return x.found(cb, err)
		}
	}
	return problem.CorrelationTaken
}

// found attaches the exchange to a callback that an earlier request has made.
func (x *exchange) found(cb *engine.Callback, err error) error {
	if err != nil {
		return err
	}
	x.callback, x.attached = cb, true
	x.logAs()
	x.span.Link(cb.Trace.Traceparent())
	return nil
}

// await registers the exchange as a waiter, unless the client does not wait.
func (x *exchange) await() (err error) {
	if x.answersAtOnce() || x.waiter != nil {
		return nil
	}
	durable := x.streams || x.h.policy.Multiple || x.retry != nil || x.h.background() || x.h.Call != nil
	x.waiter, err = x.rt.Engine.Await(x.callback.ID, durable)
	return err
}

// ended returns the channel on which the notice of the callback's end comes; nil without
// a waiter.
func (x *exchange) ended() <-chan engine.Notice {
	if x.early != nil {
		return x.early
	}
	if x.waiter == nil {
		return nil
	}
	return x.waiter.C
}

// withdraw closes the callback of a request that was not accepted.
func (x *exchange) withdraw(reason string, concluding bool) (*callback.Record, error) {
	return x.rt.Engine.Withdraw(x.lasting(), x.callback.ID, reason, concluding)
}

// close closes the callback, if it still waits.
func (x *exchange) close(reason string) {
	_, _ = x.rt.Engine.CloseCallback(x.lasting(), store.ByID(x.callback.ID), reason, "")
}

// proceed carries a new request on.
func (x *exchange) proceed() error {
	if !x.h.background() {
		return x.callUpstream()
	}
	return x.waitOrPark()
}

// waitOrPark waits for the callback of a request that is accepted, or answers 202.
func (x *exchange) waitOrPark() error {
	if x.request != nil && !x.h.isStep() {
		// Whatever comes now, nobody reads the request again.
		x.request.drop()
		x.trim()
	}
	if x.answersAtOnce() {
		return x.park()
	}
	return x.wait()
}

// trim lets go of the bodies in the callback's record, which are not needed for as long as
// the client is held.
func (x *exchange) trim() {
	cb, record := *x.callback, *x.callback.Record
	record.Request, record.Call, record.Latest, record.Ack, record.Answer, record.Outbox = nil, nil, nil, nil, nil, nil
	cb.Record = &record
	x.callback = &cb
}

// refuse answers with a problem, or hands the error to Caddy if the directive says so.
func (h *Handler) refuse(w http.ResponseWriter, r *http.Request, p problem.Problem) error {
	if h.Errors == "caddy" {
		p.Note()
		setErrorPlaceholders(r, p)
		for name, values := range p.Header {
			w.Header()[name] = values
		}
		return caddyhttp.Error(p.Status, errors.New(p.Title))
	}
	p.Write(answeredTo(w, r))
	return nil
}

// answeredTo returns a writer to which problems are written as the client wants them. The
// answer to a job is no person's, whoever has sent the request that it carries out.
func answeredTo(w http.ResponseWriter, r *http.Request) http.ResponseWriter {
	return problem.For(w, page.Wanted(r) && stepOf(r.Context()) == nil)
}
