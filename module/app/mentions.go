package app

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/headers"

	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/config"
	"github.com/caddy-callback/caddy-callback/module/routes"
)

// Provider is a directive that gives values to the placeholders {http.callback.*}: in its
// blocks, and for the handlers after it.
type Provider interface {
	caddyhttp.MiddlewareHandler
	// Provides reports whether it gives a value to {http.callback.<name>}.
	Provides(name string) bool
}

// mentions checks the placeholders {http.callback.*} in the configuration of a server. It
// refuses those that do not exist, and those that are replaced before a callback is made.
// What cannot be known is let through.
type mentions struct {
	// names are those of all directives.
	names map[string]bool
	// within has the places of handlers that are not Caddy's own subroutes and have a
	// Provider in one of their blocks: a request can have passed that.
	within map[*routes.Place]bool
}

// check checks what stands at a place, and the matchers that lead to it.
func (m mentions) check(at *routes.Place) error {
	if at.First {
		for _, set := range at.Route.MatcherSets {
			if err := m.checkTexts(at, "a matcher", textsOf(set), textsOf(set)); err != nil {
				return err
			}
		}
	}
	if _, own := at.Handler.(Provider); own {
		m.note(at)
		return nil
	}
	return m.checkTexts(at, wordsFor(at.Handler), textsOf(at.Handler), textsAtOnce(at.Handler))
}

// note notes the handlers in whose blocks a Provider stands.
func (m mentions) note(at *routes.Place) {
	for p := at.Parent; p != nil; p = p.Parent {
		if _, ok := p.Handler.(*caddyhttp.Subroute); !ok {
			m.within[p] = true
		}
	}
}

// checkTexts checks texts of a configuration. Those in atOnce are replaced when the request
// comes to the place.
func (m mentions) checkTexts(at *routes.Place, who string, texts, atOnce []string) error {
	for _, text := range texts {
		for _, name := range placeholdersIn(text) {
			if err := m.checkName(name); err != nil {
				return fmt.Errorf("%s in %s: %w", who, quote(text), err)
			}
		}
	}
	for _, text := range atOnce {
		for _, name := range placeholdersIn(text) {
			if !callback.InReply(name) && !m.earlier(name) || m.provided(at, name) {
				continue
			}
			return fmt.Errorf("%s in %s: {%s%s} has no value there: %s", who, quote(text), callback.PlaceholderPrefix, name, cureFor(name))
		}
	}
	return nil
}

// checkName makes sure that there is such a placeholder. What does not look like one is
// taken for text.
func (m mentions) checkName(name string) error {
	if known(name) || !looksLikeName(name) {
		return nil
	}
	if of, ok := callback.EarlierCall(name); ok {
		if m.names[of] {
			return nil
		}
		return fmt.Errorf("{%s%s}: %w", callback.PlaceholderPrefix, name, noDirective(of, m.names))
	}
	if near := nearest(name); near != "" {
		return fmt.Errorf("there is no placeholder {%s%s}; did you mean {%s%s}?", callback.PlaceholderPrefix, name, callback.PlaceholderPrefix, near)
	}
	return fmt.Errorf("there is no placeholder {%s%s}; after %s can stand %s, or the name of a directive and its call", callback.PlaceholderPrefix, name,
		callback.PlaceholderPrefix, strings.Join(callback.KnownPlaceholders(), ", "))
}

// earlier reports whether a placeholder is about the call of another directive.
func (m mentions) earlier(name string) bool {
	of, ok := callback.EarlierCall(name)
	return ok && m.names[of]
}

func known(name string) bool { return callback.InReply(name) || callback.OfError(name) }

func looksLikeName(name string) bool {
	return name != "" && !strings.ContainsFunc(name, func(c rune) bool {
		return (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && !strings.ContainsRune("._-", c)
	})
}

// nearest returns the placeholder that a mistyped one most likely stands for.
func nearest(name string) string {
	all := callback.KnownPlaceholders()
	if near := config.Nearest(name, all); near != "" && !strings.HasSuffix(near, ".") {
		return near
	}
	if parts := strings.SplitN(name, ".", 3); len(parts) == 3 {
		near := config.Nearest(parts[0]+"."+parts[1]+".", all)
		if strings.HasSuffix(near, ".") {
			return near + parts[2]
		}
	}
	return ""
}

// provided reports whether a placeholder can have a value where a request comes to a place.
func (m mentions) provided(at *routes.Place, name string) bool {
	earlier := m.earlier(name)
	for p := at.Parent; p != nil; p = p.Parent {
		switch around := p.Handler.(type) {
		case Provider:
			if earlier || around.Provides(name) {
				return true
			}
		case *caddyhttp.Subroute:
		default:
			return true
		}
	}
	for before := range at.Before {
		switch passed := before.Handler.(type) {
		case Provider:
			if earlier || passed.Provides(name) {
				return true
			}
		case *caddyhttp.Invoke:
			return true
		default:
			if m.within[before] {
				return true
			}
		}
	}
	return at.Aside
}

// cureFor says what to do about a placeholder that has no value.
func cureFor(name string) string {
	switch {
	case callback.OfCall(name):
		return "a call has come only after a callback with a block call { ... }, and in a block then { ... }; the reply to it is made by respond, header and redir within callback"
	case name == "api_key":
		return "no callback with the option key include runs before"
	}
	return "no callback that has one runs before; put both into a route { ... }, the callback first, or, if only the upstream is to see it, use header_up or rewrite within reverse_proxy"
}

// wordsFor says what a Caddyfile calls a handler.
func wordsFor(handler caddyhttp.MiddlewareHandler) string {
	name := caddy.GetModuleName(handler)
	switch name {
	case "static_response":
		return "respond or redir"
	case "rewrite":
		return "rewrite, uri or method"
	case "headers":
		return "header or request_header"
	case "vars":
		return "vars or root"
	}
	return name
}

// textsAtOnce returns the texts whose placeholders a handler replaces when a request comes
// to it. Others do that when the response is there, when the callback has been made.
func textsAtOnce(handler caddyhttp.MiddlewareHandler) []string {
	switch caddy.GetModuleName(handler) {
	case "error", "request_body", "reverse_proxy", "rewrite", "static_response", "vars":
		return textsOf(handler)
	}
	h, ok := handler.(*headers.Handler)
	switch {
	case !ok:
		return nil
	case h.Response != nil && (h.Response.Deferred || h.Response.Require != nil):
		return textsOf(h.Request)
	}
	return textsOf(h)
}

// textsOf returns all texts in a configuration. What has no JSON form has none.
func textsOf(part any) (texts []string) {
	if list, ok := part.(caddyhttp.MatcherSet); ok {
		for _, matcher := range list {
			texts = append(texts, textsOf(matcher)...)
		}
		return texts
	}
	if not, ok := part.(*caddyhttp.MatchNot); ok {
		for _, set := range not.MatcherSets {
			texts = append(texts, textsOf(set)...)
		}
		return texts
	}
	raw, err := json.Marshal(part)
	if err != nil || !strings.Contains(string(raw), callback.PlaceholderPrefix) {
		return nil
	}
	var value any
	if json.Unmarshal(raw, &value) != nil {
		return nil
	}
	return textsIn(value)
}

func textsIn(value any) (texts []string) {
	switch value := value.(type) {
	case string:
		return []string{value}
	case []any:
		for _, element := range value {
			texts = append(texts, textsIn(element)...)
		}
	case map[string]any:
		for _, name := range slices.Sorted(maps.Keys(value)) {
			texts = append(texts, name)
			texts = append(texts, textsIn(value[name])...)
		}
	}
	return texts
}

// placeholdersIn returns the names of our placeholders in a text, without their prefix.
func placeholdersIn(text string) (names []string) {
	const start = "{" + callback.PlaceholderPrefix
	for {
		i := strings.Index(text, start)
		if i < 0 {
			return names
		}
		escaped := i > 0 && text[i-1] == '\\'
		text = text[i+len(start):]
		if name, _, closed := strings.Cut(text, "}"); closed && !escaped {
			names = append(names, name)
		}
	}
}

// quote quotes the beginning of a text.
func quote(text string) string {
	const most = 80
	if len(text) > most {
		text = strings.ToValidUTF8(text[:most], "") + "..."
	}
	return strconv.Quote(text)
}
