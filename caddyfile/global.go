package caddyfile

import (
	"encoding/json"

	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"

	"github.com/caddy-callback/caddy-callback/module"
)

// parseGlobal sets up the app from the global option. Syntax:
//
//	callback {
//	    base_url      <url>
//	    status_url    <url>
//	    store         <name> ...
//	    header_prefix <prefix>
//	    max_body_size <size>
//	    max_memory    <size>
//	    max_waiting   <number>
//	    max_held      <number>
//	    retain        <duration>
//	}
func parseGlobal(d *caddyfile.Dispenser, existing any) (any, error) {
	d.Next()
	if existing != nil {
		return nil, d.Err("the global option callback is given twice; put everything into one block")
	}
	if d.NextArg() {
		return nil, d.ArgErr()
	}
	app := new(module.App)
	o := newOptions(d)
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		if err := parseGlobalOption(o, app); err != nil {
			return nil, err
		}
	}
	return httpcaddyfile.App{Name: "callback", Value: caddyconfig.JSON(app, nil)}, nil
}

func parseGlobalOption(o *options, app *module.App) error {
	switch o.Val() {
	case "base_url":
		return o.base(&app.BaseURL)
	case "status_url":
		return o.base(&app.StatusURL)
	case "store":
		return parseStore(o, app)
	case "header_prefix":
		return o.prefix(&app.HeaderPrefix)
	case "max_body_size":
		return o.size(&app.MaxBodySize)
	case "max_memory":
		return o.size(&app.MaxMemory)
	case "max_waiting":
		return o.count(&app.MaxWaiting)
	case "max_held":
		return o.count(&app.MaxHeld)
	case "retain":
		return o.duration(&app.Retain)
	}
	return o.Errf("the global option callback has no option %s", o.Val())
}

// base reads a URL that is the base of others. One with placeholders is looked at
// when the configuration is loaded.
func (o *options) base(to *string) error {
	option := o.Val()
	if err := o.text(to); err != nil {
		return err
	}
	if hasPlaceholder(*to) {
		return nil
	}
	if err := module.CheckBase(*to); err != nil {
		return o.Errf("%s: %v", option, err)
	}
	return nil
}

func (o *options) prefix(to *string) error {
	option := o.Val()
	if err := o.text(to); err != nil {
		return err
	}
	if err := module.CheckPrefix(*to); err != nil {
		return o.Errf("%s: %v", option, err)
	}
	return nil
}

func parseStore(o *options, app *module.App) error {
	if err := o.once(); err != nil {
		return err
	}
	if !o.NextArg() {
		return o.ArgErr()
	}
	name := o.Val()
	id := "callback.stores." + name
	store, err := caddyfile.UnmarshalModule(o.Dispenser, id)
	if err != nil {
		return err
	}
	app.StoreRaw = caddyconfig.JSONModuleObject(store, "store", name, nil)
	return nil
}

// globalBase returns the base_url of the global option, empty if it has none.
func globalBase(h httpcaddyfile.Helper) string {
	var app struct {
		BaseURL string `json:"base_url"`
	}
	if option, ok := h.Option("callback").(httpcaddyfile.App); ok {
		// It was made by parseGlobal, so it can be read.
		_ = json.Unmarshal(option.Value, &app)
	}
	return app.BaseURL
}
