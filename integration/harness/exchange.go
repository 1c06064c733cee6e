package harness

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"testing"
)

// Response is an answer that was read to its end.
type Response struct {
	Status  int
	Proto   string
	Header  http.Header
	Body    []byte
	Trailer http.Header
}

// Pending is a request that is under way.
type Pending struct {
	cancel   context.CancelFunc
	done     chan struct{}
	response *Response
	err      error
}

// NewRequest returns a request. Content type and body may be empty.
func NewRequest(tb testing.TB, method, url, contentType, body string) *http.Request {
	tb.Helper()
	var r io.Reader
	if body != "" {
		r = bytes.NewReader([]byte(body))
	}
	req, err := http.NewRequest(method, url, r)
	if err != nil {
		tb.Fatal(err)
	}
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	return req
}

// Send sends a request without waiting for the answer.
func Send(client *http.Client, req *http.Request) *Pending {
	ctx, cancel := context.WithCancel(req.Context())
	p := &Pending{cancel: cancel, done: make(chan struct{})}
	go func() {
		defer cancel()
		defer close(p.done)
		p.response, p.err = exchange(client, req.WithContext(ctx))
	}()
	return p
}

// Do sends a request and waits for the answer.
func Do(tb testing.TB, client *http.Client, req *http.Request) *Response {
	tb.Helper()
	return Send(client, req).Answer(tb)
}

// Answer waits for the answer and fails the test if there is none.
func (p *Pending) Answer(tb testing.TB) *Response {
	tb.Helper()
	resp, err := p.Outcome()
	if err != nil {
		tb.Fatalf("no answer: %v", err)
	}
	return resp
}

// Outcome waits for the answer, or for the error that came instead: at the latest
// that of the client's timeout.
func (p *Pending) Outcome() (*Response, error) {
	<-p.done
	return p.response, p.err
}

// Done returns a channel that is closed when there is an answer, or an error.
func (p *Pending) Done() <-chan struct{} { return p.done }

// Leave cancels the request, as a client does that disconnects, and waits until it
// has ended on the client's side.
func (p *Pending) Leave(tb testing.TB) {
	tb.Helper()
	p.cancel()
	if _, err := p.Outcome(); !errors.Is(err, context.Canceled) {
		tb.Fatalf("the request ended before its client left: %v, %v", p.response, err)
	}
}

func exchange(client *http.Client, req *http.Request) (*Response, error) {
	resp, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, err
	}
	return &Response{
		Status:  resp.StatusCode,
		Proto:   resp.Proto,
		Header:  resp.Header,
		Body:    body,
		Trailer: resp.Trailer,
	}, nil
}
