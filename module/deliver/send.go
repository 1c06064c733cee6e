// Package deliver sends results to URLs that clients gave: one attempt at a time,
// signed, and only to addresses that the guard allows. It also says when to try
// again.
//
// It trusts neither the client that gave the URL nor the server that answers there.
package deliver

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"strconv"
	"time"
)

// Kind is the kind of an attempt's outcome.
type Kind uint8

// The kinds of outcome.
const (
	// Delivered: the target has accepted the message.
	Delivered Kind = iota + 1
	// Gone: the target has answered 410, and wants no further attempt.
	Gone
	// Retry: the message was not accepted, and the next attempt may succeed.
	Retry
	// Refused: the guard does not allow the address. The next attempt may succeed,
	// because a name can resolve to another address then.
	Refused
)

// What clients are told of an attempt that failed. It shows neither addresses nor
// what a target has said: a client must not learn through us what is inside our
// network.
const (
	notAllowed   = "address not allowed"
	notConnected = "connection failed"
	notTrusted   = "certificate not valid"
	notReadable  = "result not readable"
	interrupted  = "interrupted"
	timedOut     = "timed out"
)

// Outcome is the result of an attempt.
type Outcome struct {
	// Kind says whether it succeeded, and if not, whether to try again.
	Kind Kind
	// Status is the status that the target answered with; 0 if it did not answer.
	Status int
	// RetryAfter is how long the target asks to wait; 0 if it does not ask.
	RetryAfter time.Duration
	// Error says in a few words why the attempt failed. It is safe to show to the
	// client.
	Error string
	// Cause is the error behind it, for logs only: it may show addresses. It is
	// nil where the target answered.
	Cause error
}

// Send makes one attempt to deliver a message. Redirects are not followed but count
// as failures. Send returns when the attempt's timeout is over, whatever the target
// does.
func (c *Client) Send(ctx context.Context, m Message) Outcome {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	// The URL was checked when it was given, but what is allowed may have changed.
	u, err := c.guard.CheckURL(m.URL)
	if err != nil {
		return Outcome{Kind: Refused, Error: notAllowed, Cause: err}
	}
	request, err := m.request(ctx, u, c.guard.namesURL(u))
	if err != nil {
		return Outcome{Kind: Retry, Error: notReadable, Cause: err}
	}
	response, err := c.transport.RoundTrip(request)
	if err != nil {
		return failed(err)
	}
	defer drop(response)
	return answered(response, time.Now())
}

// failed returns the outcome of an attempt that got no answer.
func failed(err error) Outcome {
	var (
		timeout     net.Error
		certificate *tls.CertificateVerificationError
	)
	o := Outcome{Kind: Retry, Error: notConnected, Cause: err}
	switch {
	case errors.Is(err, errHost):
		o.Kind, o.Error = Refused, notAllowed
	case errors.As(err, &certificate):
		o.Error = notTrusted
	case errors.Is(err, context.Canceled):
		o.Error = interrupted
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		o.Error = timedOut
	}
	return o
}

// answered returns the outcome of an attempt that got an answer. Its status alone
// decides.
func answered(r *http.Response, now time.Time) Outcome {
	o := Outcome{Kind: Retry, Status: r.StatusCode}
	switch {
	case r.StatusCode >= 200 && r.StatusCode < 300:
		o.Kind = Delivered
		return o
	case r.StatusCode == http.StatusGone:
		o.Kind = Gone
	case r.StatusCode == http.StatusTooManyRequests, r.StatusCode == http.StatusServiceUnavailable:
		o.RetryAfter = RetryAfter(r.Header.Get("Retry-After"), now)
	}
	o.Error = "answered " + strconv.Itoa(r.StatusCode)
	return o
}

// maxAnswer is how much of an answer's body is read and thrown away, in bytes, so
// that its connection can be used again.
const maxAnswer = 4 << 10

func drop(r *http.Response) {
	// After this status the attempt's timeout no longer ends a read from the
	// connection.
	if r.StatusCode != http.StatusSwitchingProtocols {
		_, _ = io.CopyN(io.Discard, r.Body, maxAnswer)
	}
	_ = r.Body.Close()
}
