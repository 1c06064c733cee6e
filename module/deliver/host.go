package deliver

import (
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"

	"github.com/caddy-callback/caddy-callback/module/callback"
)

// host is a host name or an address, or a name with the address that it has.
type host struct {
	// name is in lower case, in ASCII, and without a dot at its end.
	name string
	// addr is never an IPv4 address in IPv6 form.
	addr netip.Addr
}

// Host returns host and port of a URL to deliver to, in one spelling for all that lead to
// the same place. Of a URL that is never delivered to, it returns some text.
func Host(text string) string {
	u, err := url.Parse(text)
	if err != nil {
		return "?"
	}
	port, err := portOf(u)
	h, ok := parseHost(u.Hostname())
	if err != nil || !ok {
		return "?"
	}
	if h.addr.IsValid() {
		h.name = h.addr.String()
	}
	return net.JoinHostPort(h.name, strconv.Itoa(int(port)))
}

// parseHost reads a host without its brackets. Of the many ways to write an address
// only the usual ones are accepted: some parsers read 127.1, 0x7f000001 and
// 2130706433 as names, others as addresses. Addresses with a zone are refused, too,
// because they mean something only on this machine.
func parseHost(text string) (host, bool) {
	if addr, err := netip.ParseAddr(text); err == nil {
		return host{addr: addr.Unmap()}, addr.Zone() == ""
	}
	ascii, ok := callback.ASCIIName(text)
	if !ok {
		return host{}, false
	}
	name := strings.ToLower(strings.TrimSuffix(ascii, "."))
	label := name[strings.LastIndexByte(name, '.')+1:]
	return host{name: name}, isName(name) && !isNumber(label)
}

const (
	maxName  = 253
	maxLabel = 63
)

func isName(name string) bool {
	if len(name) > maxName {
		return false
	}
	for label := range strings.SplitSeq(name, ".") {
		odd := func(r rune) bool {
			return (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '-' && r != '_'
		}
		if label == "" || len(label) > maxLabel || strings.ContainsFunc(label, odd) {
			return false
		}
	}
	return true
}

// isNumber reports whether some parsers would read the last label of a name as the
// end of an IPv4 address.
func isNumber(label string) bool {
	digits, hex := strings.CutPrefix(label, "0x")
	return !strings.ContainsFunc(digits, func(r rune) bool {
		return (r < '0' || r > '9') && (!hex || r < 'a' || r > 'f')
	})
}

// isLocal reports whether a name means this machine by definition (RFC 6761).
func isLocal(name string) bool {
	return name == "localhost" || strings.HasSuffix(name, ".localhost")
}
