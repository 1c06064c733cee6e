package module

import (
	"context"
	"crypto/tls"
	"errors"
	"maps"
	"net"
	"net/http"
	"net/http/httptrace"
	goruntime "runtime"
	"sync/atomic"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"

	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/inject"
)

// upstreamCall is the request's way through the handlers that come after ours. It
// runs in a goroutine of its own, so that the stack that it grows is gone while
// the client is held. Until it has ended, writer and replacer are its own.
type upstreamCall struct {
	// done is closed when the handlers have returned.
	done chan struct{}
	// passing is closed when the upstream's answer has begun to be passed on to
	// the client.
	passing chan struct{}
	cancel  context.CancelFunc
	// sent says that a request has been written to a connection. A proxy that
	// tries again reports only its last try.
	sent atomic.Bool

	// What follows is valid once done is closed.
	writer *ackWriter
	err    error
	panic  any
}

// callUpstream begins the call. accept is asked once, with the upstream's status,
// whether the answer is kept from the client.
func callUpstream(next caddyhttp.Handler, w http.ResponseWriter, r *http.Request, keep keeps, accept func(status int) bool) *upstreamCall {
	ctx, cancel := context.WithCancel(context.WithoutCancel(r.Context()))
	c := &upstreamCall{
		done:    make(chan struct{}),
		passing: make(chan struct{}),
		cancel:  cancel,
	}
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{WroteHeaders: func() { c.sent.Store(true) }})
	c.writer = &ackWriter{ctx: ctx, client: w, header: w.Header().Clone(), accept: accept, keep: keep, passing: c.passing}
	r = r.WithContext(ctx)
	go func() {
		defer close(c.done)
		// A panic here would end the process: nobody above would recover it.
		defer func() { c.panic = recover() }()
		growStack()
		c.err = next.ServeHTTP(c.writer, r)
	}()
	return c
}

// growStack makes room on the stack for what a proxy needs, at once: a stack that grows
// in the usual steps is copied at each.
//
//go:noinline
func growStack() {
	var room [12 << 10]byte
	goruntime.KeepAlive(&room)
}

// upstreamAnswer is what the upstream said, as far as can be known.
type upstreamAnswer uint8

const (
	// answerAccepted: the upstream will call back.
	answerAccepted upstreamAnswer = iota
	// answerPassed: the upstream's own answer went to the client.
	answerPassed
	// answerRefused: the request has certainly not reached the upstream.
	answerRefused
	// answerUnknown: the upstream may have accepted the request.
	answerUnknown
	// answerNone: no handler took the request.
	answerNone
)

// answer says what the call came to. It may be called once done is closed.
func (c *upstreamCall) answer() upstreamAnswer {
	switch {
	case c.writer.passed:
		return answerPassed
	case c.writer.gateway != 0:
		return answerUnknown
	case c.writer.status != 0:
		return answerAccepted
	case c.panic != nil:
		return answerUnknown
	case c.err == nil:
		return answerNone
	case !c.sent.Load() && neverSent(c.err):
		return answerRefused
	}
	return answerUnknown
}

// status returns the status for an answer of which nothing is known.
func (c *upstreamCall) status() int {
	if c.writer.gateway != 0 {
		return c.writer.gateway
	}
	var h caddyhttp.HandlerError
	if errors.As(c.err, &h) && h.StatusCode == http.StatusGatewayTimeout {
		return http.StatusGatewayTimeout
	}
	return http.StatusBadGateway
}

// neverSent reports whether an error of the handlers means that the request has
// certainly not reached the upstream.
func neverSent(err error) bool {
	var dial reverseproxy.DialError
	var op *net.OpError
	var cert *tls.CertificateVerificationError
	switch {
	case errors.As(err, &dial), errors.As(err, &cert):
		return true
	case errors.As(err, &op) && op.Op == "dial":
		return true
	}
	// Handlers before the proxy answer with statuses of their own; the proxy says
	// 503 where it has no upstream to send to. 499 is what it says when the
	// request is cancelled on its way.
	var h caddyhttp.HandlerError
	if !errors.As(err, &h) {
		return false
	}
	switch h.StatusCode {
	case http.StatusServiceUnavailable:
		return true
	case statusClientClosed:
		return false
	}
	return h.StatusCode < http.StatusInternalServerError
}

// statusClientClosed is what Caddy answers, for its logs, a client that has left.
const statusClientClosed = 499

// keeps is how many bytes are kept of the body of an ack, and of what is passed on;
// negative for none.
type keeps struct{ ack, passed int64 }

// ackWriter takes the upstream's answer. It is kept from the client if it is an
// ack, and else passed on as it comes.
type ackWriter struct {
	ctx     context.Context
	client  http.ResponseWriter
	header  http.Header
	accept  func(status int) bool
	keep    keeps
	passing chan struct{}

	passed bool
	// status is that of the ack, or of what is passed on.
	status   int
	gateway  int
	body     []byte
	overflow bool
}

// Header implements http.ResponseWriter.
func (a *ackWriter) Header() http.Header {
	if a.passed {
		return a.client.Header()
	}
	return a.header
}

// WriteHeader implements http.ResponseWriter.
func (a *ackWriter) WriteHeader(status int) {
	switch {
	case a.passed || a.status != 0 || a.gateway != 0:
		return
	case status == statusClientClosed && a.ctx.Err() != nil:
		// The proxy says so when we have cancelled the call.
		a.gateway = http.StatusGatewayTimeout
	case status >= 100 && status <= 199 && status != http.StatusSwitchingProtocols:
		a.inform(status)
	case status == http.StatusBadGateway || status == http.StatusGatewayTimeout:
		// A gateway on the way lost the upstream: the request may have arrived.
		if a.accept(status) {
			a.status = status
		} else {
			a.gateway = status
		}
	case a.accept(status):
		a.status = status
	default:
		a.pass(status)
	}
}

// inform passes an interim answer on.
func (a *ackWriter) inform(status int) {
	h := a.client.Header()
	own := h.Clone()
	clear(h)
	maps.Copy(h, a.header)
	a.client.WriteHeader(status)
	clear(h)
	maps.Copy(h, own)
}

// pass begins to pass the upstream's answer on.
func (a *ackWriter) pass(status int) {
	h := a.client.Header()
	clear(h)
	maps.Copy(h, a.header)
	a.passed, a.status = true, status
	close(a.passing)
	a.client.WriteHeader(status)
}

// Write implements http.ResponseWriter. What is not for the client is dropped, and
// never refused: a proxy that cannot write panics.
func (a *ackWriter) Write(b []byte) (int, error) {
	if !a.passed && a.status == 0 && a.gateway == 0 {
		a.WriteHeader(http.StatusOK)
	}
	if a.passed {
		a.keepBody(b, a.keep.passed)
		return a.client.Write(b)
	}
	a.keepBody(b, a.keep.ack)
	return len(b), nil
}

// keepBody keeps what is written, up to a limit.
func (a *ackWriter) keepBody(b []byte, limit int64) {
	switch {
	case limit < 0 || a.overflow:
	case int64(len(a.body)+len(b)) > limit:
		a.body, a.overflow = nil, true
	default:
		a.body = append(a.body, b...)
	}
}

// FlushError flushes what is passed on; http.ResponseController calls it.
func (a *ackWriter) FlushError() error {
	if !a.passed {
		return nil
	}
	return http.NewResponseController(a.client).Flush()
}

// Flush implements http.Flusher.
func (a *ackWriter) Flush() { _ = a.FlushError() }

// response returns the upstream's answer as it is stored.
func (a *ackWriter) response() *callback.Response {
	header := a.header
	if a.passed {
		header = a.client.Header()
	}
	return &callback.Response{Status: a.status, Header: callback.AckHeader(header), Body: callback.NewBody(a.body)}
}

// correlationID returns the correlation id that the ack names.
func (a *ackWriter) correlationID(at inject.Location) (string, error) {
	m := inject.Message{Header: a.header, Body: a.body}
	id, _ := m.Get(at)
	return id, checkCorrelationID(id)
}
