// Package deliver sends results to URLs that clients gave: one attempt at a time,
// signed, and only to where the guard lets it. It also says when to try again.
//
// Whoever gives the URL is not trusted, and neither is what answers there.
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

// Kind is what an attempt comes to.
type Kind uint8

// The kinds of outcome.
const (
	// Delivered: the target has taken it.
	Delivered Kind = iota + 1
	// Gone: the target wants no more of it, ever.
	Gone
	// Retry: it was not taken, and the next attempt may have more luck.
	Retry
	// Refused: the guard does not allow the address. The next attempt may have
	// more luck, since a name can come to lead somewhere else.
	Refused
)

// What clients are told of an attempt that failed. It shows neither addresses
// nor what a target has said, for clients must not read with our eyes.
const (
	notAllowed   = "address not allowed"
	notConnected = "connection failed"
	notTrusted   = "certificate not valid"
	notReadable  = "result not readable"
	interrupted  = "interrupted"
	timedOut     = "timed out"
)

// Outcome is what an attempt comes to.
type Outcome struct {
	// Kind is what it comes to.
	Kind Kind
	// Status is the status that the target answered with; 0 if it has not.
	Status int
	// RetryAfter is what the target asks to wait; 0 if it says nothing.
	RetryAfter time.Duration
	// Error says in few words why it failed. It is safe to show to the client.
	Error string
	// Cause is the error behind it, for logs only: it may show addresses. It is
	// nil where the target answered.
	Cause error
}

// Send makes one attempt to deliver a message. Redirects are not followed: to the
// sender they are failures like any other. Send returns when the attempt's time is
// over, whatever the target does.
func (c *Client) Send(ctx context.Context, m Message) Outcome {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	// It was checked when it was given, but what is allowed may have changed.
	u, err := c.guard.CheckURL(m.URL)
	if err != nil {
		return Outcome{Kind: Refused, Error: notAllowed, Cause: err}
	}
	request, err := m.request(ctx, u)
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

// maxAnswer bounds what is read of an answer's body, in bytes, so that its
// connection can be used again. Nobody gets to see it.
const maxAnswer = 4 << 10

func drop(r *http.Response) {
	// After this status the connection is no longer bound to the attempt's time.
	if r.StatusCode != http.StatusSwitchingProtocols {
		_, _ = io.CopyN(io.Discard, r.Body, maxAnswer)
	}
	_ = r.Body.Close()
}
