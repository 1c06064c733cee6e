package harness

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"
)

// Protocol is a version of HTTP and the way it is carried.
type Protocol string

// The protocols that Caddy speaks to its clients.
const (
	HTTP1 Protocol = "HTTP/1.1"
	H2C   Protocol = "h2c"
	H2    Protocol = "h2"
	H3    Protocol = "h3"
)

// Protocols are all of them.
var Protocols = []Protocol{HTTP1, H2C, H2, H3}

// URL returns the address of a path of the private site.
func (p Protocol) URL(path string) string {
	if p == H2 || p == H3 {
		return "https://app.test" + path
	}
	return "http://app.test" + path
}

// Client returns a client that speaks the protocol and reaches every site of this
// Caddy. It follows no redirects and decompresses nothing. For H2 and H3 the server
// must have been started with TLS.
func (c *Caddy) Client(tb testing.TB, p Protocol) *http.Client {
	tb.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	client := c.clients[p]
	if client == nil {
		client = &http.Client{
			Timeout:       Patience,
			Transport:     c.transport(tb, p),
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		}
		c.clients[p] = client
	}
	return client
}

// PatientClient returns a client with connections of its own and without a timeout.
// It must be closed with CloseIdleConnections.
func (c *Caddy) PatientClient(tb testing.TB, p Protocol) *http.Client {
	tb.Helper()
	return &http.Client{Transport: c.transport(tb, p)}
}

// CloseClients closes every connection to the server that a client has opened.
func (c *Caddy) CloseClients() {
	c.mu.Lock()
	clients := c.clients
	c.clients = make(map[Protocol]*http.Client)
	c.mu.Unlock()
	for _, client := range clients {
		if t, ok := client.Transport.(io.Closer); ok {
			_ = t.Close()
		}
		client.CloseIdleConnections()
	}
}

// closeIdle closes the connections that carry no request.
func (c *Caddy) closeIdle() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, client := range c.clients {
		client.CloseIdleConnections()
	}
}

func (c *Caddy) transport(tb testing.TB, p Protocol) http.RoundTripper {
	tb.Helper()
	id, err := testIdentity()
	if err != nil {
		tb.Fatal(err)
	}
	config := &tls.Config{RootCAs: id.roots, ServerName: "app.test"}
	if p == H3 {
		return &http3.Transport{TLSClientConfig: config, Dial: c.dialQUIC, DisableCompression: true}
	}
	t := &http.Transport{
		DialContext:        c.dial,
		TLSClientConfig:    config,
		DisableCompression: true,
		Protocols:          new(http.Protocols),
		// Longer than any test waits: a body that was announced with "Expect:
		// 100-continue" is sent when the server asks for it, or never.
		ExpectContinueTimeout: Patience,
		MaxIdleConnsPerHost:   256,
	}
	switch p {
	case HTTP1:
		t.Protocols.SetHTTP1(true)
	case H2C:
		t.Protocols.SetUnencryptedHTTP2(true)
	case H2:
		t.Protocols.SetHTTP2(true)
	default:
		tb.Fatalf("unknown protocol %q", p)
	}
	return t
}

// dial connects to a site: to the one with TLS at its port, to every other at its
// socket.
func (c *Caddy) dial(ctx context.Context, _, address string) (net.Conn, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	d := new(net.Dialer)
	if port == "443" {
		return d.DialContext(ctx, "tcp", c.current().tls)
	}
	return d.DialContext(ctx, "unix", c.socket(strings.TrimSuffix(host, ".test")))
}

func (c *Caddy) dialQUIC(ctx context.Context, _ string, tlsConfig *tls.Config, config *quic.Config) (*quic.Conn, error) {
	return quic.DialAddrEarly(ctx, c.current().quic, tlsConfig, config)
}

func (c *Caddy) current() *process {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.process
}

// altSvc is how a server says at which port it speaks HTTP/3.
var altSvc = regexp.MustCompile(`h3=":(\d+)"`)

// findPorts learns which ports the system has chosen: for TCP from the log, for
// UDP as every client does, from the header that announces HTTP/3.
func (c *Caddy) findPorts(tb testing.TB, p *process) {
	tb.Helper()
	for line := range strings.Lines(p.output()) {
		var entry struct {
			Message string `json:"msg"`
			Address string `json:"actual_address"`
		}
		if json.Unmarshal([]byte(line), &entry) == nil && entry.Message == "port 0 listener" {
			p.tls = entry.Address
		}
	}
	// The header is missing until the server for HTTP/3 is up.
	Eventually(tb, "HTTP/3 is announced", func() bool {
		port := altSvc.FindStringSubmatch(c.announced(tb))
		if port == nil {
			return false
		}
		p.quic = "127.0.0.1:" + port[1]
		return true
	})
}

// announced returns the server's Alt-Svc header. The request is for a host that no
// site serves, so that it reaches no handler.
func (c *Caddy) announced(tb testing.TB) string {
	tb.Helper()
	req, err := http.NewRequest(http.MethodGet, H2.URL("/"), nil)
	if err != nil {
		tb.Fatal(err)
	}
	req.Host = "nobody.test"
	resp, err := c.Client(tb, H2).Do(req)
	if err != nil {
		tb.Fatalf("looking for HTTP/3: %v", err)
	}
	_ = resp.Body.Close()
	return resp.Header.Get("Alt-Svc")
}
