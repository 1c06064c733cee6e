package page

import (
	"fmt"
	"html/template"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// functions are what templates can call.
var functions = template.FuncMap{
	"text":  text,
	"plain": Plain,
	"short": Short,
	"when":  when,
}

// text shows what a stranger may have sent. Its direction does not reach what is around it,
// and what would not be seen is made visible.
func text(s string) template.HTML {
	return template.HTML("<bdi>" + template.HTMLEscapeString(Plain(s)) + "</bdi>") //nolint:gosec // the text is escaped
}

// Plain returns a text in which what would not be seen, or would change the order of what is
// seen, is named in place of itself.
func Plain(s string) string {
	if strings.IndexFunc(s, hidden) < 0 && utf8.ValidString(s) {
		return s
	}
	var b strings.Builder
	for i, r := range s {
		switch {
		case r == utf8.RuneError && !strings.HasPrefix(s[i:], string(utf8.RuneError)):
			fmt.Fprintf(&b, "‹%02X›", s[i])
		case hidden(r):
			fmt.Fprintf(&b, "‹U+%04X›", r)
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

// hidden reports whether a character is not seen: controls but for tabs and ends of lines,
// marks of direction, joiners, and fillers.
func hidden(r rune) bool {
	switch r {
	case '\n', '\t':
		return false
	case '\u00ad', '\u034f', '\u115f', '\u1160', '\u2028', '\u2029', '\u3164', '\ufeff', '\uffa0':
		return true
	}
	return unicode.IsControl(r) || unicode.Is(unicode.Cf, r) || unicode.Is(unicode.Co, r)
}

// Short returns the beginning of a text, with at most so many characters.
func Short(most int, s string) string {
	n := 0
	for i := range s {
		if n == most {
			return s[:i] + "…"
		}
		n++
	}
	return s
}

// when shows a moment. The script shows it in the reader's own time zone.
func when(moment interface{ Time() time.Time }) template.HTML {
	t := moment.Time().UTC()
	return template.HTML(t.Format(`<time datetime="2006-01-02T15:04:05.000Z">2006-01-02 15:04:05 UTC</time>`)) //nolint:gosec // it has digits only
}
