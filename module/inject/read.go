package inject

import (
	"errors"
	"fmt"
	"mime"
	"net/url"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/caddy-callback/caddy-callback/module/unpack"
)

var (
	// ErrPacked is wrapped by the error about a body with a content coding that cannot be
	// looked into.
	ErrPacked = errors.New("body is packed")

	// ErrCharset is wrapped by the error about a body whose text is not in UTF-8.
	ErrCharset = errors.New("charset is not UTF-8")

	// ErrAmbiguous is wrapped by every error about a value that two readers of the
	// message could read differently, such as a field with two values.
	ErrAmbiguous = errors.New("value is ambiguous")
)

// Value is what a message has at a location. Its zero value says that nothing is there.
type Value struct {
	// Text is the value. A JSON string comes without its quotes and escapes, any other
	// JSON value as it stands in the body.
	Text string
	// first is the first byte of a JSON value; zero in another place.
	first byte
	// nested says that it is an XML element with elements in it, and has no text.
	nested bool
}

// IsNull reports whether the value is the JSON value null.
func (v Value) IsNull() bool { return v.first == 'n' }

// IsText reports whether the value is a text: in JSON, a string.
func (v Value) IsText() bool { return v.first == 0 || v.first == '"' }

// checkWhole makes sure that the text of the value is all that is there.
func (v Value) checkWhole(at Location) error {
	if v.nested {
		return fmt.Errorf("%w: %s has elements in it", ErrAmbiguous, at)
	}
	return nil
}

// Match reports whether the value at the location matches one of the patterns, as Value does
// it. Its errors are those of Read; an XML element with elements in it can be read where there
// are no patterns: it is there.
func (m *Message) Match(at Location, patterns []string) (bool, error) {
	v, err := m.look(at)
	if err == nil && len(patterns) > 0 {
		err = v.checkWhole(at)
	}
	return err == nil && v.Matches(patterns), err
}

// Read returns the value at the location, if all readers of the message would read the
// same; otherwise it is an error. Byte order marks are read past. Nothing is there in an
// empty body. Of a value that is given several times, all must be the same. A packed body is
// unpacked, for that alone.
//
// The error wraps ErrPacked or ErrCharset, ErrNotForm, ErrNotJSON or ErrNotXML if the body is
// no such body, ErrField if a field of a form does not hold the JSON that the location leads
// through, or ErrAmbiguous or ErrPath. That of a body that cannot be unpacked is the one of
// unpack.Body.
func (m *Message) Read(at Location) (Value, error) {
	v, err := m.look(at)
	if err == nil {
		err = v.checkWhole(at)
	}
	if err != nil {
		return Value{}, err
	}
	return v, nil
}

// look is Read, except that it finds XML elements with elements in them.
func (m *Message) look(at Location) (Value, error) {
	if at.In == Header {
		return only(at, m.Header.Values(at.Name))
	}
	if at.In == Query {
		values, err := readParameter(at, m.Query)
		if err != nil {
			return Value{}, err
		}
		return only(at, values)
	}
	if at.In == XML {
		v, _, err := m.readXML(at)
		return v, err
	}
	if len(m.Body) == 0 {
		return Value{}, nil
	}
	m, err := m.text()
	if err != nil || len(m.Body) == 0 {
		return Value{}, err
	}
	if at.In == Form {
		return m.readForm(at)
	}
	source, err := findJSON(m.Body, at.Name)
	if err != nil || source == nil {
		return Value{}, err
	}
	return jsonValue(source), nil
}

// jsonValue returns the value that is written so in JSON.
func jsonValue(source []byte) Value {
	v := Value{Text: string(source), first: source[0]}
	if v.first == '"' {
		v.Text = string(unquote(source))
	}
	return v
}

// readXML returns the value at a location in an XML body, and whether it is there.
func (m *Message) readXML(at Location) (v Value, found bool, err error) {
	if len(m.Body) == 0 {
		return Value{}, false, nil
	}
	m, err = m.text()
	if err != nil || len(m.Body) == 0 {
		return Value{}, false, err
	}
	return findXML(m.Body, at.Name)
}

// Coding returns the content coding of the body; "" for none.
func (m *Message) Coding() string {
	if m.plain {
		return ""
	}
	return unpack.CodingOf(m.Header["Content-Encoding"])
}

// Packed returns the error that a body with that coding cannot be looked into.
func Packed(coding string) error {
	return fmt.Errorf("%w: its Content-Encoding is %q", ErrPacked, coding)
}

// text returns the message with its body unpacked. It makes sure that this is text in
// UTF-8, as far as the header says.
func (m *Message) text() (*Message, error) {
	coding := m.Coding()
	if coding != "" && (m.Unpacked == nil || !unpack.Knows(coding)) {
		return m, Packed(coding)
	}
	_, parameters, err := mime.ParseMediaType(m.Header.Get("Content-Type"))
	if charset, given := parameters["charset"]; err == nil && given && !isUTF8(charset) {
		return m, fmt.Errorf("%w but %q", ErrCharset, charset)
	}
	if coding == "" {
		return m, nil
	}
	return m.asItStands()
}

// asItStands returns the message with its body unpacked if that can be done, else with the
// body as it is.
func (m *Message) asItStands() (*Message, error) {
	body := m.Body
	if coding := m.Coding(); m.Unpacked != nil && unpack.Knows(coding) {
		var err error
		if body, err = m.Unpacked.Bytes(coding); err != nil {
			return m, err
		}
	}
	return &Message{Header: m.Header, Query: m.Query, Body: body, plain: true}, nil
}

// isUTF8 reports whether a charset is UTF-8 or a part of it.
func isUTF8(charset string) bool {
	return slices.Contains([]string{"utf-8", "utf8", "us-ascii", "ascii"}, strings.ToLower(charset))
}

var byteOrderMark = []byte("\ufeff")

// readParameter returns the values of a parameter of a query or a field of a form. Some readers take a
// semicolon for an ampersand, and some do not tell names apart that differ in case only.
func readParameter(at Location, raw string) ([]string, error) {
	var values []string
	for segment := range strings.SplitSeq(raw, "&") {
		name, value, ok := split(segment)
		switch {
		case !ok:
		case name == at.Name:
			text, err := url.QueryUnescape(value)
			if err != nil || !utf8.ValidString(text) {
				return nil, fmt.Errorf("%w: %s has an invalid escape, or is not UTF-8", ErrAmbiguous, at)
			}
			values = append(values, text)
		case strings.EqualFold(name, at.Name):
			return nil, fmt.Errorf("%w: %s is there as %q", ErrAmbiguous, at, name)
		}
		if hidesParameter(segment, at.Name) {
			return nil, fmt.Errorf("%w: some readers find another %s after a semicolon", ErrAmbiguous, at)
		}
	}
	return values, nil
}

// hidesParameter reports whether a reader that separates parameters at semicolons finds
// another parameter of that name in a segment, or another value.
func hidesParameter(segment, name string) bool {
	first, rest, several := strings.Cut(segment, ";")
	if !several {
		return false
	}
	for part := range strings.SplitSeq(rest, ";") {
		if key, _, ok := split(part); ok && strings.EqualFold(key, name) {
			return true
		}
	}
	key, _, ok := split(first)
	return ok && strings.EqualFold(key, name)
}

// only returns the one value that is given, once or more often.
func only(at Location, values []string) (Value, error) {
	if len(values) == 0 {
		return Value{}, nil
	}
	if slices.ContainsFunc(values, func(v string) bool { return v != values[0] }) {
		return Value{}, several(at)
	}
	return Value{Text: values[0]}, nil
}

func several(at Location) error {
	return fmt.Errorf("%w: %s is there more than once, with values that differ", ErrAmbiguous, at)
}
