package deliver

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/http"
	"syscall"
	"time"
)

// DefaultTimeout is how long an attempt may take.
const DefaultTimeout = 30 * time.Second

const (
	connectTimeout = 10 * time.Second
	idleTimeout    = 30 * time.Second
	// maxIdle and maxIdlePerHost bound connections kept for the next delivery.
	maxIdle        = 64
	maxIdlePerHost = 2
	// maxHeader bounds the header of an answer, in bytes; those of informational
	// responses before it are counted, too.
	maxHeader = 64 << 10
)

// Options are what a Client can be given.
type Options struct {
	// Guard says what may be delivered to.
	Guard Guard
	// Timeout bounds an attempt from looking up the name to the end of the answer;
	// 0 stands for DefaultTimeout.
	Timeout time.Duration
	// Resolver looks names up; nil stands for the system's.
	Resolver *net.Resolver
	// Roots are the certificate authorities that are trusted; nil stands for the
	// system's.
	Roots *x509.CertPool
}

// Client makes attempts to deliver. It can be used by many goroutines at once.
type Client struct {
	guard     Guard
	timeout   time.Duration
	dialer    net.Dialer
	transport *http.Transport
}

// New returns a client. It uses no proxy, whatever the environment says: a proxy
// would connect to addresses that the guard cannot check.
func New(o Options) *Client {
	c := &Client{
		guard:   o.Guard,
		timeout: o.Timeout,
		dialer:  net.Dialer{Timeout: connectTimeout, Resolver: o.Resolver},
	}
	if c.timeout <= 0 {
		c.timeout = DefaultTimeout
	}
	c.transport = &http.Transport{
		DialContext:            c.dial,
		TLSClientConfig:        &tls.Config{RootCAs: o.Roots, MinVersion: tls.VersionTLS12},
		TLSHandshakeTimeout:    connectTimeout,
		ForceAttemptHTTP2:      true,
		DisableCompression:     true,
		MaxIdleConns:           maxIdle,
		MaxIdleConnsPerHost:    maxIdlePerHost,
		IdleConnTimeout:        idleTimeout,
		MaxResponseHeaderBytes: maxHeader,
	}
	return c
}

// Close closes the connections that are kept for the next delivery. Attempts under
// way go on.
func (c *Client) Close() { c.transport.CloseIdleConnections() }

// dial connects to a host if the guard allows the address that the host's name
// resolves to. It is checked here because a name may resolve to another address each
// time that it is looked up.
func (c *Client) dial(ctx context.Context, network, wanted string) (net.Conn, error) {
	d := c.dialer
	d.ControlContext = func(_ context.Context, _, connected string, _ syscall.RawConn) error {
		return c.guard.checkDial(wanted, connected)
	}
	return d.DialContext(ctx, network, wanted)
}
