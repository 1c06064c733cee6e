package deliver

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"path"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"code.dny.dev/ssrf"

	"github.com/caddy-callback/caddy-callback/module/callback"
)

// maxURL is the longest URL, in bytes.
const maxURL = 2048

// What is wrong with a URL. These texts contain nothing of the URL, which may hold
// secrets. Everything that can be wrong with a host has the same text, so that nobody
// can use it to find out which hosts and addresses exist inside our network.
var (
	errLength    = errors.New("the URL is empty or longer than 2048 bytes")
	errCharacter = errors.New("the URL has a character that no URL can hold: write it percent-encoded")
	errSyntax    = errors.New("the URL cannot be read: write https://, a host and a path")
	errScheme    = errors.New("the URL must begin with https://")
	errPlain     = &refusal{"the URL must begin with https://", "the option allow permits http:// for single hosts"}
	errUser      = errors.New("the URL must not hold a user name or a password")
	errFragment  = errors.New("the URL must not have a fragment: leave out # and what follows")
	errPort      = errors.New("the URL has no valid port: leave it out, or write a number from 1 to 65535")
	errOwn       = &refusal{"the URL leads back to where callbacks are called, and nothing is delivered there", "the option allow permits it if it names the host with its port"}
	errOnly      = &refusal{"the URL's host is not one that results are sent to", "the option only lists those that are"}
	errHost      = &refusal{"the URL's host is not allowed: it is not written in its usual form, or its address is not public", "the option allow permits single hosts and addresses"}
)

// refusal says what is wrong with a URL that an operator could allow. Whoever gave the URL
// reads the text alone: the options are none of theirs.
type refusal struct{ text, cure string }

// Error implements error.
func (r *refusal) Error() string { return r.text }

// WithCure adds to an error of CheckURL what an operator can do about it.
func WithCure(err error) error {
	if r := (*refusal)(nil); errors.As(err, &r) {
		return fmt.Errorf("%w; %s", err, r.cure)
	}
	return err
}

// Guard says what may be delivered to: hosts with public addresses, by https. The
// zero Guard has no exceptions.
type Guard struct {
	// Allow are the exceptions.
	Allow []Allow
	// Only are the hosts that may be delivered to; all may, if there are none. They are no
	// exceptions: what else is required of a host stays so.
	Only []Allow
	// Own are the base URLs under which callback_server is reached. Nothing is
	// delivered to its paths, which would let a callback call itself, unless an
	// exception names host and port.
	Own *Bases
}

// CheckURL parses a URL to deliver to, and says what is wrong with it. It does not
// look names up: the address is checked each time that a connection is made.
func (g Guard) CheckURL(text string) (*url.URL, error) {
	u, err := parseURL(text)
	if err != nil {
		return nil, err
	}
	port, err := portOf(u)
	if err != nil {
		return nil, err
	}
	h, ok := parseHost(u.Hostname())
	if !ok {
		return nil, errHost
	}
	switch {
	case len(g.Only) > 0 && !permitted(g.Only, h, port):
		return nil, errOnly
	case u.Scheme == "http" && !g.permitsPlain(h, port):
		return nil, errPlain
	case g.leadsBack(u, h, port) && !g.names(h, port):
		return nil, errOwn
	case h.addr.IsValid():
		err = g.check(h, port)
	case isLocal(h.name):
		v4, v6 := host{h.name, netip.AddrFrom4([4]byte{127, 0, 0, 1})}, host{h.name, netip.IPv6Loopback()}
		if err = g.check(v4, port); err != nil {
			err = g.check(v6, port)
		}
	}
	if err != nil {
		return nil, err
	}
	if ascii, _ := callback.ASCIIName(u.Hostname()); ascii != u.Hostname() {
		u.Host = ascii + strings.TrimPrefix(u.Host, u.Hostname())
	}
	return u, nil
}

func parseURL(text string) (*url.URL, error) {
	if text == "" || len(text) > maxURL {
		return nil, errLength
	}
	odd := func(r rune) bool { return unicode.IsControl(r) || unicode.IsSpace(r) || r == '\\' }
	if !utf8.ValidString(text) || strings.ContainsFunc(text, odd) {
		return nil, errCharacter
	}
	u, err := url.Parse(text)
	switch {
	case err != nil:
		return nil, errSyntax
	case u.Scheme != "https" && u.Scheme != "http":
		return nil, errScheme
	case u.Hostname() == "":
		return nil, errSyntax
	case u.User != nil:
		return nil, errUser
	case strings.Contains(text, "#"):
		return nil, errFragment
	}
	return u, nil
}

// portOf returns the port that a URL leads to.
func portOf(u *url.URL) (uint16, error) {
	switch {
	case strings.HasSuffix(u.Host, ":"):
		return 0, errPort
	case u.Port() == "" && u.Scheme == "http":
		return 80, nil
	case u.Port() == "":
		return 443, nil
	}
	port, err := parsePort(u.Port())
	if err != nil {
		return 0, errPort
	}
	return port, nil
}

func (g Guard) permitsPlain(h host, port uint16) bool {
	return slices.ContainsFunc(g.Allow, func(a Allow) bool { return a.plain && a.permits(h, port) })
}

// names reports whether an exception is for that host and port alone.
func (g Guard) names(h host, port uint16) bool {
	return slices.ContainsFunc(g.Allow, func(a Allow) bool {
		return a.port != 0 && a.permits(h, port)
	})
}

// namesURL is names for a URL that was checked.
func (g Guard) namesURL(u *url.URL) bool {
	port, err := portOf(u)
	h, ok := parseHost(u.Hostname())
	return err == nil && ok && g.names(h, port)
}

// leadsBack reports whether a URL is one of callback_server's own. Paths are compared
// decoded, cleaned and in lower case, because some servers treat such paths as the
// same.
func (g Guard) leadsBack(u *url.URL, h host, port uint16) bool {
	return g.Own.have(func(own *url.URL) bool {
		ownPort, err := portOf(own)
		ownHost, ok := parseHost(own.Hostname())
		if err != nil || !ok || u.Scheme != own.Scheme || h != ownHost || port != ownPort {
			return false
		}
		below, found := strings.CutPrefix(plainPath(u), plainPath(own)+"/")
		space, _, _ := strings.Cut(below, "/")
		return found && callback.IsOwnSpace(space)
	})
}

// plainPath returns a URL's path decoded, cleaned, in lower case and without a slash
// at its end.
func plainPath(u *url.URL) string {
	return strings.TrimSuffix(strings.ToLower(path.Clean("/"+u.Path)), "/")
}

// public knows which addresses are public.
var public = ssrf.New(ssrf.WithAnyPort())

// check decides whether a connection to the host's address is allowed.
func (g Guard) check(h host, port uint16) error {
	if permitted(g.Allow, h, port) || public.SafeAddr(h.addr) == nil {
		return nil
	}
	return errHost
}

// checkDial decides whether a connection may be made: wanted is the host that was
// asked for, connected the address that it resolved to, each with its port.
func (g Guard) checkDial(wanted, connected string) error {
	to, err := netip.ParseAddrPort(connected)
	if err != nil {
		return errHost
	}
	name, _, err := net.SplitHostPort(wanted)
	if err != nil {
		return errHost
	}
	h, ok := parseHost(name)
	if !ok {
		return errHost
	}
	h.addr = to.Addr().Unmap()
	return g.check(h, to.Port())
}
