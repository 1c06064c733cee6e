package upstream

import (
	"bytes"
	"context"
	"crypto/tls"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"sync"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/span"
)

// Run sends a request that has no client through routes, and waits until what is needed of
// their answer is there, they have returned, or the context has ended. If ended is not nil,
// it is called when the routes have returned. The call must be closed.
func Run(ctx context.Context, routes caddyhttp.RouteList, r *http.Request, room Room, judge Judge, ended func()) *Call {
	c := Start(Handler(routes), newNowhere(), r, room, judge, ended)
	select {
	case <-c.done:
	case <-c.ready:
		c.drain()
	case <-ctx.Done():
		c.cancel()
		<-c.done
	}
	return c
}

// Handler returns routes as a handler. A request that none of them answers has the
// outcome Unhandled.
func Handler(routes caddyhttp.RouteList) caddyhttp.Handler {
	return routes.Compile(caddyhttp.HandlerFunc(func(http.ResponseWriter, *http.Request) error { return nil }))
}

// NewRequest returns a request that has no client, as the server's routes expect it,
// and its replacer. The request has no body yet; that of the stored request is ignored.
func NewRequest(ctx context.Context, server *caddyhttp.Server, stored *callback.Request) (*http.Request, *caddy.Replacer, error) {
	u, err := url.ParseRequestURI(stored.URI)
	if err != nil {
		return nil, nil, err
	}
	r := (&http.Request{
		Method: stored.Method, URL: u, RequestURI: stored.URI, Host: stored.Host, Header: make(http.Header),
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, RemoteAddr: stored.RemoteAddr,
	}).WithContext(ctx)
	if stored.TLS {
		r.TLS = &tls.ConnectionState{Version: tls.VersionTLS13, HandshakeComplete: true, ServerName: stored.Host}
	}
	stored.Header.AddTo(r.Header)
	span.Current(ctx).Carry(r.Header)
	SetBody(r, nil)
	repl := caddy.NewReplacer()
	return caddyhttp.PrepareRequest(r, repl, newNowhere(), server), repl, nil
}

// SetBody makes body the request's body.
func SetBody(r *http.Request, body []byte) {
	SetStream(r, io.NopCloser(bytes.NewReader(body)), int64(len(body)))
}

// SetStream makes what is read from body, of that length, the request's body.
func SetStream(r *http.Request, body io.ReadCloser, length int64) {
	r.Body, r.ContentLength, r.TransferEncoding = body, length, nil
	r.Header.Set("Content-Length", strconv.FormatInt(length, 10))
	// The body is complete, so the client need not be asked to send it.
	r.Header.Del("Expect")
	if length == 0 {
		r.Body = http.NoBody
		r.Header.Del("Content-Length")
	}
}

// NewStream returns a body that can be closed while a transport still reads it.
func NewStream(body io.ReadCloser) io.ReadCloser { return &stream{body: body} }

type stream struct {
	mu     sync.Mutex
	body   io.ReadCloser
	closed bool
}

// Read implements io.Reader.
func (s *stream) Read(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return 0, http.ErrBodyReadAfterClose
	}
	return s.body.Read(p)
}

// Close implements io.Closer. Closing it again does nothing.
func (s *stream) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil
	}
	s.closed = true
	return s.body.Close()
}

// nowhere is the writer of a request that has no client.
type nowhere struct{ header http.Header }

func newNowhere() nowhere { return nowhere{make(http.Header)} }

// Header implements http.ResponseWriter.
func (n nowhere) Header() http.Header { return n.header }

// Write implements http.ResponseWriter.
func (nowhere) Write(b []byte) (int, error) { return len(b), nil }

// WriteHeader implements http.ResponseWriter.
func (nowhere) WriteHeader(int) {}
