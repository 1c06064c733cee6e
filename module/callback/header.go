package callback

import (
	"math"
	"net/http"
	"slices"
	"strings"

	"github.com/caddy-callback/caddy-callback/module/inject"
)

// Field is one header line.
type Field struct {
	_     struct{} `cbor:",toarray"`
	Name  string
	Value string
}

// Header is a list of header lines, names in canonical form and sorted.
type Header []Field

// connectionHeaders are never stored or handed on.
var connectionHeaders = append([]string{"Alt-Svc", "Http2-Settings"}, inject.ConnectionHeaders...)

// credentialHeaders say who is calling, or may contain the URL with its secrets. They
// are never stored.
var credentialHeaders = []string{
	"Authorization", "Cookie", "Proxy-Authorization",
	"Referer", "X-Forwarded-Uri", "X-Original-Uri", "X-Original-Url", "X-Rewrite-Url",
}

// DigestHeaders hold a digest of the bytes of a body. They are wrong once these are changed.
var DigestHeaders = []string{"Content-Digest", "Content-Md5", "Digest", "Repr-Digest"}

// notOfCalls and notOfAcks are the headers that are not stored of a call and of an
// upstream's answer.
var (
	notOfCalls = setOf(connectionHeaders, credentialHeaders)
	notOfAcks  = setOf(connectionHeaders)
)

func setOf(lists ...[]string) map[string]bool {
	set := make(map[string]bool)
	for _, name := range slices.Concat(lists...) {
		set[name] = true
	}
	return set
}

// CallHeader returns what may be stored of a call's header: all but what belongs
// to the connection and what carries credentials.
func CallHeader(h http.Header) Header {
	header, _ := collect(h, notOfCalls, math.MaxInt)
	return header
}

// AckHeader returns what may be stored of an upstream's answer: all but what
// belongs to the connection.
func AckHeader(h http.Header) Header {
	header, _ := collect(h, notOfAcks, math.MaxInt)
	return header
}

// collect returns the lines of h, except those with names in without and those that
// belong to the connection. ok is false if names and values have more than limit bytes.
func collect(h http.Header, without map[string]bool, limit int) (header Header, ok bool) {
	options := inject.ConnectionOptionsOf(h)
	header = make(Header, 0, len(h))
	for name, values := range h {
		if without[name] || options.Has(name) {
			continue
		}
		for _, v := range values {
			if limit -= len(name) + len(v); limit < 0 {
				return nil, false
			}
			header = append(header, Field{Name: name, Value: v})
		}
	}
	slices.SortStableFunc(header, func(a, b Field) int { return strings.Compare(a.Name, b.Name) })
	return header, true
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

// Joined returns the header as an object, the values of lines with one name joined. What is
// not UTF-8 is taken for Latin-1.
func (h Header) Joined() map[string]string {
	values := make(map[string][]string)
	for _, f := range h {
		values[f.Name] = append(values[f.Name], f.Value)
	}
	object := make(map[string]string, len(values))
	for name, all := range values {
		object[name] = shown(strings.Join(all, ", "))
	}
	return object
}

// traceHeaders carry the trace context (W3C Trace Context).
var traceHeaders = []string{"Traceparent", "Tracestate"}

// maxTrace bounds a header of the trace context, in bytes.
const maxTrace = 512

// Trace returns the trace context of a request.
func Trace(h http.Header) Header {
	var trace Header
	for _, name := range traceHeaders {
		if value := h.Get(name); value != "" && len(value) <= maxTrace {
			trace = append(trace, Field{Name: name, Value: value})
		}
	}
	return trace
}

// Trace returns the header lines that carry the trace context.
func (h Header) Trace() Header {
	return slices.DeleteFunc(slices.Clone(h), func(f Field) bool { return !slices.Contains(traceHeaders, f.Name) })
}

// Traceparent returns the line that names the span which the trace context is of, "" if there is
// none.
func (h Header) Traceparent() string { return h.Get("Traceparent") }

// AddTo adds the lines to an HTTP header.
func (h Header) AddTo(dst http.Header) {
	for _, f := range h {
		dst[f.Name] = append(dst[f.Name], f.Value)
	}
}
