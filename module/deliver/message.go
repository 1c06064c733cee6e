package deliver

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"time"

	"golang.org/x/net/http/httpguts"

	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/inject"
)

const userAgent = "caddy-callback"

// Message is what is delivered.
type Message struct {
	// Method is the method; empty for POST.
	Method string
	// URL is where the message is sent.
	URL string
	// ID names what is delivered, the same on every attempt.
	ID string
	// Timestamp is when the attempt is made.
	Timestamp time.Time
	// Header is the header of what is delivered. Fields that belong to a connection,
	// or that the delivery sets itself, are left out, and so are invalid ones.
	Header http.Header
	// Own are header lines of the operator's, in place of those of the same names in Header.
	Own http.Header
	// Origin is the mark of the store that the message comes from; empty for none.
	Origin callback.Origin
	// Body is the body of what is delivered.
	Body Body
	// Secrets sign the message; without any it is not signed.
	Secrets []Secret
}

// Body opens a body, which may be read several times, and returns its length in bytes, too. It
// may be closed while it is still read: transports do that. A nil Body is empty.
type Body func(ctx context.Context) (body io.ReadCloser, size int64, err error)

// Bytes returns a body that is in memory.
func Bytes(data []byte) Body {
	return func(context.Context) (io.ReadCloser, int64, error) {
		return io.NopCloser(bytes.NewReader(data)), int64(len(data)), nil
	}
}

func (b Body) open(ctx context.Context) (io.ReadCloser, int64, error) {
	if b == nil {
		return http.NoBody, 0, nil
	}
	r, size, err := b(ctx)
	if err != nil {
		return nil, 0, fmt.Errorf("opening the body: %w", err)
	}
	if size == 0 {
		// net/http recognizes an empty body only by this value.
		return http.NoBody, 0, r.Close()
	}
	return r, size, nil
}

// request returns the request of one attempt. named says that the operator allows the
// host and port of the URL by their names, wherever they lead.
func (m *Message) request(ctx context.Context, u *url.URL, named bool) (*http.Request, error) {
	signature, err := m.signature(ctx)
	if err != nil {
		return nil, err
	}
	r, err := http.NewRequestWithContext(ctx, cmp.Or(m.Method, http.MethodPost), u.String(), nil)
	if err != nil {
		return nil, fmt.Errorf("making a request: %w", err)
	}
	r.Header = m.header()
	r.Header.Set("User-Agent", userAgent)
	maps.Copy(r.Header, m.Own)
	r.Header.Set("Webhook-Id", m.ID)
	r.Header.Set("Webhook-Timestamp", timestamp(m.Timestamp))
	if m.Origin != "" {
		r.Header.Set(callback.OriginHeader, m.Origin.Value(named))
	}
	if signature != "" {
		r.Header.Set("Webhook-Signature", signature)
	}
	// With GetBody the transport can retry on another connection if a kept one turns
	// out to be closed.
	r.GetBody = func() (io.ReadCloser, error) {
		body, _, err := m.Body.open(ctx)
		return body, err
	}
	r.Body, r.ContentLength, err = m.Body.open(ctx)
	return r, err
}

func (m *Message) signature(ctx context.Context) (string, error) {
	if len(m.Secrets) == 0 {
		return "", nil
	}
	body, _, err := m.Body.open(ctx)
	if err != nil {
		return "", err
	}
	defer func() { _ = body.Close() }()
	return Sign(m.Secrets, m.ID, m.Timestamp, body)
}

// notPassedOn are headers that belong to one connection (RFC 9110, section 7.6.1) or
// to how a message is sent, and those that a delivery sets itself.
var notPassedOn = append([]string{"Alt-Svc", callback.OriginHeader, "User-Agent", "Webhook-Id", "Webhook-Signature", "Webhook-Timestamp"}, inject.HopHeaders...)

func (m *Message) header() http.Header {
	options := inject.ConnectionOptionsOf(m.Header)
	h := make(http.Header, len(m.Header)+4)
	for name, values := range m.Header {
		name = http.CanonicalHeaderKey(name)
		if options.Has(name) || slices.Contains(notPassedOn, name) || !httpguts.ValidHeaderFieldName(name) {
			continue
		}
		for _, v := range values {
			if httpguts.ValidHeaderFieldValue(v) {
				h[name] = append(h[name], v)
			}
		}
	}
	return h
}
