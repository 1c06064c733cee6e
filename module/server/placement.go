package server

import (
	"fmt"
	"net/http"
	"regexp"
	"strings"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/caddyauth"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/rewrite"

	"github.com/caddy-callback/caddy-callback/module/routes"
)

// Inspect implements app.Inspector. It refuses a callback_server that no request for its
// paths can reach, and that is meant to get them from a handler that runs only after it:
// callback_server stands before uri and rewrite in the order of directives.
func (s *Server) Inspect(own *routes.Place, all []*routes.Place) error {
	if err := s.checkGuard(own, all); err != nil {
		return err
	}
	for _, prefix := range elsewhere(own) {
		for _, at := range all {
			if r, ok := at.Handler.(*rewrite.Rewrite); ok && takesAway(r, prefix) && follows(at, own) {
				return fmt.Errorf("callback_server: it stands where paths begin with %s, and what changes them (uri, rewrite) runs only after it: so no call would reach it; write handle_path %s* { callback_server } in place of both, or put both into a route, in that order",
					prefix, prefix)
			}
		}
	}
	return nil
}

// checkGuard refuses a callback_server that has callbacks for its own, and is meant to be guarded
// by a handler that runs only after it: callback_server stands before forward_auth and basic_auth
// in the order of directives.
func (s *Server) checkGuard(own *routes.Place, all []*routes.Place) error {
	if len(s.Names) == 0 {
		return nil
	}
	for _, at := range all {
		if guard := guardAt(at.Handler); guard != "" && follows(at, own) {
			return fmt.Errorf("callback_server: names: %s runs only after it, so nobody would have to sign in; put both into a route { ... }, %[1]s first; or, if these callbacks are for everybody, put callback_server into a handle /cb* { ... }", guard)
		}
	}
	return nil
}

// guardAt returns what a Caddyfile calls a handler that asks people who they are; "" for any
// other.
func guardAt(handler caddyhttp.MiddlewareHandler) string {
	switch h := handler.(type) {
	case *caddyauth.Authentication:
		return "basic_auth"
	case *reverseproxy.Handler:
		// What forward_auth is made of: a GET in place of the request, whose answer decides.
		if h.Rewrite != nil && h.Rewrite.Method == http.MethodGet && len(h.HandleResponse) > 0 {
			return "forward_auth"
		}
	}
	return ""
}

// elsewhere returns the prefixes of the paths that reach a place, if the matchers around it
// let no path of callback_server through; else nil. What is not Caddy's own route may change
// paths in its own way.
func elsewhere(own *routes.Place) []string {
	for at := own; at != nil; at = at.Parent {
		if at != own {
			if _, ok := at.Handler.(*caddyhttp.Subroute); !ok {
				return nil
			}
		}
		for before := range own.Before {
			if r, ok := before.Handler.(*rewrite.Rewrite); ok && changesPath(r) && before.In(at.Route) {
				return nil
			}
		}
		if prefixes := prefixesOf(at.Route.MatcherSets); prefixes != nil {
			return prefixes
		}
	}
	return nil
}

func follows(at, own *routes.Place) bool {
	for before := range at.Before {
		if before == own {
			return true
		}
	}
	return false
}

// changesPath reports whether a handler changes, or may change, the path.
func changesPath(r *rewrite.Rewrite) bool {
	return r.URI != "" && r.URI[0] != '?' || r.StripPathPrefix != "" || len(r.URISubstring) > 0 || len(r.PathRegexp) > 0
}

// takesAway reports whether a handler turns paths with a prefix into other ones.
func takesAway(r *rewrite.Rewrite, prefix string) bool {
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

// prefixesOf returns the prefixes of the paths that matchers let through, if no path of
// callback_server is one of them; else nil.
func prefixesOf(sets caddyhttp.MatcherSets) (prefixes []string) {
	for _, set := range sets {
		of := prefixesOfSet(set)
		if len(of) == 0 {
			return nil
		}
		prefixes = append(prefixes, of...)
	}
	return prefixes
}

// prefixesOfSet is prefixesOf for a set, all of whose matchers must let a path through.
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
