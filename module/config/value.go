// Package config checks values that several directives have in their options: URLs, names
// and texts with placeholders.
package config

import (
	"strings"
)

// Value is a configured text with Caddy's placeholders, compiled once. The values of the
// placeholders are data: they are never searched for further placeholders. Braces that
// hold no placeholder, as in JSON, are literal text.
type Value []valuePart

// valuePart is literal text, or the key of a placeholder with its text as written, which
// is used if the key is unknown.
type valuePart struct {
	text string
	key  string
}

// NewValue compiles text.
func NewValue(text string) Value {
	var v Value
	from := 0
	for i := 0; i < len(text); i++ {
		if text[i] != '{' {
			continue
		}
		end := strings.IndexByte(text[i:], '}')
		if end < 0 {
			break
		}
		key := text[i+1 : i+end]
		if !isPlaceholder(key) {
			continue
		}
		v = append(v, valuePart{text: text[from:i]}, valuePart{text: text[i : i+end+1], key: key})
		from = i + end + 1
		i = from - 1
	}
	return append(v, valuePart{text: text[from:]})
}

// isPlaceholder reports whether the text in braces looks like the key of a placeholder.
func isPlaceholder(key string) bool {
	return key != "" && !strings.ContainsAny(key, " \t\r\n\"'{},")
}

// Keys returns the keys of the placeholders.
func (v Value) Keys() []string {
	var keys []string
	for _, p := range v {
		if p.key != "" {
			keys = append(keys, p.key)
		}
	}
	return keys
}

// With returns the value with every placeholder replaced by text.
func (v Value) With(text string) string {
	var b strings.Builder
	for _, p := range v {
		if p.key == "" {
			b.WriteString(p.text)
		} else {
			b.WriteString(text)
		}
	}
	return b.String()
}

// Pieces yields the text in pieces: those that are written, and those that get returns for the
// keys of placeholders. A placeholder that get does not know stays as it is written.
func (v Value) Pieces(get func(key string) (string, bool)) func(yield func(text string, given bool) bool) {
	return func(yield func(text string, given bool) bool) {
		for _, p := range v {
			text, given := p.text, false
			if p.key != "" {
				if found, ok := get(p.key); ok {
					text, given = found, true
				}
			}
			if !yield(text, given) {
				return
			}
		}
	}
}

// Expand replaces the placeholders by what get returns for their keys, passed through
// escape. A placeholder that get does not know stays as it is written.
func (v Value) Expand(get func(key string) (string, bool), escape func(string) string) string {
	if len(v) == 1 {
		return v[0].text
	}
	var b strings.Builder
	for _, p := range v {
		if p.key == "" {
			b.WriteString(p.text)
			continue
		}
		if found, ok := get(p.key); ok {
			b.WriteString(escape(found))
		} else {
			b.WriteString(p.text)
		}
	}
	return b.String()
}
