package inject

import (
	"bytes"
	"iter"
	"net/url"
	"strings"
)

// SetQuery returns the raw query with the one parameter name=value. The first parameter
// of that name is replaced and any others are removed; if there is none, it is added at
// the end. The other parameters keep their order and every byte.
func SetQuery(raw, name, value string) string {
	parameter := escape(name) + "=" + escape(value)
	var b strings.Builder
	b.Grow(len(raw) + len("&") + len(parameter))
	separator, placed := "", false
	for segment := range strings.SplitSeq(raw, "&") {
		if key, _, ok := split(segment); ok && key == name {
			if placed {
				continue
			}
			segment, placed = parameter, true
		}
		b.WriteString(separator)
		b.WriteString(segment)
		separator = "&"
	}
	if !placed {
		if raw != "" && !strings.HasSuffix(raw, "&") {
			b.WriteByte('&')
		}
		b.WriteString(parameter)
	}
	return b.String()
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
// for a query. It returns a copy.
func SetForm(body []byte, name, value string) []byte {
	return []byte(SetQuery(string(body), name, value))
}

// GetForm does for an application/x-www-form-urlencoded body what GetQuery does
// for a query.
func GetForm(body []byte, name string) []string {
	var values []string
	for segment := range bytes.SplitSeq(body, []byte("&")) {
		// Only what has the name is copied: a body can be large.
		key, value, _ := bytes.Cut(segment, []byte("="))
		if len(segment) > 0 && len(key) <= maxEscaped*len(name) && unescape(string(key)) == name {
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
