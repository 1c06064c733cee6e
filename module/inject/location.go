// Package inject puts values into, and reads them from, the places of an HTTP request:
// its headers, its query, its form body, its JSON body and its XML body. What it was not told to
// change stays the same, byte for byte.
package inject

import (
	"errors"
	"fmt"
	"net/textproto"
	"slices"
	"unicode/utf8"

	"golang.org/x/net/http/httpguts"
)

// ErrLocation is wrapped by every error about a location that no request can have, or
// that must not be changed. It is about configuration, not about a request.
var ErrLocation = errors.New("not a location of a request")

// Place is a part of a request that holds named values.
type Place string

// The places of a request.
const (
	Header Place = "header"
	Query  Place = "query"
	Form   Place = "form"
	JSON   Place = "json"
	XML    Place = "xml"
)

// Location says where a value stands in a message: in a header, a query parameter,
// a field of a form body, a member of a JSON body, or an element or attribute of an XML body.
type Location struct {
	// In is header, query, form, json or xml.
	In Place `json:"in" cbor:"1,keyasint"`
	// Name is the name there; for json a dotted path or an RFC 6901 pointer; for xml a path
	// of local names, such as /Order/Status or /Order/@id; for form the name of a field,
	// which a dotted path into the JSON in it may follow.
	Name string `json:"name" cbor:"2,keyasint"`
}

// InBody reports whether the value stands in the body.
func (l Location) InBody() bool { return l.In == Form || l.In == JSON || l.In == XML }

// ParseLocation returns the location that the two words name, or an error that
// wraps ErrLocation.
func ParseLocation(in, name string) (Location, error) {
	l := Location{In: Place(in), Name: name}
	if err := l.Validate(); err != nil {
		return Location{}, err
	}
	return l, nil
}

// Validate says whether a request can have this location. A header name must be a
// token, and not that of a header for the framing of the message or for the connection;
// a query parameter or form field needs a name; what follows a dot in that of a field
// must be a path into JSON as well; a JSON member needs a path that SetJSON
// understands, and an XML element or attribute one that SetXML does.
func (l Location) Validate() error {
	switch l.In {
	case Header:
		return validateHeader(l.Name)
	case Query, Form:
		if l.Name == "" {
			return fmt.Errorf("%w: %s needs a name", ErrLocation, l.In)
		}
		if !utf8.ValidString(l.Name) {
			return fmt.Errorf("%w: %s name is not UTF-8", ErrLocation, l.In)
		}
		if l.In == Form {
			return checkFieldName(l.Name)
		}
		return nil
	case JSON:
		if _, err := parsePath(l.Name); err != nil {
			return err
		}
		return checkSpelling(l.Name)
	case XML:
		_, err := parseXMLPath(l.Name)
		return err
	}
	return fmt.Errorf("%w: %q is none of header, query, form, json and xml", ErrLocation, l.In)
}

// String returns the location as it is written in a Caddyfile, such as
// "json data.0.id".
func (l Location) String() string {
	return string(l.In) + " " + l.Name
}

// ConnectionHeaders belong to one connection or to the message's framing (RFC 9110,
// section 7.6.1), not to the message. They are never stored, and never handed on.
var ConnectionHeaders = []string{
	"Connection", "Content-Length", "Expect", "Keep-Alive", "Proxy-Authenticate", "Proxy-Connection", "Te", "Trailer",
	"Transfer-Encoding", "Upgrade",
}

// HopHeaders are ConnectionHeaders and those that must not be set, either: they say where
// the connection leads, or never show in a header map. Setting one can smuggle a second
// request.
var HopHeaders = append([]string{"Host", "Http2-Settings", "Proxy-Authorization"}, ConnectionHeaders...)

func validateHeader(name string) error {
	if name == "" {
		return fmt.Errorf("%w: header needs a name", ErrLocation)
	}
	if !httpguts.ValidHeaderFieldName(name) {
		return fmt.Errorf("%w: %q is not the name of a header", ErrLocation, name)
	}
	if slices.Contains(HopHeaders, textproto.CanonicalMIMEHeaderKey(name)) {
		return fmt.Errorf("%w: header %s belongs to the connection", ErrLocation, name)
	}
	return nil
}
