package deliver

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/caddy-callback/caddy-callback/module/callback"
)

const (
	// knockTimeout is how long a base URL has to answer.
	knockTimeout = 10 * time.Second
	// knockAnswer is how much of an answer is read, in bytes.
	knockAnswer = 4 << 10
)

// Knocked is what has answered at a base URL.
type Knocked struct {
	// Status is the status of the answer; 0 if there was none.
	Status int
	// Problem is the last part of the type of the problem that was answered; empty for none.
	Problem string
	// Error says in a few words why there was no answer.
	Error string
}

// Knock makes a call that no callback takes below a base URL of our own, with the mark of the
// store: the callback_server of that store, and no other, answers it with the problem
// loop-detected. The URL comes from the configuration, so its host may have any address; what is
// asked otherwise is as for a delivery. Redirects are not followed.
func Knock(ctx context.Context, base string, origin callback.Origin) Knocked {
	allowed, err := allowBase(base)
	if err != nil {
		return Knocked{Error: notAllowed}
	}
	c := New(Options{Guard: Guard{Allow: []Allow{allowed}, Only: []Allow{allowed}}, Timeout: knockTimeout})
	defer c.Close()
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	u, err := c.guard.CheckURL(callback.NobodysURL(strings.TrimSuffix(base, "/")))
	if err != nil {
		return Knocked{Error: notAllowed}
	}
	m := Message{URL: u.String(), ID: "knock", Timestamp: time.Now(), Origin: origin}
	request, err := m.request(ctx, u, false)
	if err != nil {
		return Knocked{Error: notReadable}
	}
	response, err := c.transport.RoundTrip(request)
	if err != nil {
		return Knocked{Error: failed(err).Error}
	}
	defer func() { _ = response.Body.Close() }()
	return Knocked{Status: response.StatusCode, Problem: problemIn(response)}
}

// allowBase is the exception for the host and the port of a base URL.
func allowBase(base string) (Allow, error) {
	u, err := url.Parse(base)
	if err != nil {
		return Allow{}, errSyntax
	}
	port, err := portOf(u)
	if err != nil {
		return Allow{}, err
	}
	name, ok := parseHost(u.Hostname())
	if !ok {
		return Allow{}, errHost
	}
	a := Allow{name: name.name, port: port, plain: u.Scheme == "http"}
	if name.addr.IsValid() {
		a.name, a.prefix = "", netip.PrefixFrom(name.addr, name.addr.BitLen())
	}
	return a, nil
}

// problemIn returns the last part of the type of the problem in an answer; empty for none.
func problemIn(response *http.Response) string {
	var b [knockAnswer]byte
	n, err := io.ReadFull(response.Body, b[:])
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
		return ""
	}
	var document struct{ Type string }
	if json.Unmarshal(b[:n], &document) != nil {
		return ""
	}
	_, slug, _ := strings.Cut(document.Type, "#")
	return slug
}
