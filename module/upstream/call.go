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

// Call is one request that is sent through handlers. They run in a goroutine of their own,
// so that their large stack is freed while the client is held. The writer and the replacer
// of the request belong to that goroutine until it has ended.
type Call struct {
	done    chan struct{}
	passing chan struct{}
	ready   chan struct{}
	cancel  context.CancelFunc
	loan    *loan
	// sent says that a request has been written to a connection. The error of the
	// handlers does not say so: a proxy that retries reports only its last try.
	sent atomic.Bool
	// back says that what belongs to the request was taken back while they went on.
	back bool

	// The fields below are valid once done is closed; recorder.needed also once ready is.
	recorder *recorder
	err      error
	panicked any
}

// Start sends a request through the handlers. Its context does not end with that of r. The
// judge decides whether an answer is kept from the client w. If ended is not nil, it is
// called when the handlers have ended. The call must be closed.
func Start(next caddyhttp.Handler, w http.ResponseWriter, r *http.Request, room Room, judge Judge, ended func()) *Call {
	l := lend(r.Context())
	ctx, cancel := context.WithCancel(l)
	// One allocation for all: there are as many as there are requests.
	all := new(struct {
		call     Call
		recorder recorder
		trace    httptrace.ClientTrace
	})
	c := &all.call
	c.done, c.passing, c.ready = make(chan struct{}), make(chan struct{}), make(chan struct{})
	c.cancel, c.loan, c.recorder = cancel, l, &all.recorder
	all.trace.WroteHeaders = func() { c.sent.Store(true) }
	ctx = httptrace.WithClientTrace(ctx, &all.trace)
	*c.recorder = recorder{
		ctx: ctx, client: w, header: w.Header().Clone(), judge: judge, room: room,
		passing: c.passing, ready: c.ready, stop: cancel, loan: l, left: room.Drained,
	}
	c.recorder.kept.room = &c.recorder.room
	go c.run(next, r.WithContext(ctx), ended)
	return c
}

// run runs the handlers.
func (c *Call) run(next caddyhttp.Handler, r *http.Request, ended func()) {
	defer close(c.done)
	defer c.cancel()
	if ended != nil {
		defer ended()
	}
	defer c.recorder.leave()
	defer c.loan.close()
	// A panic in this goroutine would end the process.
	defer func() { c.panicked = recover() }()
	growStack()
	c.err = next.ServeHTTP(c.recorder, r)
	if c.err == nil {
		c.recorder.close()
	}
}

// growStack grows the stack at once to the size that a proxy needs. Otherwise the stack
// would grow in several steps, and be copied at each of them.
//
//go:noinline
func growStack() {
	var room [12 << 10]byte
	runtime.KeepAlive(&room)
}

// Done is closed when the handlers have returned. Before that, and before Ready, only
// Passing, Cancel, TakeBack and Close may be called.
func (c *Call) Done() <-chan struct{} { return c.done }

// Ready is closed when what is needed of a kept answer is there, unless it is needed as a
// whole. The handlers may go on: what they still write is thrown away.
func (c *Call) Ready() <-chan struct{} { return c.ready }

// Passing is closed when the handlers begin to pass the answer on to the client.
func (c *Call) Passing() <-chan struct{} { return c.passing }

// Cancel ends the request's context.
func (c *Call) Cancel() { c.cancel() }

// Close says that nothing of the answer is used any more, and lets go of what was kept of
// it. The handlers may go on. Closing a call again does nothing.
func (c *Call) Close() { c.recorder.forget() }

// IsReady reports whether Ready is closed.
func (c *Call) IsReady() bool { return isClosed(c.ready) }

// Over reports whether the handlers have returned.
func (c *Call) Over() bool { return isClosed(c.done) }

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// Outcome is what is known about the upstream's answer.
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
	// Underway means that there is no answer yet.
	Underway
)

// Outcome returns the outcome of the call.
func (c *Call) Outcome() Outcome {
	switch {
	case c.IsReady():
		return Answered
	case !c.Over():
		return Underway
	case c.recorder.passed:
		return PassedOn
	case c.recorder.gateway != 0 || c.recorder.fate.isWeighed():
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

// Err returns the error of the handlers, nil while they run.
func (c *Call) Err() error {
	if !c.Over() {
		return nil
	}
	return c.err
}

// Panic returns what the handlers panicked with, nil if they did not.
func (c *Call) Panic() any {
	if !c.Over() {
		return nil
	}
	return c.panicked
}

// Crash returns what the handlers panicked with, unless they panicked only to abort the
// answer (http.ErrAbortHandler).
func (c *Call) Crash() any {
	panicked := c.Panic()
	if err, ok := panicked.(error); ok && errors.Is(err, http.ErrAbortHandler) {
		return nil
	}
	return panicked
}

// Broken reports whether the handlers have failed, before or during what is needed of an
// answer.
func (c *Call) Broken() bool {
	return !c.IsReady() && (c.Err() != nil || c.Panic() != nil)
}

// answer returns the answer, as far as it is needed.
func (c *Call) answer() *Answer {
	rec := c.recorder
	if c.IsReady() {
		return &rec.needed
	}
	return &Answer{Status: rec.status, Header: rec.Header(), Body: rec.kept.bytes(), Lost: rec.kept.lost}
}

// Status returns the status of the answer, 0 if there is none.
func (c *Call) Status() int { return c.answer().Status }

// Lost returns why the body of the answer could not be kept, nil if it could: see Answer.
func (c *Call) Lost() error { return c.answer().Lost }

// Message returns the answer as a message that values can be read from.
func (c *Call) Message() *inject.Message { return c.answer().Message() }

// Response returns an answer that is needed as a whole, as it is stored. It can be used until
// the call is closed; of its body, only a file that a record has come to refer to outlasts
// that. The answer cannot be looked into afterwards. The error is ErrIncomplete, or that of
// Lost.
func (c *Call) Response() (*callback.Response, error) {
	if c.Broken() {
		return nil, ErrIncomplete
	}
	a := c.answer()
	response := &callback.Response{Status: a.Status, Header: callback.AckHeader(a.Header)}
	var err error
	if response.Body, err = c.recorder.kept.whole(); err != nil {
		return nil, err
	}
	return response, nil
}

// ErrIncomplete says that an answer has broken off.
var ErrIncomplete = errors.New("the answer is incomplete")

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
	// Handlers before the proxy fail with statuses of their own, below 500. The proxy
	// fails with 503 if it has no upstream to send to, and with 499 if the request is
	// cancelled on its way.
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

// StatusClientClosed is the status that Caddy logs for a client that has left.
const StatusClientClosed = 499
