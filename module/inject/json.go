package inject

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
)

// MaxDepth is how deep the objects and arrays of a JSON body may be nested, before and
// after a value is put into it.
const MaxDepth = 64

var (
	// ErrNotJSON is wrapped by every error about a body that is not exactly one
	// valid JSON value in UTF-8, nested no deeper than MaxDepth.
	ErrNotJSON = errors.New("body is not usable JSON")

	// ErrPath is wrapped by every error about a valid JSON body that a path does
	// not fit.
	ErrPath = errors.New("path does not fit the body")

	// ErrLiteral is wrapped by every error about a literal that cannot be put into a
	// JSON body. It is about the value to be put, not about the request.
	ErrLiteral = errors.New("literal is not usable JSON")
)

// SetJSON appends to dst a copy of body with literal, which must be JSON itself, at the
// path. A path is dotted, such as data.0.id, or an RFC 6901 pointer if it begins
// with a slash. A number names an array's element or an object's member,
// whichever is there; an array's length, and in a pointer "-", name the place
// after its last element.
//
// Nothing else in body changes. A value that is there is replaced. A missing
// member becomes the last of its object; missing parents become objects, except
// that the parent of "-" becomes an array. It is an error if a scalar is in the
// way, if an index is beyond the array's end, or if an object along the path has
// the member's name twice or in another case: the next decoder of the body might
// take the other member.
func SetJSON(dst, body []byte, path string, literal []byte) ([]byte, error) {
	p, err := parsePath(path)
	if err != nil {
		return nil, err
	}
	// Scan it at the depth where it will stand, so that the result keeps to MaxDepth.
	value, err := scan(literal, p, len(p.parts))
	if err == nil && bytes.HasPrefix(literal, byteOrderMark) {
		err = errors.New("byte order mark at byte 0")
	}
	if err != nil {
		return nil, fmt.Errorf("%w: json %s: %w", ErrLiteral, path, err)
	}
	at, err := locate(body, p)
	if err != nil {
		return nil, err
	}
	if at.blocked != nil {
		return nil, fmt.Errorf("%w: json %s: %w", ErrPath, path, at.blocked)
	}
	before, after := at.surroundings(p)
	// What is put together has no byte order mark (RFC 8259, section 8.1).
	head := bytes.TrimPrefix(body[:at.start], byteOrderMark)
	parts := [...][]byte{head, before, literal[value.start:value.end], after, body[at.end:]}
	length := 0
	for _, part := range parts {
		length += len(part)
	}
	dst = slices.Grow(dst, length)
	for _, part := range parts {
		dst = append(dst, part...)
	}
	return dst, nil
}

// GetJSON returns the value at the path in body, and whether there is one. A
// string comes without its quotes and escapes, anything else as it stands in
// body. A path that leads nowhere finds nothing; it is an error if body is not
// JSON, or if an object along the path has the member's name twice or in another
// case.
func GetJSON(body []byte, path string) (value string, found bool, err error) {
	source, err := findJSON(body, path)
	if err != nil || source == nil {
		return "", false, err
	}
	if source[0] == '"' {
		source = unquote(source)
	}
	return string(source), true, nil
}

// findJSON returns the value at the path as it stands in body, nil if none is there.
func findJSON(body []byte, path string) ([]byte, error) {
	p, err := parsePath(path)
	if err != nil {
		return nil, err
	}
	at, err := locate(body, p)
	if err != nil || !at.found {
		return nil, err
	}
	return body[at.start:at.end], nil
}

// CheckJSON makes sure that body is exactly one JSON value in UTF-8, nested no deeper
// than MaxDepth. Its error wraps ErrNotJSON.
func CheckJSON(body []byte) error {
	if _, err := scan(body, path{}, 0); err != nil {
		return fmt.Errorf("%w: %w", ErrNotJSON, err)
	}
	return nil
}

// Quote returns s as a JSON string literal. Unlike json.Marshal it leaves <, > and & as
// they are; like json.Marshal it replaces what is not UTF-8 by U+FFFD.
func Quote(s string) []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	_ = e.Encode(s) // Encoding a string into a buffer cannot fail.
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}

// QuoteWithin returns s as it stands inside the quotes of a JSON string literal.
func QuoteWithin(s string) string {
	quoted := Quote(s)
	return string(quoted[1 : len(quoted)-1])
}

// locate returns where the path leads in a body. It is an error if decoders could read
// the path differently.
func locate(body []byte, p path) (spot, error) {
	at, err := scan(body, p, 0)
	if err != nil {
		return spot{}, fmt.Errorf("%w: json %s: %w", ErrNotJSON, p.text, err)
	}
	if at.ambiguous != nil {
		return spot{}, fmt.Errorf("%w: json %s: %w", ErrPath, p.text, at.ambiguous)
	}
	return at, nil
}

// surroundings returns the text that must stand around a value at the spot.
func (at spot) surroundings(p path) (before, after []byte) {
	if at.found {
		return nil, nil
	}
	if at.hasBefore {
		before = append(before, ',')
	}
	if at.inObject {
		before = appendName(before, p.parts[at.depth])
	}
	for i := at.depth + 1; i < len(p.parts); i++ {
		if p.appends(i) {
			before = append(before, '[')
			after = append(after, ']')
		} else {
			before = appendName(append(before, '{'), p.parts[i])
			after = append(after, '}')
		}
	}
	slices.Reverse(after)
	return before, after
}

func appendName(text []byte, name string) []byte {
	return append(append(text, Quote(name)...), ':')
}
