package server

import (
	"bytes"
	"encoding/json"
	"fmt"
	"regexp"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/rewrite"
)

// checkPlacement refuses a callback_server that no request for its paths can reach, and
// that is meant to get them from a handler that runs only after it: callback_server
// stands before uri and rewrite in the order of directives. It runs while the routes are
// provisioned: those that follow in a list are still in JSON.
func checkPlacement(ctx caddy.Context) error {
	var later []json.RawMessage
	lists := enclosingLists(ctx)
	for i := len(lists) - 1; i >= 0; i-- {
		list := lists[i]
		at := current(list)
		if at < 0 {
			return nil
		}
		before, after := around(list[at].HandlersRaw, i == len(lists)-1)
		later = append(later, after...)
		for _, route := range list[at+1:] {
			later = append(later, route.HandlersRaw...)
		}
		prefixes, elsewhere := prefixesOf(list[at].MatcherSets)
		switch {
		case anyRaw(before, changesPath):
			return nil
		case elsewhere:
			return refusal(prefixes, later)
		case changedBefore(list[:at]):
			return nil
		}
	}
	return nil
}

// refusal returns the error for a handler that is reached by paths with the prefixes
// only, if a later one takes a prefix away.
func refusal(prefixes []string, later []json.RawMessage) error {
	for _, prefix := range prefixes {
		if anyRaw(later, func(r rewriting) bool { return r.takesAway(prefix) }) {
			return fmt.Errorf("it stands where paths begin with %s, and what changes them (uri, rewrite) runs only after it: so no call would reach it; write handle_path %s* { callback_server } in place of both, or put both into a route, in that order",
				prefix, prefix)
		}
	}
	return nil
}

// enclosingLists returns the lists of routes around the handler that is being
// provisioned, from the outside in, as far as they are Caddy's own.
func enclosingLists(ctx caddy.Context) []caddyhttp.RouteList {
	var lists []caddyhttp.RouteList
	around := ctx.Modules()
	for _, module := range around[:max(0, len(around)-1)] {
		switch module := module.(type) {
		case *caddyhttp.App:
			lists = nil
			if server, ok := ctx.Value(caddyhttp.ServerCtxKey).(*caddyhttp.Server); ok {
				lists = append(lists, server.Routes)
			}
		case *caddyhttp.Subroute:
			lists = append(lists, module.Routes)
		default:
			lists = nil
		}
	}
	return lists
}

// current returns the index of the route whose handlers are being provisioned, -1 for
// none: those before it have no JSON any more.
func current(list caddyhttp.RouteList) int {
	for i, route := range list {
		if len(route.HandlersRaw) > 0 {
			return i
		}
	}
	return -1
}

// around returns the handlers of a route before and after callback_server, or the
// subroute that it is in.
func around(handlers []json.RawMessage, innermost bool) (before, after []json.RawMessage) {
	for i, raw := range handlers {
		if name := rewritingIn(raw).Handler; name == "callback_server" && innermost || name == "subroute" && !innermost && bytes.Contains(raw, []byte(`"callback_server"`)) {
			return handlers[:i], handlers[i+1:]
		}
	}
	return nil, nil
}

// rewriting has those fields of a handler that change the path of a request.
type rewriting struct {
	Handler         string         `json:"handler"`
	URI             string         `json:"uri"`
	StripPathPrefix string         `json:"strip_path_prefix"`
	URISubstring    []substitution `json:"uri_substring"`
	PathRegexp      []substitution `json:"path_regexp"`
	// within says that the handler has further handlers, one of which changes paths.
	within bool
}

type substitution struct {
	Find string `json:"find"`
}

// rewritingIn reads a handler. One that cannot be read changes nothing: Caddy refuses it.
func rewritingIn(raw json.RawMessage) rewriting {
	var r rewriting
	_ = json.Unmarshal(raw, &r)
	r.within = r.Handler == "subroute" && bytes.Contains(raw, []byte(`"rewrite"`))
	return r
}

func anyRaw(handlers []json.RawMessage, is func(rewriting) bool) bool {
	for _, raw := range handlers {
		if is(rewritingIn(raw)) {
			return true
		}
	}
	return false
}

// changesPath reports whether a handler changes, or may change, the path.
func changesPath(r rewriting) bool {
	uri := r.URI != "" && r.URI[0] != '?'
	return r.within || r.Handler == "rewrite" && (uri || r.StripPathPrefix != "" || len(r.URISubstring) > 0 || len(r.PathRegexp) > 0)
}

// takesAway reports whether a handler turns paths with a prefix into other ones.
func (r rewriting) takesAway(prefix string) bool {
	if r.Handler != "rewrite" {
		return false
	}
	strip := strings.ToLower("/" + strings.Trim(r.StripPathPrefix, "/"))
	if len(strip) > 1 && (strings.HasPrefix(prefix, strip) || strings.HasPrefix(strip, prefix)) {
		return true
	}
	for _, s := range r.URISubstring {
		if len(s.Find) > 1 && strings.Contains(prefix, strings.ToLower(s.Find)) {
			return true
		}
	}
	for _, s := range r.PathRegexp {
		find, err := regexp.Compile("(?i)" + s.Find)
		if err != nil {
			continue
		}
		if at := find.FindStringIndex(prefix); at != nil && at[0] == 0 && at[1] > 1 {
			return true
		}
	}
	return strings.HasPrefix(r.URI, "/cb") || strings.HasPrefix(strings.TrimPrefix(r.URI, "/"), "{http.regexp.")
}

// changedBefore reports whether a handler of earlier routes changes, or may change, the
// path.
func changedBefore(list caddyhttp.RouteList) bool {
	for _, route := range list {
		for _, handler := range route.Handlers {
			switch handler := handler.(type) {
			case *rewrite.Rewrite:
				return true
			case *caddyhttp.Subroute:
				if changedBefore(handler.Routes) {
					return true
				}
			}
		}
	}
	return false
}

// prefixesOf returns the prefixes of the paths that matchers let through, and whether
// none of these paths is one of callback_server's.
func prefixesOf(sets caddyhttp.MatcherSets) (prefixes []string, elsewhere bool) {
	for _, set := range sets {
		of := prefixesOfSet(set)
		if len(of) == 0 {
			return nil, false
		}
		prefixes = append(prefixes, of...)
	}
	return prefixes, len(sets) > 0
}

// prefixesOfSet returns the prefixes that a path must have one of so that all matchers of
// a set let it through, if no path of callback_server has one; else nil.
func prefixesOfSet(set caddyhttp.MatcherSet) []string {
	for _, matcher := range set {
		var prefixes []string
		switch matcher := matcher.(type) {
		case *caddyhttp.MatchPath:
			for _, pattern := range *matcher {
				literal, _, _ := strings.Cut(strings.ToLower(pattern), "*")
				literal, _, _ = strings.Cut(literal, "{")
				literal, _, _ = strings.Cut(literal, "%")
				prefixes = append(prefixes, literal)
			}
		case *caddyhttp.MatchPathRE:
			if rest, anchored := strings.CutPrefix(matcher.Pattern, "^"); anchored {
				prefixes = append(prefixes, literalStart(rest))
			}
		}
		if len(prefixes) > 0 && !anyMeetsOwnSpace(prefixes) {
			return prefixes
		}
	}
	return nil
}

// literalStart returns the literal text that a regular expression begins with.
func literalStart(pattern string) string {
	re, err := regexp.Compile(pattern)
	if err != nil || strings.Contains(pattern, "|") {
		return ""
	}
	literal, _ := re.LiteralPrefix()
	return literal
}

// anyMeetsOwnSpace reports whether a path of callback_server can begin with one of the
// prefixes.
func anyMeetsOwnSpace(prefixes []string) bool {
	for _, prefix := range prefixes {
		for _, space := range []string{"/cb/", "/cbq/", "/cbr/"} {
			if strings.HasPrefix(prefix, space) || strings.HasPrefix(space, prefix) {
				return true
			}
		}
	}
	return false
}
