package deliver

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

const plainPrefix = "http://"

// Allow is an exception to the rules of Guard: a host that is allowed whatever its
// address is, or addresses that are allowed although they are not public.
type Allow struct {
	// name is the host, or prefix holds the addresses.
	name   string
	prefix netip.Prefix
	// port is the only port; 0 stands for any.
	port uint16
	// plain permits http beside https.
	plain bool
}

// ParseAllow reads an exception as it is configured: a host name, an address or
// a CIDR; or http:// and a host, which permits plain http to that host, too. A
// host or an address can be followed by a port, and is then allowed on no other.
func ParseAllow(text string) (Allow, error) {
	rest, plain := strings.CutPrefix(text, plainPrefix)
	switch {
	case text == "":
		return Allow{}, errors.New("it is empty: write a host, a CIDR, or http:// and a host")
	case !plain && strings.Contains(text, "://"):
		return Allow{}, fmt.Errorf("%q has a scheme that cannot be allowed: write http:// and a host for plain http, the host alone for https", text)
	case plain && strings.Contains(rest, "/"):
		return Allow{}, fmt.Errorf("%q has more than a host after http://: leave out all from the slash on; plain http is allowed for single hosts only", text)
	case strings.Contains(rest, "/"):
		return parseRange(text)
	}
	name, port, err := splitPort(rest)
	if err != nil {
		return Allow{}, fmt.Errorf("%q has no valid port: write a number from 1 to 65535 after the last colon, and an IPv6 address in brackets", text)
	}
	h, ok := parseHost(name)
	if !ok {
		return Allow{}, fmt.Errorf("%q is neither a host name nor an address in its usual form, such as app.internal, 10.0.0.7 or fd00::7; there are no wildcards, but a CIDR such as 10.0.0.0/8 allows many addresses", text)
	}
	if h.addr.IsValid() {
		return Allow{prefix: netip.PrefixFrom(h.addr, h.addr.BitLen()), port: port, plain: plain}, nil
	}
	return Allow{name: h.name, port: port, plain: plain}, nil
}

// ParseOnly reads one of the hosts that alone may be delivered to, as it is configured: a host
// name or an address, with a port if it is that one alone.
func ParseOnly(text string) (Allow, error) {
	switch {
	case strings.Contains(text, "://"):
		return Allow{}, fmt.Errorf("%q has a scheme: write the host alone; plain http is permitted by allow", text)
	case strings.Contains(text, "/"):
		return Allow{}, fmt.Errorf("%q has more than a host: write the host alone, such as hooks.example.com", text)
	}
	return ParseAllow(text)
}

func parseRange(text string) (Allow, error) {
	p, err := netip.ParsePrefix(text)
	if err != nil {
		return Allow{}, fmt.Errorf("%q is no CIDR: write an address, a slash and the number of leading bits, such as 10.0.0.0/8 or fd00::/8", text)
	}
	if p.Addr().Is4In6() {
		return Allow{}, fmt.Errorf("%q is a CIDR of IPv4 addresses in IPv6 form: write it in IPv4 form, such as 10.0.0.0/8", text)
	}
	return Allow{prefix: p.Masked()}, nil
}

// splitPort splits text into a host and its port; the port is 0 if there is none.
func splitPort(text string) (name string, port uint16, err error) {
	if bare, err := netip.ParseAddr(text); err == nil {
		return bare.String(), 0, nil
	}
	if inner, ok := strings.CutPrefix(text, "["); ok && strings.HasSuffix(text, "]") {
		return strings.TrimSuffix(inner, "]"), 0, nil
	}
	if !strings.Contains(text, ":") {
		return text, 0, nil
	}
	name, number, err := net.SplitHostPort(text)
	if err != nil {
		return "", 0, err
	}
	port, err = parsePort(number)
	return name, port, err
}

func parsePort(text string) (uint16, error) {
	n, err := strconv.ParseUint(text, 10, 16)
	if err == nil && n == 0 {
		err = strconv.ErrRange
	}
	return uint16(n), err
}

// String returns the exception as it can be configured.
func (a Allow) String() string {
	text := a.name
	switch {
	case a.name != "":
	case !a.prefix.IsValid():
		return ""
	case !a.prefix.IsSingleIP():
		return a.prefix.String()
	case a.prefix.Addr().Is6() && (a.port != 0 || a.plain):
		text = "[" + a.prefix.Addr().String() + "]"
	default:
		text = a.prefix.Addr().String()
	}
	if a.port != 0 {
		text += ":" + strconv.Itoa(int(a.port))
	}
	if a.plain {
		text = plainPrefix + text
	}
	return text
}

// permits reports whether a host is allowed. If the host is a name, h.addr is the
// address that is being connected to, if that is known.
func (a Allow) permits(h host, port uint16) bool {
	switch {
	case a.port != 0 && a.port != port:
		return false
	case a.name != "":
		return a.name == h.name
	}
	return a.prefix.Contains(h.addr)
}

func permitted(allow []Allow, h host, port uint16) bool {
	return slices.ContainsFunc(allow, func(a Allow) bool { return a.permits(h, port) })
}
