package callback

import (
	"net/url"
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
			c.hidden = append(c.hidden, strings.ToLower(s))
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

// hides reports whether a text holds a secret, as it stands or escaped.
func (c *Call) hides(text string) bool {
	if len(c.hidden) == 0 || len(text) < leastHidden {
		return false
	}
	for range 3 {
		lower := strings.ToLower(text)
		for _, s := range c.hidden {
			if strings.Contains(lower, s) {
				return true
			}
		}
		plain, err := url.QueryUnescape(text)
		if err != nil || plain == text {
			return false
		}
		text = plain
	}
	return false
}

// tell returns a text of the call as it may be stored and logged: of limited length, without
// control characters, and without secrets.
func (c *Call) tell(text string, limit int) string {
	for _, s := range c.hidden {
		for {
			at := strings.Index(strings.ToLower(text), s)
			if at < 0 || len(strings.ToLower(text)) != len(text) {
				break
			}
			text = text[:at] + cut + text[at+len(s):]
		}
	}
	if c.hides(text) {
		return ""
	}
	return withoutControls(text, limit)
}
