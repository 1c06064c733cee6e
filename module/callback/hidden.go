package callback

import (
	"encoding/hex"
	"slices"
	"strings"

	"github.com/caddy-callback/caddy-callback/module/inject"
)

// leastHidden is the length of the shortest text that is hidden, in bytes. States and keys
// have more; what a caller shows in their place may be a text that many calls hold.
const leastHidden = 16

// cut stands in the place of what is cut out of a text.
const cut = "***"

// Hide takes secrets out of the call: header lines and query parameters that hold them. A
// proxy or the partner may repeat its URL anywhere. What the call means is still judged by
// all of it, so that nothing is taken for absent. The body stays as it came.
func (c *Call) Hide(secrets ...string) {
	for _, s := range secrets {
		if len(s) >= leastHidden {
			c.hidden = append(c.hidden, small(s))
		}
	}
	shows := func(line Field) bool { return c.hides(line.Value) || c.hides(line.Name) }
	if !slices.ContainsFunc(c.Header, shows) && !c.hides(c.Query) {
		return
	}
	if !c.heard {
		c.heard, c.heardHeader, c.heardQuery = true, c.Header, c.Query
	}
	c.Header = slices.DeleteFunc(slices.Clone(c.Header), shows)
	c.Query = inject.KeepQuery(c.Query, func(segment string) bool { return !c.hides(segment) })
}

// whole returns header and query by which the call is judged.
func (c *Call) whole() (Header, string) {
	if !c.heard {
		return c.Header, c.Query
	}
	return c.heardHeader, c.heardQuery
}

// maxTextEscapes bounds how often a text is unescaped to see what it holds.
const maxTextEscapes = 3

// hides reports whether a text holds a secret, as it stands or escaped.
func (c *Call) hides(text string) bool {
	if len(c.hidden) == 0 || len(text) < leastHidden {
		return false
	}
	text = small(text)
	for range maxTextEscapes {
		for _, s := range c.hidden {
			if strings.Contains(text, s) {
				return true
			}
		}
		plain := unescaped(text)
		if plain == text {
			return false
		}
		text = small(plain)
	}
	return false
}

// unescaped returns a text with its percent escapes resolved, those of a percent sign
// however often it was escaped. What is no escape stays.
func unescaped(text string) string {
	if !strings.ContainsAny(text, "%+") {
		return text
	}
	plain := make([]byte, 0, len(text))
	for i := 0; i < len(text); i++ {
		switch text[i] {
		case '+':
			plain = append(plain, ' ')
		case '%':
			c, length := escapeAt(text[i:])
			plain = append(plain, c)
			i += length - 1
		default:
			plain = append(plain, text[i])
		}
	}
	return string(plain)
}

// escapeAt returns the character that a text escapes at its beginning, which is a percent
// sign, and the length of the escape; 1 if it is none.
func escapeAt(text string) (c byte, length int) {
	c, length = '%', 1
	for c == '%' && len(text) >= length+2 {
		b, err := hex.DecodeString(text[length : length+2])
		if err != nil {
			break
		}
		c, length = b[0], length+2
	}
	return c, length
}

// small returns a text with the letters of ASCII in small. Every byte keeps its place.
func small(text string) string {
	lower := []byte(text)
	for i, b := range lower {
		if 'A' <= b && b <= 'Z' {
			lower[i] = b + 'a' - 'A'
		}
	}
	return string(lower)
}

// maxTold bounds how much of a text is looked at to tell its beginning, in bytes.
const maxTold = 64 << 10

// tell returns a text of the call as it may be stored and logged: of limited length, without
// control characters, and without secrets, also such as control characters have split.
func (c *Call) tell(text string, limit int) string {
	length := len(text)
	text = withoutControls(text[:min(length, maxTold)], maxTold)
	unfinished := 0
	for _, s := range c.hidden {
		text = without(text, s)
		unfinished = max(unfinished, maxTextEscapes*len(s))
	}
	if c.hides(text) {
		return ""
	}
	if length > maxTold {
		// A secret may begin at the end of what was looked at.
		text = text[:max(0, len(text)-unfinished)]
	}
	return withoutControls(text, limit)
}

// without returns a text in which a secret, in small letters, is cut out wherever it stands.
func without(text, secret string) string {
	var b strings.Builder
	for lower := small(text); ; {
		at := strings.Index(lower, secret)
		if at < 0 {
			break
		}
		b.WriteString(text[:at] + cut)
		text, lower = text[at+len(secret):], lower[at+len(secret):]
	}
	b.WriteString(text)
	return b.String()
}
