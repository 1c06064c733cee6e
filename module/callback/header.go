package callback

import (
	"net/http"
	"slices"
	"strings"
)

// Field is one header line.
type Field struct {
	_     struct{} `cbor:",toarray"`
	Name  string
	Value string
}

// Header is a list of header lines, names in canonical form and sorted.
type Header []Field

// connectionHeaders belong to one connection (RFC 9110, section 7.6.1), not to
// the message, and are never stored or handed on.
var connectionHeaders = []string{
	"Alt-Svc", "Connection", "Content-Length", "Expect", "Keep-Alive", "Proxy-Authenticate", "Proxy-Connection", "Te",
	"Trailer", "Transfer-Encoding", "Upgrade",
}

// credentialHeaders say who is calling, or may hold the URL with its secrets. They
// are never stored.
var credentialHeaders = []string{
	"Authorization", "Cookie", "Proxy-Authorization",
	"Referer", "X-Forwarded-Uri", "X-Original-Uri", "X-Original-Url", "X-Rewrite-Url",
}

// CallHeader returns what may be stored of a call's header: all but what belongs
// to the connection and what carries credentials.
func CallHeader(h http.Header) Header {
	return collect(h, append(credentialHeaders, connectionHeaders...))
}

// AckHeader returns what may be stored of an upstream's answer: all but what
// belongs to the connection.
func AckHeader(h http.Header) Header {
	return collect(h, connectionHeaders)
}

func collect(h http.Header, without []string) Header {
	named := h["Connection"]
	out := make(Header, 0, len(h))
	for name, values := range h {
		if slices.Contains(without, name) || namedBy(named, name) {
			continue
		}
		for _, v := range values {
			out = append(out, Field{Name: name, Value: v})
		}
	}
	slices.SortStableFunc(out, func(a, b Field) int { return strings.Compare(a.Name, b.Name) })
	return out
}

// namedBy reports whether a Connection header names the header.
func namedBy(connection []string, name string) bool {
	for _, line := range connection {
		for option := range strings.SplitSeq(line, ",") {
			if strings.EqualFold(strings.TrimSpace(option), name) {
				return true
			}
		}
	}
	return false
}

// Values returns the values of the header lines with that canonical name.
func (h Header) Values(name string) []string {
	var values []string
	for _, f := range h {
		if f.Name == name {
			values = append(values, f.Value)
		}
	}
	return values
}

// Get returns the first value of the header with that canonical name, or "".
func (h Header) Get(name string) string {
	for _, f := range h {
		if f.Name == name {
			return f.Value
		}
	}
	return ""
}

// AddTo adds the lines to an HTTP header.
func (h Header) AddTo(dst http.Header) {
	for _, f := range h {
		dst[f.Name] = append(dst[f.Name], f.Value)
	}
}
