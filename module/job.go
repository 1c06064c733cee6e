package module

import (
	"context"
	"crypto/tls"
	"errors"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"

	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/deliver"
	"github.com/caddy-callback/caddy-callback/module/engine"
	"github.com/caddy-callback/caddy-callback/module/store"
)

// DefaultAttemptTimeout is how long an attempt at a job may take.
const DefaultAttemptTimeout = 30 * time.Second

// worker does the background work of a runtime, by the newest configuration.
type worker struct{ rt *runtime }

// step is a background job as the handlers see it that run in it. A callback that is
// made in it becomes the job's next step.
type step struct {
	parent callback.UUID
	next   callback.UUID
}

type stepKey struct{}

// stepOf returns the job that a request is part of, nil for a client's.
func stepOf(ctx context.Context) *step {
	s, _ := ctx.Value(stepKey{}).(*step)
	return s
}

// Codes of failed jobs.
const (
	failureRouteGone       = "route-gone"
	failureRequest         = "request"
	failureUpstreamUnknown = "upstream-unknown"
	failureUpstream        = "upstream"
)

// Attempt implements engine.Worker: it runs the job's block on the stored request.
func (wk worker) Attempt(ctx context.Context, cb *engine.Callback) callback.Attempt {
	h := wk.rt.route(cb.Name)
	var routes caddyhttp.RouteList
	if h != nil {
		routes = h.block(cb.Job.Block)
	}
	if routes == nil {
		zap.New(wk.rt.log).Error("a job has failed because its route is gone from the configuration",
			zap.String("name", cb.Name), zap.String("block", string(cb.Job.Block)), zap.Stringer("id", cb.ID))
		return callback.Attempt{Kind: callback.AttemptFailed, Code: failureRouteGone,
			Error: "There is no callback directive with the name " + cb.Name + " and a block " + string(cb.Job.Block) + " any more."}
	}
	ctx, cancel := context.WithTimeout(ctx, duration(h.AttemptTimeout, DefaultAttemptTimeout))
	defer cancel()
	s := &step{parent: cb.ID}
	j := &job{h: h, rt: wk.rt, cb: cb, step: s}
	request, err := j.request(context.WithValue(ctx, stepKey{}, s))
	if err != nil {
		if errors.Is(err, store.ErrDamaged) {
			return callback.Attempt{Kind: callback.AttemptFailed, Code: failureRequest, Error: "The stored request cannot be read any more."}
		}
		return j.again("the stored request could not be made ready: "+err.Error(), 0)
	}
	keep := keeps{ack: h.app.MaxBodySize, passed: -1}
	call := callUpstream(routes.Compile(nothingAnswers), nowhere{make(http.Header)}, request, keep, func(int) bool { return true })
	select {
	case <-call.done:
	case <-ctx.Done():
	}
	call.cancel()
	<-call.done
	return j.judge(call)
}

// job is one attempt at a job.
type job struct {
	h    *Handler
	rt   *runtime
	cb   *engine.Callback
	step *step
}

// request builds the request that the block gets.
func (j *job) request(ctx context.Context) (*http.Request, error) {
	stored := j.cb.Request
	body, err := j.rt.engine.BodyOf(ctx, stored.Body)
	if err != nil {
		return nil, err
	}
	u, err := url.ParseRequestURI(stored.URI)
	if err != nil {
		return nil, err
	}
	r := (&http.Request{
		Method: stored.Method, URL: u, RequestURI: stored.URI, Host: stored.Host, Header: make(http.Header),
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, RemoteAddr: stored.RemoteAddr,
	}).WithContext(ctx)
	if stored.TLS {
		r.TLS = &tls.ConnectionState{Version: tls.VersionTLS13, HandshakeComplete: true, ServerName: stored.Host}
	}
	stored.Header.AddTo(r.Header)
	setBody(r, body)
	repl := caddy.NewReplacer()
	r = caddyhttp.PrepareRequest(r, repl, nowhere{make(http.Header)}, j.h.server)
	if err := j.setCalls(ctx, scopeFor(r, j.rt)); err != nil {
		return nil, err
	}
	return j.fill(r, repl, body)
}

// fill puts into the request what its block is to get beside it.
func (j *job) fill(r *http.Request, repl *caddy.Replacer, body []byte) (*http.Request, error) {
	key := j.cb.ID.String()
	if j.cb.Job.Block == callback.CallBlock {
		o := &outgoing{h: j.h, out: r, repl: repl, buffered: true, body: body}
		if err := o.fill(j.cb); err != nil {
			return nil, err
		}
	} else {
		key += "." + string(callback.ThenBlock)
		if !j.h.InjectOff {
			r.Header.Set(j.h.policy.Wire().CorrelationID, j.cb.CorrelationID)
		}
		if j.cb.Call != nil && j.h.usesBody() {
			called, err := j.rt.engine.BodyOf(r.Context(), j.cb.Call.Body)
			if err != nil {
				return nil, err
			}
			putCall(r, j.cb.Call, called)
		}
	}
	if r.Header.Get(callback.IdempotencyKey) == "" {
		// The same on every attempt: who takes requests twice can tell.
		r.Header.Set(callback.IdempotencyKey, key)
	}
	return r, nil
}

// maxSteps bounds how many steps before this one are looked at.
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
		parent, err := j.rt.engine.Find(ctx, store.ByID(cb.Parent))
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

// judge says what an attempt has come to.
func (j *job) judge(call *upstreamCall) callback.Attempt {
	if !j.step.next.IsZero() {
		return callback.Attempt{Kind: callback.AttemptContinued, Step: j.step.next}
	}
	if call.panic != nil {
		if err, _ := call.panic.(error); !errors.Is(err, http.ErrAbortHandler) {
			j.h.log.Error("a handler of a job panicked", zap.Any("panic", call.panic), zap.Stringer("id", j.cb.ID))
		}
	}
	switch answer := call.answer(); {
	case answer == answerRefused:
		return j.again("the upstream could not be reached", 0)
	case answer == answerNone:
		return callback.Attempt{Kind: callback.AttemptFailed, Code: failureUpstream, Error: "No handler of the block " + string(j.cb.Job.Block) + " has answered."}
	case answer == answerUnknown || call.err != nil || call.panic != nil:
		return j.unknown("the connection to the upstream failed, or it has not answered in time", 0)
	}
	w := call.writer
	status := w.status
	asked := j.cb.Job.Block == callback.CallBlock
	switch {
	case asked && j.h.accepts(j.cb.Request.Method, status) && j.h.correlates():
		return j.correlate(w)
	case asked && j.h.accepts(j.cb.Request.Method, status):
		return callback.Attempt{Kind: callback.AttemptAcked, Response: j.ackOf(w)}
	case status == http.StatusTooManyRequests, status == http.StatusServiceUnavailable:
		// It says itself that it has not done it.
		return j.again("the upstream answered "+strconv.Itoa(status), deliver.RetryAfter(w.header.Get("Retry-After"), time.Now()))
	case status == http.StatusBadGateway, status == http.StatusGatewayTimeout:
		return j.unknown("the upstream answered "+strconv.Itoa(status), deliver.RetryAfter(w.header.Get("Retry-After"), time.Now()))
	case w.overflow:
		return callback.Attempt{Kind: callback.AttemptFailed, Code: failureUpstream, Error: "The upstream's answer is larger than max_body_size allows."}
	}
	return callback.Attempt{Kind: callback.AttemptAnswered, Response: w.response()}
}

// ackOf returns the ack, where it is the result.
func (j *job) ackOf(w *ackWriter) *callback.Response {
	if !j.h.policy.AckIsResult || w.overflow {
		return nil
	}
	return w.response()
}

// correlate gives the callback the correlation id that the ack names.
func (j *job) correlate(w *ackWriter) callback.Attempt {
	id, err := w.correlationID(j.h.CorrelationID.Location)
	if err == nil {
		_, err = j.rt.engine.Correlate(context.Background(), j.cb.ID, id)
	}
	if err != nil {
		return callback.Attempt{Kind: callback.AttemptFailed, Code: "correlation",
			Error: "The upstream's answer names no correlation id that can be used."}
	}
	return callback.Attempt{Kind: callback.AttemptAcked, Response: j.ackOf(w)}
}

// unknown says what becomes of a job that the upstream may have got. It is tried again
// only where that does no harm.
func (j *job) unknown(reason string, retryAfter time.Duration) callback.Attempt {
	switch {
	case j.h.RetryUnsafe || slices.Contains(idempotentMethods, j.cb.Request.Method):
		return j.again(reason, retryAfter)
	case j.cb.Job.Block == callback.CallBlock:
		return callback.Attempt{Kind: callback.AttemptUnknown}
	}
	return callback.Attempt{Kind: callback.AttemptFailed, Code: failureUpstreamUnknown,
		Error: "The request may have been carried out: " + reason + ". It was not tried again; see retry_unsafe."}
}

// idempotentMethods are those that can be tried again (RFC 9110, section 9.2.2).
var idempotentMethods = []string{
	http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace, http.MethodPut, http.MethodDelete,
}

// The wait before another attempt at a job: it doubles from the first to the longest.
const (
	firstBackoff   = time.Second
	longestBackoff = 5 * time.Minute
)

// again says that a job is to be tried again, when its upstream may be better.
func (j *job) again(reason string, retryAfter time.Duration) callback.Attempt {
	wait := longestBackoff
	if n := j.cb.Job.Attempts; n < 9 {
		wait = min(wait, firstBackoff<<n)
	}
	wait = time.Duration(float64(wait) * (0.8 + 0.4*rand.Float64())) //nolint:gosec // jitter is no secret
	at := callback.At(j.rt.engine.Now().Add(max(wait, retryAfter)))
	return callback.Attempt{Kind: callback.AttemptRetry, RetryAt: at, Error: reason}
}

// nowhere is the writer of a job, which has no client.
type nowhere struct{ header http.Header }

// Header implements http.ResponseWriter.
func (n nowhere) Header() http.Header { return n.header }

// Write implements http.ResponseWriter.
func (nowhere) Write(b []byte) (int, error) { return len(b), nil }

// WriteHeader implements http.ResponseWriter.
func (nowhere) WriteHeader(int) {}
