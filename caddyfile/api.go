package caddyfile

import (
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-callback/caddy-callback/module/api"
)

// parseAPI sets up the handler that lets apps make and manage callbacks. Syntax:
//
//	callback_api [<matcher>] {
//	    key off
//	}
func parseAPI(h httpcaddyfile.Helper) (caddyhttp.MiddlewareHandler, error) {
	h.Next()
	start := *h.Dispenser
	if h.NextArg() {
		return nil, h.Errf("callback_api: %q is too much: it takes a matcher and a block", h.Val())
	}
	api := new(api.API)
	o := newOptions(h.Dispenser, "callback_api")
	for nesting := h.Nesting(); o.next(nesting); {
		if err := parseAPIOption(h, o, api); err != nil {
			return nil, err
		}
	}
	global := globalOption(h)
	if err := api.Check(global.BaseURL, global.Keys); err != nil {
		return nil, start.Errf("callback_api: %w", err)
	}
	return api, nil
}

func parseAPIOption(h httpcaddyfile.Helper, o *options, api *api.API) error {
	if o.name != "key" {
		if err := o.misplaced(h, "put it beside callback_api"); err != nil {
			return err
		}
		return o.unknown("key")
	}
	return o.keyOff(&api.KeyOff)
}
