// Package upstream sends a request through handlers or routes, in a goroutine of its
// own, and records what they answer.
package upstream

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"net/http/httptrace"
	"runtime"
	"sync/atomic"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"

	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/inject"
)

// Call is a request's way through handlers. They run in a goroutine of their own, so
// that the stack that they grow is gone while a client is held. Writer and replacer of
// the request belong to that goroutine until it has ended.
type Call struct {
	done    chan struct{}
	passing chan struct{}
	cancel  context.CancelFunc
	// sent says that a request has been written to a connection. A proxy that
	// tries again reports only its last try.
	sent atomic.Bool

	// What follows is valid once done is closed.
	recorder *recorder
	err      error
	panicked any
}

// Limits are how many bytes are kept of the body of an answer; a negative number means
// none.
type Limits struct {
	// Kept is for an answer that is kept from the client, Passed for one that is
	// passed on to it.
	Kept, Passed int64
}

// Start sends a request through the handlers. Its context does not end with that of r.
// accept is asked once, with the status of the answer, whether to keep the answer from
// the client w; if not, it is passed on as it comes.
func Start(next caddyhttp.Handler, w http.ResponseWriter, r *http.Request, limits Limits, accept func(status int) bool) *Call {
	ctx, cancel := context.WithCancel(context.WithoutCancel(r.Context()))
	c := &Call{
		done:    make(chan struct{}),
		passing: make(chan struct{}),
		cancel:  cancel,
	}
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{WroteHeaders: func() { c.sent.Store(true) }})
	c.recorder = &recorder{ctx: ctx, client: w, header: w.Header().Clone(), accept: accept, limits: limits, passing: c.passing}
	r = r.WithContext(ctx)
	go func() {
		defer close(c.done)
		// A panic here would end the process: nobody above would recover it.
		defer func() { c.panicked = recover() }()
		growStack()
		c.err = next.ServeHTTP(c.recorder, r)
	}()
	return c
}

// growStack makes room on the stack for what a proxy needs, at once: a stack that grows
// in the usual steps is copied at each.
//
//go:noinline
func growStack() {
	var room [12 << 10]byte
	runtime.KeepAlive(&room)
}

// Done is closed when the handlers have returned. Before that only Passing and Cancel
// may be called.
func (c *Call) Done() <-chan struct{} { return c.done }

// Passing is closed when the answer has begun to be passed on to the client.
func (c *Call) Passing() <-chan struct{} { return c.passing }

// Cancel ends the request's context. It must be called at some time.
func (c *Call) Cancel() { c.cancel() }

// Outcome is what the upstream said, as far as can be known.
type Outcome uint8

const (
	// Answered means that there is an answer, and it is kept from the client.
	Answered Outcome = iota
	// PassedOn means that the answer went to the client.
	PassedOn
	// Refused means that the request has certainly not reached the upstream.
	Refused
	// Unknown means that the upstream may have accepted the request.
	Unknown
	// Unhandled means that no handler took the request.
	Unhandled
)

// Outcome returns what the call has come to.
func (c *Call) Outcome() Outcome {
	switch {
	case c.recorder.passed:
		return PassedOn
	case c.recorder.gateway != 0:
		return Unknown
	case c.recorder.status != 0:
		return Answered
	case c.panicked != nil:
		return Unknown
	case c.err == nil:
		return Unhandled
	case !c.sent.Load() && neverSent(c.err):
		return Refused
	}
	return Unknown
}

// Err returns the error of the handlers.
func (c *Call) Err() error { return c.err }

// Panic returns what the handlers panicked with, nil if they did not.
func (c *Call) Panic() any { return c.panicked }

// Crash returns what the handlers panicked with, unless they panicked in order to break
// the answer off (http.ErrAbortHandler).
func (c *Call) Crash() any {
	if err, ok := c.panicked.(error); ok && errors.Is(err, http.ErrAbortHandler) {
		return nil
	}
	return c.panicked
}

// Broken reports whether the handlers have failed, be it in the middle of an answer.
func (c *Call) Broken() bool { return c.err != nil || c.panicked != nil }

// Status returns the status of the answer, 0 if there is none.
func (c *Call) Status() int { return c.recorder.status }

// Overflowed reports whether the answer was larger than was to be kept.
func (c *Call) Overflowed() bool { return c.recorder.overflow }

// Message returns the answer as values are read from it.
func (c *Call) Message() *inject.Message {
	return &inject.Message{Header: c.recorder.answered(), Body: c.recorder.body}
}

// Response returns the answer as it is stored, nil if it was not kept whole.
func (c *Call) Response() *callback.Response {
	if c.Broken() || c.Overflowed() {
		return nil
	}
	return &callback.Response{
		Status: c.recorder.status,
		Header: callback.AckHeader(c.recorder.answered()),
		Body:   callback.NewBody(c.recorder.body),
	}
}

// GatewayStatus returns the status for a client whose call has the outcome Unknown: 504
// if the upstream took too long, else 502.
func (c *Call) GatewayStatus() int {
	if c.recorder.gateway != 0 {
		return c.recorder.gateway
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
	case StatusClientClosed:
		return false
	}
	return h.StatusCode < http.StatusInternalServerError
}

// StatusClientClosed is what Caddy answers, for its logs, a client that has left.
const StatusClientClosed = 499
