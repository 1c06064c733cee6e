package hold

import (
	"cmp"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/caddyserver/caddy/v2"
	"go.uber.org/zap"

	"github.com/caddy-callback/caddy-callback/module/app"
	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/deliver"
	"github.com/caddy-callback/caddy-callback/module/engine"
	"github.com/caddy-callback/caddy-callback/module/inject"
	"github.com/caddy-callback/caddy-callback/module/memory"
	"github.com/caddy-callback/caddy-callback/module/store"
	"github.com/caddy-callback/caddy-callback/module/upstream"
)

// What one attempt at a block may take, where the directive does not say. The block call
// only has to be acked; the block then does the work.
const (
	DefaultCallTimeout = 30 * time.Second
	DefaultThenTimeout = 10 * time.Minute
)

// attemptTimeout returns how long one attempt at a block may take.
func (h *Handler) attemptTimeout(b callback.Block) time.Duration {
	timeout := DefaultThenTimeout
	if b == callback.CallBlock {
		timeout = DefaultCallTimeout
	}
	return cmp.Or(time.Duration(h.AttemptTimeout), timeout)
}

// step is what the handlers that run in a background job see of it. A callback that they
// make becomes the job's next step.
type step struct {
	parent callback.UUID
	next   callback.UUID
	// left are the callbacks that were waited for in vain.
	left []callback.UUID
}

// leave notes that an exchange does not wait any longer. If the job is tried again, it will.
func (s *step) leave(x *exchange) {
	if x.cut != cutByExit {
		s.left = append(s.left, x.callback.ID)
	}
}

type stepKey struct{}

// stepOf returns the job that a request is part of, nil for a request from a client.
func stepOf(ctx context.Context) *step {
	s, _ := ctx.Value(stepKey{}).(*step)
	return s
}

// Codes of failed jobs.
const (
	failureRequest         = "request"
	failureUpstreamUnknown = "upstream-unknown"
	failureUpstream        = "upstream"
	failureCorrelation     = "correlation"
)

// Has implements app.Directive.
func (h *Handler) Has(b callback.Block) bool {
	switch b {
	case callback.PollBlock:
		return h.Poll != nil
	case callback.FetchBlock:
		return h.Fetch != nil
	}
	return h.block(b) != nil
}

// Attempt implements app.Directive: it runs the job's block on the stored request.
func (h *Handler) Attempt(ctx context.Context, rt *app.Runtime, cb *engine.Callback) (attempt callback.Attempt, ok bool) {
	if b := cb.Job.Block; b == callback.PollBlock || b == callback.FetchBlock {
		return h.attemptSource(ctx, rt, cb)
	}
	routes := h.block(cb.Job.Block)
	if routes == nil {
		return callback.Attempt{}, false
	}
	ctx, cancel := context.WithTimeout(ctx, h.attemptTimeout(cb.Job.Block))
	defer cancel()
	s := &step{parent: cb.ID}
	j := &job{h: h, rt: rt, cb: cb, step: s}
	if cb.Job.Block == callback.CallBlock && cb.SecretGone() {
		j.end()
		return j.again(callback.ErrSecretGone.Error(), 0), true
	}
	request, err := j.request(context.WithValue(ctx, stepKey{}, s))
	if err != nil {
		j.end()
		return j.unprepared(err), true
	}
	if cb.Job.Block == callback.CallBlock {
		defer h.expectAck(rt.Engine, cb.ID)()
	}
	room := upstream.Room{Kept: h.app.MaxBodySize, Passed: -1, Drained: h.app.MaxBodySize}
	furnish(&room, rt.Engine, cb.ID)
	call := upstream.Run(ctx, routes, request, room, j, j.retain())
	attempt = j.closeLeft(j.attemptOf(call))
	attempt.Done = call.Close
	return attempt, true
}

// unprepared returns the attempt whose request could not be built.
func (j *job) unprepared(err error) callback.Attempt {
	if errors.Is(err, store.ErrDamaged) {
		return callback.Attempt{Kind: callback.AttemptFailed, Code: failureRequest, Error: "The stored request cannot be read any more."}
	}
	return j.again("the stored request could not be prepared: "+err.Error(), 0)
}

// closeLeft closes the callbacks that the attempt has waited for in vain, if it was the
// last: nothing would come of their calls. If one was called in the meantime, the job is
// tried again.
func (j *job) closeLeft(a callback.Attempt) callback.Attempt {
	if a.Kind != callback.AttemptFailed && a.Kind != callback.AttemptAnswered {
		return a
	}
	for _, id := range j.step.left {
		r, err := j.rt.Engine.CloseCallback(context.Background(), store.ByID(id), "the job that waited for it has ended", "")
		if err == nil && r.Call != nil {
			return j.again("a callback came late", 0)
		}
	}
	return a
}

// Deliverer implements app.Directive.
func (h *Handler) Deliverer() *app.Deliverer { return h.deliverer }

// job is one attempt at a job.
type job struct {
	h    *Handler
	rt   *app.Runtime
	cb   *engine.Callback
	step *step
	// acked says that the answer is an ack, and unread why that is not known.
	acked  bool
	unread error
	// body is what the request's body is read from, nil for one that values are put into, and
	// filled holds that.
	body   io.Closer
	filled outgoing
}

// end lets go of the request's body, which the upstream may read after its ack.
func (j *job) end() {
	j.close()
	j.filled.body.Release()
}

// close closes the request's body.
func (j *job) close() {
	if j.body != nil {
		_ = j.body.Close()
	}
}

// retain keeps the request's body for the block, and returns what ends that.
func (j *job) retain() (release func()) {
	if release = j.filled.retain(); release != nil {
		return release
	}
	return j.close
}

// bodies opens what the callback's record holds.
func (j *job) bodies() engine.Bodies { return j.rt.Engine.Bodies(j.cb.ID) }

// stream makes a body readable for a transport that may outlive the attempt.
func (j *job) stream(c engine.Content) engine.Content {
	c.ReadCloser = upstream.NewStream(c.ReadCloser)
	j.body = c
	return c
}

// request builds the request that the block gets.
func (j *job) request(ctx context.Context) (*http.Request, error) {
	r, repl, err := upstream.NewRequest(ctx, j.h.server, j.cb.Request)
	if err != nil {
		return nil, err
	}
	if err := j.setCalls(ctx, scopeFor(r, j.rt)); err != nil {
		return nil, err
	}
	if j.cb.Job.Block == callback.CallBlock {
		err = j.fillCall(r, repl)
	} else {
		err = j.fillThen(r)
	}
	return r, err
}

// fillCall completes the request for the block call, which gets the injected values.
func (j *job) fillCall(r *http.Request, repl *caddy.Replacer) error {
	o := &j.filled
	o.h, o.out, o.repl, o.space = j.h, r, repl, j.rt.Engine.Memory(memory.Nobody)
	if j.h.injectsInto == "" {
		if err := j.setOwnBody(r); err != nil {
			return err
		}
	} else {
		whole, err := j.bodies().Whole(r.Context(), j.cb.Request.Body)
		if err != nil {
			return err
		}
		o.send(whole)
	}
	if err := o.fill(j.cb); err != nil {
		return err
	}
	j.setKey(r, j.cb.ID.String())
	return nil
}

// fillThen completes the request for the block then, which gets the correlation id and what
// of the call is the result.
func (j *job) fillThen(r *http.Request) error {
	if j.cb.Call != nil && j.h.usesBody() {
		called, err := j.bodies().Call(r.Context(), j.cb.Call, j.cb.Policy)
		if err != nil {
			return err
		}
		putCall(r, j.cb.Call, j.stream(called))
	} else if err := j.setOwnBody(r); err != nil {
		return err
	}
	if !j.h.InjectOff {
		r.Header.Set(j.h.policy.Wire().CorrelationID, j.cb.CorrelationID)
	}
	j.setKey(r, j.cb.ID.String()+"."+string(callback.ThenBlock))
	return nil
}

// setOwnBody gives the request the body that its client has sent.
func (j *job) setOwnBody(r *http.Request) error {
	own, err := j.bodies().Open(r.Context(), j.cb.Request.Body)
	if err != nil {
		return err
	}
	own = j.stream(own)
	upstream.SetStream(r, own, own.Size)
	return nil
}

// setKey gives the request an Idempotency-Key, unless its client did. The key is the same on
// every attempt, so that the upstream can recognize a repeated request.
func (j *job) setKey(r *http.Request, key string) {
	if r.Header.Get(callback.IdempotencyKey) == "" {
		r.Header.Set(callback.IdempotencyKey, key)
	}
}

// maxSteps is how many steps setCalls goes back, the job's own step included.
const maxSteps = 32

// setCalls makes the callback's placeholders, its call, and the calls of earlier
// steps available.
func (j *job) setCalls(ctx context.Context, s *scope) error {
	cb := j.cb
	for range maxSteps {
		if cb.Call != nil {
			s.addCall(cb.Name, cb.Call)
		}
		if cb.Parent.IsZero() {
			break
		}
		parent, err := j.rt.Engine.Find(ctx, store.ByID(cb.Parent))
		if errors.Is(err, store.ErrNotFound) {
			break
		}
		if err != nil {
			return err
		}
		cb = parent
	}
	s.set(j.cb)
	if j.cb.Call != nil {
		s.setCall(j.cb.Name, j.cb.Call)
	}
	return nil
}

// Head implements upstream.Judge: it decides how much of an answer is needed, of an ack to
// the block call perhaps only its status.
func (j *job) Head(status int, header http.Header) upstream.Fate {
	if j.cb.Job.Block != callback.CallBlock || !j.h.accepts(j.cb.Request.Method, status) {
		return upstream.Kept
	}
	j.acked, j.unread = saysAll(&inject.Message{Header: header}, j.h.ackHeader)
	switch {
	case !j.acked:
		return upstream.Kept
	case len(j.h.ackBody) > 0:
		return j.h.weighs()
	}
	return j.h.neededOf()
}

// Body implements upstream.Judge: it decides by its body whether an answer with the status of
// an ack is one.
func (j *job) Body(a *upstream.Answer) upstream.Fate {
	if j.acked, j.unread = j.h.bodySays(a, j.rt.Engine, j.cb.ID); !j.acked {
		return upstream.Kept
	}
	return weighed(j.h.neededOf())
}

// attemptOf returns the outcome of an attempt.
func (j *job) attemptOf(call *upstream.Call) callback.Attempt {
	attempt := j.outcomeOf(call)
	attempt.Status = statusOf(call)
	return attempt
}

// outcomeOf is attemptOf without the status.
func (j *job) outcomeOf(call *upstream.Call) callback.Attempt {
	if !j.step.next.IsZero() {
		return callback.Attempt{Kind: callback.AttemptContinued, Step: j.step.next}
	}
	if crash := call.Crash(); crash != nil {
		j.h.log.Error("a handler of a job panicked", zap.Any("panic", crash), zap.Stringer("id", j.cb.ID))
	}
	switch outcome := call.Outcome(); {
	case outcome == upstream.Refused:
		return j.again("the upstream could not be reached", 0)
	case outcome == upstream.Unhandled:
		return callback.Attempt{Kind: callback.AttemptFailed, Code: failureUpstream, Error: "Nothing has answered the request."}
	case outcome == upstream.Unknown || call.Broken():
		return j.unknown("the connection to the upstream failed, or the upstream did not answer in time", 0)
	}
	status := call.Status()
	retryAfter := deliver.RetryAfter(call.Message().Header.Get("Retry-After"), time.Now())
	switch {
	case j.unread != nil:
		j.h.log.Warn("it is not known whether an answer of the upstream is an ack, for it cannot be read; its callback goes on waiting",
			zap.Stringer("id", j.cb.ID), zap.Error(j.unread))
		return callback.Attempt{Kind: callback.AttemptUnknown}
	case j.acked && j.h.correlates():
		return j.correlate(call)
	case j.acked:
		return j.ackedWith(call)
	case status == http.StatusTooManyRequests, status == http.StatusServiceUnavailable:
		// With these statuses, the upstream says that it has not carried the request out.
		return j.again("the upstream answered "+strconv.Itoa(status), retryAfter)
	case status == http.StatusBadGateway, status == http.StatusGatewayTimeout:
		return j.unknown("the upstream answered "+strconv.Itoa(status), retryAfter)
	}
	response, err := call.Response()
	if errors.Is(err, engine.ErrTooLarge) {
		return callback.Attempt{Kind: callback.AttemptFailed, Code: failureUpstream, Error: "The upstream's answer is larger than allowed."}
	}
	return callback.Attempt{Kind: callback.AttemptAnswered, Response: response, Lost: err}
}

// ackedWith returns the attempt that has come to an ack, which is kept if it is the result
// and not too large.
func (j *job) ackedWith(call *upstream.Call) callback.Attempt {
	attempt := callback.Attempt{Kind: callback.AttemptAcked, Poll: j.pollAfterAck(call)}
	if !j.h.policy.AckIsResult {
		return attempt
	}
	var err error
	if attempt.Response, err = call.Response(); !errors.Is(err, engine.ErrTooLarge) {
		attempt.Lost = err
	}
	return attempt
}

// pollAfterAck returns the job that asks for the result, by the newest record: the ack may have
// named its correlation id.
func (j *job) pollAfterAck(call *upstream.Call) *callback.Job {
	if j.h.Poll == nil {
		return nil
	}
	base, err := url.ParseRequestURI(j.cb.Request.URI)
	if err != nil {
		return nil
	}
	r := j.cb.Record
	if newest, err := j.rt.Engine.Find(context.Background(), store.ByID(j.cb.ID)); err == nil {
		r = newest.Record
	}
	return j.h.pollAfterAck(call, j.rt.Engine, r, base)
}

// correlate gives the callback the correlation id that the ack names.
func (j *job) correlate(call *upstream.Call) callback.Attempt {
	failed := callback.Attempt{Kind: callback.AttemptFailed, Code: failureCorrelation,
		Error: "The upstream's answer names no correlation id that can be used"}
	id, err := j.h.correlationIn(call, j.rt.Engine, j.cb.ID)
	if err != nil {
		failed.Error += ": " + err.Error() + "."
		return failed
	}
	if _, err = j.rt.Engine.Correlate(context.Background(), j.cb.ID, id); err != nil {
		failed.Error += "."
		return failed
	}
	return j.ackedWith(call)
}

// unknown returns the attempt at a job whose request the upstream may have carried out.
// The job is tried again only if its method is idempotent, or with retry_unsafe.
func (j *job) unknown(reason string, retryAfter time.Duration) callback.Attempt {
	switch {
	case j.h.RetryUnsafe || isIdempotent(j.cb.Request.Method):
		return j.again(reason, retryAfter)
	case j.cb.Job.Block == callback.CallBlock:
		return callback.Attempt{Kind: callback.AttemptUnknown}
	}
	return callback.Attempt{Kind: callback.AttemptFailed, Code: failureUpstreamUnknown,
		Error: "The request may have been carried out: " + reason + ". It was not tried again."}
}

// The wait before another attempt at a job: it doubles from the first to the longest.
const (
	firstBackoff   = time.Second
	longestBackoff = 5 * time.Minute
)

// again returns an attempt that is to be repeated after a wait, in which the upstream may
// recover.
func (j *job) again(reason string, retryAfter time.Duration) callback.Attempt {
	wait := longestBackoff
	if n := j.cb.Job.Attempts; n < 9 {
		wait = min(wait, firstBackoff<<n)
	}
	wait = time.Duration(float64(wait) * (0.8 + 0.4*rand.Float64())) //nolint:gosec // jitter is no secret
	at := callback.At(j.rt.Engine.Now().Add(max(wait, retryAfter)))
	return callback.Attempt{Kind: callback.AttemptRetry, RetryAt: at, Error: reason}
}
