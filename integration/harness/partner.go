package harness

import (
	"bytes"
	"errors"
	"io"
	"net"
	"net/http"
	"sync"
	"testing"
)

// Partner plays the upstream: it records every request, acknowledges it, and
// leaves it to the test to call back. It listens on partner.sock of its Caddy.
type Partner struct {
	caddy *Caddy

	mu       sync.Mutex
	handlers map[string]http.HandlerFunc
	inboxes  map[string]chan *Received
	every    http.HandlerFunc
}

// Received is a request as the partner got it.
type Received struct {
	Method           string
	URI              string
	Proto            string
	Header           http.Header
	Trailer          http.Header
	ContentLength    int64
	TransferEncoding []string
	Body             []byte
}

// inboxSize is how many requests for one path can wait for Received.
const inboxSize = 64

// NewPartner starts a partner that acknowledges everything with 202.
func NewPartner(tb testing.TB, c *Caddy) *Partner {
	tb.Helper()
	listener, err := net.Listen("unix", c.Path("partner.sock"))
	if err != nil {
		tb.Fatal(err)
	}
	p := &Partner{
		caddy:    c,
		handlers: make(map[string]http.HandlerFunc),
		inboxes:  make(map[string]chan *Received),
	}
	server := &http.Server{Handler: p, Protocols: new(http.Protocols)}
	server.Protocols.SetHTTP1(true)
	server.Protocols.SetUnencryptedHTTP2(true)
	go func() {
		if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			tb.Errorf("partner: %v", err)
		}
	}()
	tb.Cleanup(func() { _ = server.Close() })
	return p
}

// Ack returns a handler that answers with status, header and body.
func Ack(status int, header http.Header, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		for name, values := range header {
			w.Header()[name] = values
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

// Handle makes the partner answer requests for the path with h, which sees the
// body as it came.
func (p *Partner) Handle(path string, h http.HandlerFunc) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.handlers[path] = h
}

// HandleEvery makes the partner answer every request with h and record none, for
// loads that are too large to record.
func (p *Partner) HandleEvery(h http.HandlerFunc) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.every = h
}

// Received waits for a request for the path.
func (p *Partner) Received(tb testing.TB, path string) *Received {
	tb.Helper()
	return Receive(tb, "the partner gets "+path, p.inbox(path))
}

// Arrived reports how many requests for the path wait for Received.
func (p *Partner) Arrived(path string) int { return len(p.inbox(path)) }

// Call calls a callback URL as the partner: over HTTP/1.1, at the public site.
func (p *Partner) Call(tb testing.TB, method, url, contentType, body string) *Response {
	tb.Helper()
	return Do(tb, p.caddy.Client(tb, HTTP1), NewRequest(tb, method, url, contentType, body))
}

// ServeHTTP takes a request from Caddy.
func (p *Partner) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	every, h := p.every, p.handlers[r.URL.Path]
	p.mu.Unlock()
	if every != nil {
		every(w, r)
		return
	}
	received := &Received{
		Method:           r.Method,
		URI:              r.RequestURI,
		Proto:            r.Proto,
		Header:           r.Header.Clone(),
		ContentLength:    r.ContentLength,
		TransferEncoding: r.TransferEncoding,
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	received.Body, received.Trailer = body, r.Trailer
	r.Body = io.NopCloser(bytes.NewReader(body))
	p.inbox(r.URL.Path) <- received
	if h == nil {
		h = Ack(http.StatusAccepted, nil, "")
	}
	h(w, r)
}

func (p *Partner) inbox(path string) chan *Received {
	p.mu.Lock()
	defer p.mu.Unlock()
	inbox := p.inboxes[path]
	if inbox == nil {
		inbox = make(chan *Received, inboxSize)
		p.inboxes[path] = inbox
	}
	return inbox
}
