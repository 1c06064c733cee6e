package upstream

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"
)

// proxyTo returns a real reverse proxy.
func proxyTo(t *testing.T, transport *reverseproxy.HTTPTransport, upstreams ...string) caddyhttp.Handler {
	t.Helper()
	base, err := caddy.ProvisionContext(nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := caddy.NewContext(base)
	t.Cleanup(cancel)
	if err := transport.Provision(ctx); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = transport.Cleanup() })
	proxy := &reverseproxy.Handler{Transport: transport}
	for _, address := range upstreams {
		proxy.Upstreams = append(proxy.Upstreams, &reverseproxy.Upstream{Dial: address})
	}
	if err := proxy.Provision(ctx); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = proxy.Cleanup() })
	return caddyhttp.HandlerFunc(func(w http.ResponseWriter, r *http.Request) error {
		return proxy.ServeHTTP(w, r, caddyhttp.HandlerFunc(func(http.ResponseWriter, *http.Request) error { return nil }))
	})
}

// listen returns the address of a server that calls serve for each connection.
func listen(t *testing.T, serve func(net.Conn)) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			serve(conn)
			_ = conn.Close()
		}
	}()
	return listener.Addr().String()
}

// readRequest reads the first byte of a request, to know that the request has arrived.
func readRequest(conn net.Conn) { _, _ = conn.Read(make([]byte, 1)) }

// call sends a request through the handler and waits until the handler has ended.
func call(t *testing.T, next caddyhttp.Handler, acks ...int) *Call {
	t.Helper()
	w := httptest.NewRecorder()
	r := httptest.NewRequest(http.MethodPost, "http://app.test/orders", strings.NewReader("order"))
	r = caddyhttp.PrepareRequest(r, caddy.NewReplacer(), w, new(caddyhttp.Server))
	c := Start(next, w, r, newHouse().room(100, 0), keeps(acks...), nil)
	<-c.done
	return c
}

func TestRealProxyErrorsAreTakenForWhatTheyMean(t *testing.T) {
	untrusted := httptest.NewUnstartedServer(nil)
	untrusted.Config.ErrorLog = log.New(io.Discard, "", 0)
	untrusted.StartTLS()
	defer untrusted.Close()
	dead := filepath.Join(t.TempDir(), "nobody.sock")
	for name, c := range map[string]struct {
		proxy  caddyhttp.Handler
		want   Outcome
		status int
	}{
		"nobody listens": {
			proxyTo(t, new(reverseproxy.HTTPTransport), "unix/"+dead), Refused, http.StatusBadGateway,
		},
		"nobody listens, tried again": {
			proxyTo(t, new(reverseproxy.HTTPTransport), "unix/"+dead, "unix/"+dead), Refused, http.StatusBadGateway,
		},
		"no upstream": {
			proxyTo(t, new(reverseproxy.HTTPTransport)), Refused, http.StatusBadGateway,
		},
		"certificate is not trusted": {
			proxyTo(t, &reverseproxy.HTTPTransport{TLS: new(reverseproxy.TLSConfig)}, untrusted.Listener.Addr().String()), Refused, http.StatusBadGateway,
		},
		"connection ends after the request": {
			proxyTo(t, new(reverseproxy.HTTPTransport), listen(t, readRequest)), Unknown, http.StatusBadGateway,
		},
		"answer is no HTTP": {
			proxyTo(t, new(reverseproxy.HTTPTransport), listen(t, func(conn net.Conn) {
				readRequest(conn)
				_, _ = io.WriteString(conn, "what?\r\n\r\n")
			})), Unknown, http.StatusBadGateway,
		},
		"answer is late": {
			proxyTo(t, &reverseproxy.HTTPTransport{ResponseHeaderTimeout: caddy.Duration(time.Millisecond)}, listen(t, func(conn net.Conn) {
				_, _ = io.Copy(io.Discard, conn)
			})), Unknown, http.StatusGatewayTimeout,
		},
	} {
		t.Run(name, func(t *testing.T) {
			came := call(t, c.proxy, http.StatusAccepted)
			if got := came.Outcome(); got != c.want {
				t.Errorf("outcome is %d, want %d; error %v", got, c.want, came.err)
			}
			if c.want == Unknown && came.GatewayStatus() != c.status {
				t.Errorf("status is %d, want %d; error %v", came.GatewayStatus(), c.status, came.err)
			}
		})
	}
}

func TestErrorsTellWhetherTheRequestWasSent(t *testing.T) {
	for name, c := range map[string]struct {
		err   error
		never bool
	}{
		"dial":                      {&net.OpError{Op: "dial", Err: errors.New("refused")}, true},
		"dial, as the proxy has it": {caddyhttp.Error(502, reverseproxy.DialError{}), true},
		"dial, deep in an error":    {caddyhttp.Error(504, fmt.Errorf("try 2: %w", &net.OpError{Op: "dial", Err: errors.New("timeout")})), true},
		"certificate":               {caddyhttp.Error(502, &tls.CertificateVerificationError{}), true},
		"read":                      {caddyhttp.Error(502, &net.OpError{Op: "read", Err: errors.New("reset")}), false},
		"write":                     {&net.OpError{Op: "write", Err: errors.New("reset")}, false},
		"end of file":               {caddyhttp.Error(502, io.EOF), false},
		"timeout":                   {caddyhttp.Error(504, errors.New("timeout")), false},
		"cancelled":                 {caddyhttp.Error(499, errors.New("cancelled")), false},
		"no upstream":               {caddyhttp.Error(503, errors.New("no upstreams available")), true},
		"login":                     {caddyhttp.Error(401, errors.New("not authenticated")), true},
		"handler error":             {caddyhttp.Error(500, errors.New("broken")), false},
		"error of no handler":       {errors.New("anything"), false},
	} {
		if got := neverSent(c.err); got != c.never {
			t.Errorf("%s: never sent is %v", name, got)
		}
	}
}

func TestAnswersOfHandlersAreTakenForWhatTheyMean(t *testing.T) {
	for name, c := range map[string]struct {
		next func(w http.ResponseWriter, r *http.Request) error
		want Outcome
	}{
		"ack":                 {func(w http.ResponseWriter, _ *http.Request) error { w.WriteHeader(202); return nil }, Answered},
		"ack, then an error":  {func(w http.ResponseWriter, _ *http.Request) error { w.WriteHeader(202); return io.ErrUnexpectedEOF }, Answered},
		"ack, then a panic":   {func(w http.ResponseWriter, _ *http.Request) error { w.WriteHeader(202); panic(http.ErrAbortHandler) }, Answered},
		"other answer":        {func(w http.ResponseWriter, _ *http.Request) error { w.WriteHeader(404); return nil }, PassedOn},
		"passed, then broken": {func(w http.ResponseWriter, _ *http.Request) error { w.WriteHeader(404); panic(http.ErrAbortHandler) }, PassedOn},
		"gateway lost it":     {func(w http.ResponseWriter, _ *http.Request) error { w.WriteHeader(502); return nil }, Unknown},
		"interim only":        {func(w http.ResponseWriter, _ *http.Request) error { w.WriteHeader(103); return nil }, Unhandled},
		"nothing":             {func(http.ResponseWriter, *http.Request) error { return nil }, Unhandled},
		"panic":               {func(http.ResponseWriter, *http.Request) error { panic("broken") }, Unknown},
		"refusal":             {func(http.ResponseWriter, *http.Request) error { return caddyhttp.Error(403, nil) }, Refused},
		"any error":           {func(http.ResponseWriter, *http.Request) error { return io.EOF }, Unknown},
	} {
		if got := call(t, caddyhttp.HandlerFunc(c.next), http.StatusAccepted).Outcome(); got != c.want {
			t.Errorf("%s: outcome is %d, want %d", name, got, c.want)
		}
	}
}

func TestUpstreamGoesOnWithoutTheClient(t *testing.T) {
	began, left, acked := make(chan struct{}), make(chan struct{}), make(chan struct{})
	next := caddyhttp.HandlerFunc(func(w http.ResponseWriter, r *http.Request) error {
		close(began)
		<-left
		if r.Context().Err() == nil {
			w.WriteHeader(http.StatusAccepted)
		}
		close(acked)
		<-r.Context().Done()
		return nil
	})
	ctx, leave := context.WithCancel(t.Context())
	r := httptest.NewRequest(http.MethodGet, "/", nil).WithContext(ctx)
	c := Start(next, httptest.NewRecorder(), r, newHouse().room(0, 0), keeps(http.StatusAccepted), nil)
	<-began
	leave()
	close(left)
	<-acked
	c.cancel()
	<-c.done
	if got := c.Outcome(); got != Answered {
		t.Errorf("outcome is %d, want %d", got, Answered)
	}
}
