package caddyfile

import (
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-callback/caddy-callback/module/dashboard"
)

// parseDashboard sets up the pages for operators. Syntax:
//
//	callback_dashboard [<matcher>] {
//	    key    off
//	    bodies hide|show
//	    title  <text>
//	}
func parseDashboard(h httpcaddyfile.Helper) (caddyhttp.MiddlewareHandler, error) {
	h.Next()
	start := *h.Dispenser
	if h.NextArg() {
		return nil, h.Errf("callback_dashboard: %q is too much: it takes a matcher and a block", h.Val())
	}
	d := new(dashboard.Dashboard)
	o := newOptions(h.Dispenser, "callback_dashboard")
	for nesting := h.Nesting(); o.next(nesting); {
		if err := parseDashboardOption(h, o, d); err != nil {
			return nil, err
		}
	}
	if err := d.Check(globalOption(h).Keys); err != nil {
		return nil, start.Errf("callback_dashboard: %w", err)
	}
	return d, nil
}

func parseDashboardOption(h httpcaddyfile.Helper, o *options, d *dashboard.Dashboard) error {
	switch o.name {
	case "key":
		return o.keyOff(&d.KeyOff)
	case "bodies":
		return o.checked(&d.Bodies, d.CheckOptions)
	case "title":
		return o.checked(&d.Title, d.CheckOptions)
	}
	if err := o.misplaced(h, "put it beside callback_dashboard"); err != nil {
		return err
	}
	return o.unknown("bodies", "key", "title")
}
