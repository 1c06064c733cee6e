package caddyfile

import (
	"slices"

	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-callback/caddy-callback/module/server"
)

// parseServer sets up the handler that takes calls. Syntax:
//
//	callback_server [<matcher>] {
//	    key            <name>...
//	    ask            [<prefix>] { <directives> }
//	    correlation_id header|query|form|json|xml <name>
//	    unmatched      <status>|next
//	    challenge      slack|graph|dropbox|eventgrid|cloudevents|meta <secret>|zoom <secret>|x <secret> ...
//	    names          <name>...
//	    user           <placeholder>
//	    health         <path>
//	    active_content on|off
//	}
func parseServer(h httpcaddyfile.Helper) (caddyhttp.MiddlewareHandler, error) {
	h.Next()
	start := *h.Dispenser
	if h.NextArg() {
		return nil, h.Errf("callback_server: %q is too much: it takes a matcher and a block", h.Val())
	}
	server := new(server.Server)
	o := newOptions(h.Dispenser, "callback_server")
	for nesting := h.Nesting(); o.next(nesting); {
		if err := parseServerOption(h, o, server); err != nil {
			return nil, err
		}
	}
	if err := server.Check(globalOption(h).Keys); err != nil {
		return nil, start.Errf("callback_server: %w", err)
	}
	return server, nil
}

func parseServerOption(h httpcaddyfile.Helper, o *options, server *server.Server) error {
	switch o.name {
	case "key":
		return o.list(&server.Keys)
	case "ask":
		return parseAsk(h, o, server)
	case "correlation_id":
		return parsePlace(o, &server.CorrelationID)
	case "unmatched":
		return o.text(&server.Unmatched)
	case "challenge":
		return parseChallenges(o, server)
	case "health":
		return o.text(&server.Health)
	case "names":
		return o.list(&server.Names)
	case "user":
		return o.text(&server.User)
	case "active_content":
		return o.yesNo(&server.ActiveContent)
	}
	if err := o.misplaced(h, "put it after callback_server, or into ask { ... } if it leads to the app that is asked"); err != nil {
		return err
	}
	return o.unknown("active_content", "ask", "challenge", "correlation_id", "health", "key", "names", "unmatched", "user")
}

// parseAsk reads the path below which callers of the API may have the app asked, and the
// route to the app.
func parseAsk(h httpcaddyfile.Helper, o *options, server *server.Server) error {
	server.AskPrefix = ""
	if o.NextArg() {
		server.AskPrefix = o.Val()
	}
	return parseBlock(h, o, &server.Ask)
}

// parseChallenges reads providers, some with a secret after them. The option can be repeated.
func parseChallenges(o *options, s *server.Server) error {
	words := o.RemainingArgs()
	if len(words) == 0 {
		return o.failf("it needs at least one value")
	}
	for len(words) > 0 {
		c := server.Challenge{Provider: words[0]}
		words = words[1:]
		if c.NeedsSecret() && len(words) > 0 {
			c.Secret, words = words[0], words[1:]
		}
		if err := c.Check(); err != nil {
			return o.failf("%w", err)
		}
		if slices.Contains(s.Challenges, c) {
			return o.failf("%s is given twice; leave one of the two out", c)
		}
		s.Challenges = append(s.Challenges, c)
	}
	return nil
}
