package inject

import (
	"bytes"
	"iter"
	"net/url"
	"slices"
	"strings"
)

// SetQuery returns the raw query with the one parameter name=value. The first parameter
// of that name is replaced, and any others are removed that some readers take for one of
// that name; if there is none, it is added at the end. The other parameters keep their order
// and every byte.
func SetQuery(raw, name, value string) string { return string(setParameter(nil, raw, name, value)) }

// setParameter appends to dst what SetQuery and SetForm return.
func setParameter[T string | []byte](dst []byte, raw T, name, value string) []byte {
	parameter := escape(name) + "=" + escape(value)
	dst = slices.Grow(dst, len(raw)+len("&")+len(parameter))
	start, kept, placed := len(dst), 0, false
	for _, segment := range enumerate(raw, '&') {
		before := len(dst)
		if kept > 0 {
			dst = append(dst, '&')
		}
		at := len(dst)
		dst = appendWithoutAlike(dst, segment, name)
		switch named := isNamed(dst[at:], name); {
		case named && !placed:
			dst, placed = append(dst[:at], parameter...), true
		case named || isAlike(dst[at:], name):
			dst = dst[:before]
			continue
		}
		kept++
	}
	if !placed {
		if len(dst) > start && dst[len(dst)-1] != '&' {
			dst = append(dst, '&')
		}
		dst = append(dst, parameter...)
	}
	return dst
}

// isNamed reports whether a segment holds the parameter of that name.
func isNamed[T string | []byte](segment T, name string) bool {
	key := keyOf(segment)
	// Only what can be the name is copied: a body can be large.
	return len(segment) > 0 && len(key) <= maxEscaped*len(name) && unescape(string(key)) == name
}

// keyOf returns the escaped name of the parameter in a segment.
func keyOf[T string | []byte](segment T) T {
	end := 0
	for end < len(segment) && segment[end] != '=' {
		end++
	}
	return segment[:end]
}

// GetQuery returns the values of every parameter of that name in the raw query, in
// order. A name or value with an invalid escape is returned unchanged.
func GetQuery(raw, name string) []string {
	var values []string
	for segment := range strings.SplitSeq(raw, "&") {
		if key, value, ok := split(segment); ok && key == name {
			values = append(values, unescape(value))
		}
	}
	return values
}

// Parameters yields the parameters of the raw query in order. A name or value with an
// invalid escape is returned unchanged.
func Parameters(raw string) iter.Seq2[string, string] {
	return func(yield func(name, value string) bool) {
		for segment := range strings.SplitSeq(raw, "&") {
			if name, value, ok := split(segment); ok && !yield(name, unescape(value)) {
				return
			}
		}
	}
}

// IsEmptyQuery reports whether a raw query has no parameters.
func IsEmptyQuery(raw string) bool { return strings.Trim(raw, "&") == "" }

// SetForm does for an application/x-www-form-urlencoded body what SetQuery does
// for a query. It appends the copy to dst. A byte order mark is left out.
func SetForm(dst, body []byte, name, value string) []byte {
	return setParameter(dst, bytes.TrimPrefix(body, byteOrderMark), name, value)
}

// GetForm does for an application/x-www-form-urlencoded body what GetQuery does
// for a query.
func GetForm(body []byte, name string) []string {
	var values []string
	for segment := range bytes.SplitSeq(body, []byte("&")) {
		if isNamed(segment, name) {
			_, value, _ := bytes.Cut(segment, []byte("="))
			values = append(values, unescape(string(value)))
		}
	}
	return values
}

// maxEscaped is how many bytes a byte can have where it is escaped.
const maxEscaped = 3

// split returns the name of the parameter that a segment holds, and its value
// still escaped. An empty segment holds none.
func split(segment string) (name, value string, ok bool) {
	if segment == "" {
		return "", "", false
	}
	name, value, _ = strings.Cut(segment, "=")
	return unescape(name), value, true
}

func unescape(text string) string {
	if plain, err := url.QueryUnescape(text); err == nil {
		return plain
	}
	return text
}

// escape writes a space as %20, which every decoder reads as a space. Some decoders read
// a plus sign as a space in a form, but not in a query.
func escape(text string) string {
	return strings.ReplaceAll(url.QueryEscape(text), "+", "%20")
}
