package callback

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strings"
)

// PlaceholderPrefix begins every placeholder that a reply may hold.
const PlaceholderPrefix = "http.callback."

// Lookup returns the value of a placeholder, named without its prefix ("id",
// "call.body"). A name that it does not know yields "".
type Lookup func(name string) string

// Template is text with placeholders such as {http.callback.id}. It is compiled once.
// The values of placeholders are data: braces in them mean nothing. Any other text in
// braces is literal text.
type Template struct {
	parts []part
}

// part is literal text, or the name of a placeholder.
type part struct {
	literal string
	name    string
	// quoted says that the placeholder stands inside a JSON string, if the text is
	// JSON.
	quoted bool
}

// NewTemplate compiles text.
func NewTemplate(text string) Template {
	var t Template
	quoted := false
	for text != "" {
		start := strings.Index(text, "{"+PlaceholderPrefix)
		if start < 0 {
			break
		}
		end := strings.IndexByte(text[start:], '}')
		if end < 0 {
			break
		}
		if start > 0 {
			t.parts = append(t.parts, part{literal: text[:start]})
			quoted = endsQuoted(quoted, text[:start])
		}
		t.parts = append(t.parts, part{name: text[start+len("{"+PlaceholderPrefix) : start+end], quoted: quoted})
		text = text[start+end+1:]
	}
	if text != "" {
		t.parts = append(t.parts, part{literal: text})
	}
	return t
}

// endsQuoted reports whether a JSON text that continues with literal is inside a string
// at the end of it.
func endsQuoted(quoted bool, literal string) bool {
	for i := 0; i < len(literal); i++ {
		switch {
		case literal[i] == '"':
			quoted = !quoted
		case literal[i] == '\\' && quoted:
			i++
		}
	}
	return quoted
}

// isJSON reports whether the text is a JSON object or array, whatever its
// placeholders yield.
func (t Template) isJSON() bool {
	sample := strings.TrimSpace(t.Expand(func(string) string { return "0" }, maxReply))
	return sample != "" && (sample[0] == '{' || sample[0] == '[') && json.Valid([]byte(sample))
}

// ExpandJSON is Expand for a text that is JSON; what it returns is JSON, too. Inside a
// string a value is escaped. Elsewhere a value that is JSON is inserted unchanged, and
// any other becomes a string.
func (t Template) ExpandJSON(look Lookup, limit int) string {
	var b strings.Builder
	for _, p := range t.parts {
		if p.name == "" {
			b.WriteString(p.literal)
			continue
		}
		value := look(p.name)
		// A string always has a JSON form.
		quoted, _ := json.Marshal(value)
		switch {
		case b.Len()+len(quoted) > limit && p.quoted:
		case b.Len()+len(quoted) > limit:
			b.WriteString("null")
		case p.quoted:
			b.Write(quoted[1 : len(quoted)-1])
		case json.Valid([]byte(value)):
			b.WriteString(value)
		default:
			b.Write(quoted)
		}
	}
	return b.String()
}

// Names returns the names of the placeholders, without their prefix.
func (t Template) Names() []string {
	var names []string
	for _, p := range t.parts {
		if p.name != "" {
			names = append(names, p.name)
		}
	}
	return names
}

// Expand returns the text with every placeholder replaced once. A value that would
// make the text longer than limit bytes is left out.
func (t Template) Expand(look Lookup, limit int) string {
	return t.expand(look, limit, func(_ bool, value string) string { return value })
}

// expand replaces placeholders and passes each value through escape, which is told
// whether a question mark or a number sign comes before it.
func (t Template) expand(look Lookup, limit int, escape func(afterPath bool, value string) string) string {
	var b strings.Builder
	afterPath := false
	for _, p := range t.parts {
		if p.name == "" {
			afterPath = afterPath || strings.ContainsAny(p.literal, "?#")
			b.WriteString(p.literal)
			continue
		}
		if value := escape(afterPath, look(p.name)); b.Len()+len(value) <= limit {
			b.WriteString(value)
		}
	}
	return b.String()
}

// Target is where a redirect leads. Its scheme and host are literal. Path and query may
// have placeholders, whose values are escaped.
type Target struct {
	template Template
	relative bool
	// toPage says that it is the callback's own page.
	toPage bool
}

// NewTarget compiles a redirect's URL: absolute, with a scheme of the web or of an app, or
// relative to the base URL if it begins with a single slash.
func NewTarget(text string) (Target, error) {
	switch text {
	case "":
		return Target{}, errors.New("the redirect has no URL")
	case ToPage:
		return Target{toPage: true}, nil
	}
	if i := strings.IndexFunc(text, func(r rune) bool { return r <= ' ' || r == '\\' || r == 0x7f }); i >= 0 {
		return Target{}, fmt.Errorf("the redirect URL has a character that no URL can hold, at position %d", i)
	}
	t := Target{template: NewTemplate(text), relative: strings.HasPrefix(text, "/")}
	if t.relative {
		if strings.HasPrefix(text, "//") || strings.HasPrefix(t.literalStart(), "//") {
			return Target{}, errors.New("the redirect URL begins with two slashes, which would make a host of its path: write the host with its scheme")
		}
	} else if err := t.checkHost(text); err != nil {
		return Target{}, err
	}
	t.toASCII()
	return t, nil
}

// toASCII replaces what no URL can hold in literal text. A host that no name can be is
// escaped: it was given before names were checked.
func (t Target) toASCII() {
	for i, p := range t.template.parts {
		switch {
		case p.name != "":
		case i == 0:
			t.template.parts[i].literal, _ = ASCIIURL(p.literal)
		default:
			t.template.parts[i].literal = escapeBeyondASCII(p.literal)
		}
	}
}

// checkHost makes sure that scheme and host are literal and end before the
// first placeholder.
func (t Target) checkHost(text string) error {
	start := t.literalStart()
	scheme, rest, err := checkScheme(start)
	if err != nil {
		return err
	}
	authority, found := strings.CutPrefix(rest, "//")
	end := strings.IndexAny(authority, "/?#")
	switch {
	case found && end >= 0:
		authority = authority[:end]
	case len(start) < len(text) && (found || rest == ""):
		return errHostPlaceholder
	}
	if found && strings.ContainsAny(authority, "{}") {
		return errHostPlaceholder
	}
	if !isWeb(scheme) {
		return nil
	}
	u, err := url.Parse(start)
	switch {
	case err != nil || u.Hostname() == "":
		return errors.New("the redirect URL has no valid host")
	case u.User != nil:
		return errors.New("the redirect URL must not hold a user name")
	}
	return nil
}

// errHostPlaceholder is returned for a redirect whose host would come from a call.
var errHostPlaceholder = errors.New("the redirect URL's host cannot hold a placeholder: write the host itself, and placeholders only in path and query")

func (t Target) literalStart() string {
	if len(t.template.parts) == 0 {
		return ""
	}
	return t.template.parts[0].literal
}

// maxURL bounds a redirect's URL, in bytes.
const maxURL = 8 << 10

// URL returns the redirect's URL, a relative one resolved against base.
func (t Target) URL(base string, look Lookup) string {
	if t.toPage {
		return look(toPageName)
	}
	target := t.template.expand(look, maxURL, func(afterPath bool, value string) string {
		if afterPath {
			return url.QueryEscape(value)
		}
		return url.PathEscape(value)
	})
	if !t.relative {
		return target
	}
	return resolveAgainst(base, target)
}
