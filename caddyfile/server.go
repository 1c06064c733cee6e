package caddyfile

import (
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-callback/caddy-callback/module"
)

// parseServer sets up the handler that takes calls. Syntax:
//
//	callback_server [<matcher>]
func parseServer(h httpcaddyfile.Helper) (caddyhttp.MiddlewareHandler, error) {
	h.Next()
	if h.NextArg() {
		return nil, h.Errf("callback_server: %q is too much: it takes nothing but a matcher", h.Val())
	}
	for nesting := h.Nesting(); h.NextBlock(nesting); {
		return nil, h.Errf("callback_server has no option %s: it takes nothing but a matcher", h.Val())
	}
	return new(module.Server), nil
}
