package module

import (
	"strings"

	"github.com/caddyserver/caddy/v2"
)

// value is a configured text with Caddy's placeholders, compiled once. What they
// yield is data: it is never looked at for placeholders again. Braces that hold
// none, as in JSON, stand for themselves.
type value []valuePart

// valuePart is literal text, or the key of a placeholder with the text to show
// where nothing is known by that key.
type valuePart struct {
	text string
	key  string
}

func newValue(text string) value {
	var v value
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

// isPlaceholder reports whether what stands in braces looks like the key of a
// placeholder.
func isPlaceholder(key string) bool {
	return key != "" && !strings.ContainsAny(key, " \t\r\n\"'{},")
}

// keys returns the keys of the placeholders.
func (v value) keys() []string {
	var keys []string
	for _, p := range v {
		if p.key != "" {
			keys = append(keys, p.key)
		}
	}
	return keys
}

// with returns the text with every placeholder replaced by the same.
func (v value) with(text string) string {
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

// expand replaces the placeholders, passing what they yield through escape.
func (v value) expand(repl *caddy.Replacer, escape func(string) string) string {
	if len(v) == 1 {
		return v[0].text
	}
	var b strings.Builder
	for _, p := range v {
		if p.key == "" {
			b.WriteString(p.text)
			continue
		}
		if found, ok := repl.GetString(p.key); ok {
			b.WriteString(escape(found))
		} else {
			b.WriteString(p.text)
		}
	}
	return b.String()
}

// asIs is the escape of values that need none.
func asIs(s string) string { return s }
