package deliver_test

import (
	"bufio"
	"context"
	"crypto/x509"
	"encoding/binary"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"os"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/net/dns/dnsmessage"

	"github.com/caddy-callback/caddy-callback/module/deliver"
)

// TestMain sets proxies that do not exist: every test that delivers something shows
// that they are not used. It discards the log, in which net/http notes what targets
// send unasked.
func TestMain(m *testing.M) {
	log.SetOutput(io.Discard)
	for _, name := range []string{"HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"} {
		if err := os.Setenv(name, "http://127.0.0.1:1"); err != nil {
			log.Fatal(err)
		}
	}
	goleak.VerifyTestMain(m)
}

// partner is a name that the certificate of a test server is for.
const partner = "example.com"

func allow(t *testing.T, texts ...string) []deliver.Allow {
	t.Helper()
	var all []deliver.Allow
	for _, text := range texts {
		a, err := deliver.ParseAllow(text)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, a)
	}
	return all
}

// client returns a client that is closed with the test.
func client(t *testing.T, o deliver.Options) *deliver.Client {
	t.Helper()
	c := deliver.New(o)
	t.Cleanup(c.Close)
	return c
}

// message returns a message for that URL.
func message(url string) deliver.Message {
	return deliver.Message{URL: url, ID: "an-id", Timestamp: time.Now(), Body: deliver.Bytes([]byte("result"))}
}

// request is what a server got.
type request struct {
	*http.Request
	body []byte
}

// server answers over HTTP/2, and sends what it gets to got.
func server(t *testing.T, answer http.HandlerFunc) (s *httptest.Server, got chan request) {
	t.Helper()
	return start(t, true, answer)
}

// oldServer is server with HTTP/1.1 only, where it is certain when a connection is
// free again.
func oldServer(t *testing.T, answer http.HandlerFunc) (s *httptest.Server, got chan request) {
	t.Helper()
	return start(t, false, answer)
}

func start(t *testing.T, http2 bool, answer http.HandlerFunc) (s *httptest.Server, got chan request) {
	t.Helper()
	got = make(chan request, 16)
	s = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		got <- request{r, body}
		answer(w, r)
	}))
	s.EnableHTTP2 = http2
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.StartTLS()
	t.Cleanup(s.Close)
	return s, got
}

// only returns the one request that has come.
func only(t *testing.T, got chan request) request {
	t.Helper()
	if len(got) != 1 {
		t.Fatalf("%d requests came", len(got))
	}
	return <-got
}

func answerStatus(status int) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) }
}

// trusting returns options that allow deliveries to a server.
func trusting(t *testing.T, s *httptest.Server) deliver.Options {
	t.Helper()
	pool := x509.NewCertPool()
	pool.AddCert(s.Certificate())
	return deliver.Options{
		Guard:    deliver.Guard{Allow: allow(t, partner, "127.0.0.1")},
		Roots:    pool,
		Resolver: resolver(always(netip.MustParseAddr("127.0.0.1"))),
	}
}

// named returns the URL of a server by the name that its certificate is for.
func named(t *testing.T, s *httptest.Server) string {
	t.Helper()
	u, err := url.Parse(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	return "https://" + net.JoinHostPort(partner, u.Port()) + "/hook?a=b"
}

// plain returns options that allow deliveries to a raw target.
func plain(t *testing.T) deliver.Options {
	t.Helper()
	return deliver.Options{Guard: deliver.Guard{Allow: allow(t, "http://127.0.0.1")}}
}

// raw returns the URL of a target that reads a request from each connection, and then
// calls act. The test ends when the target has ended.
func raw(t *testing.T, act func(c net.Conn)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var running sync.WaitGroup
	running.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			running.Go(func() {
				defer c.Close()
				r, err := http.ReadRequest(bufio.NewReader(c))
				if err != nil {
					return
				}
				_, _ = io.Copy(io.Discard, r.Body)
				act(c)
			})
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		running.Wait()
	})
	return "http://" + l.Addr().String() + "/hook"
}

// untilClosed waits until the other side has closed the connection.
func untilClosed(c net.Conn) { _, _ = io.Copy(io.Discard, c) }

// always returns the same addresses each time that a name is looked up.
func always(addrs ...netip.Addr) func() []netip.Addr {
	return func() []netip.Addr { return addrs }
}

// resolver returns a resolver that resolves every name to the addresses that answer
// returns.
func resolver(answer func() []netip.Addr) *net.Resolver {
	return &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) {
		near, far := net.Pipe()
		go func() {
			defer far.Close()
			for serveDNS(far, answer) == nil {
			}
		}()
		return near, nil
	}}
}

// serveDNS answers one question in the form of DNS over TCP.
func serveDNS(c net.Conn, answer func() []netip.Addr) error {
	var size [2]byte
	if _, err := io.ReadFull(c, size[:]); err != nil {
		return err
	}
	b := make([]byte, binary.BigEndian.Uint16(size[:]))
	if _, err := io.ReadFull(c, b); err != nil {
		return err
	}
	var m dnsmessage.Message
	if err := m.Unpack(b); err != nil {
		return err
	}
	m.Response, m.RecursionAvailable, m.Additionals = true, true, nil
	question := m.Questions[0]
	head := dnsmessage.ResourceHeader{Name: question.Name, Type: question.Type, Class: question.Class}
	for _, a := range answer() {
		switch {
		case a.Is4() && question.Type == dnsmessage.TypeA:
			m.Answers = append(m.Answers, dnsmessage.Resource{Header: head, Body: &dnsmessage.AResource{A: a.As4()}})
		case a.Is6() && question.Type == dnsmessage.TypeAAAA:
			m.Answers = append(m.Answers, dnsmessage.Resource{Header: head, Body: &dnsmessage.AAAAResource{AAAA: a.As16()}})
		}
	}
	packed, err := m.Pack()
	if err != nil {
		return err
	}
	_, err = c.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(packed))), packed...))
	return err
}
