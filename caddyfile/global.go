package caddyfile

import (
	"encoding/json"
	"fmt"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"

	"github.com/caddy-callback/caddy-callback/module"
	"github.com/caddy-callback/caddy-callback/module/config"
)

// parseGlobal sets up the app from the global option. Syntax:
//
//	callback {
//	    base_url      <url>
//	    status_url    <url>
//	    store         <name> ...
//	    header_prefix <prefix>
//	    key           <name> <secret> send|create|read|manage...
//	    max_body_size <size>
//	    max_memory    <size>
//	    max_waiting   <number>
//	    max_held      <number>
//	    concurrency   <number>
//	    retain        <duration>
//	    deliver {
//	        allow     <host|range|http://host>...
//	        sign      <secret>...
//	        retry     <delay>...
//	        timeout   <duration>
//	    }
//	}
func parseGlobal(d *caddyfile.Dispenser, existing any) (any, error) {
	const of = "the global option callback"
	d.Next()
	start := *d
	if existing != nil {
		return nil, d.Errf("%s is given twice; put everything into one block", of)
	}
	if d.NextArg() {
		return nil, d.Errf("%s: %q is too much: it takes nothing but a block", of, d.Val())
	}
	app := new(module.App)
	o := newOptions(d, of)
	for nesting := d.Nesting(); o.next(nesting); {
		if err := parseGlobalOption(o, app); err != nil {
			return nil, err
		}
	}
	if err := app.Check(); err != nil {
		return nil, start.Errf("%s: %w", of, err)
	}
	return httpcaddyfile.App{Name: "callback", Value: caddyconfig.JSON(app, nil)}, nil
}

// appOptions are the options that parseGlobalOption knows.
const appOptions = "base_url, concurrency, deliver, header_prefix, key, max_body_size, max_held, max_memory, max_waiting, retain, status_url and store"

func parseGlobalOption(o *options, app *module.App) error {
	switch o.name {
	case "base_url":
		return o.base(&app.BaseURL)
	case "status_url":
		return o.base(&app.StatusURL)
	case "store":
		return parseStore(o, app)
	case "header_prefix":
		return parsePrefix(o, app)
	case "key":
		return parseKey(o, app)
	case "max_body_size":
		return o.size(&app.MaxBodySize)
	case "max_memory":
		return o.size(&app.MaxMemory)
	case "max_waiting":
		return o.count(&app.MaxWaiting)
	case "max_held":
		return o.count(&app.MaxHeld)
	case "concurrency":
		return o.count(&app.Concurrency)
	case "deliver":
		return parseGlobalDeliver(o, app)
	case "retain":
		return o.duration(&app.Retain)
	}
	return o.unknown(appOptions)
}

func parseKey(o *options, app *module.App) error {
	args := o.RemainingArgs()
	if len(args) < 3 {
		return o.failf("it needs a name, a secret and permissions, as in: key partner {env.PARTNER_KEY} send")
	}
	app.Keys = append(app.Keys, module.Key{Name: args[0], Secret: args[1], Permissions: args[2:]})
	if err := module.CheckKeys(app.Keys); err != nil {
		return o.failf("%w", err)
	}
	return nil
}

func parsePrefix(o *options, app *module.App) error {
	if err := o.text(&app.HeaderPrefix); err != nil {
		return err
	}
	if err := config.CheckPrefix(app.HeaderPrefix); err != nil {
		return o.failf("%w", err)
	}
	return nil
}

func parseStore(o *options, app *module.App) error {
	if err := o.once(); err != nil {
		return err
	}
	if !o.NextArg() {
		return o.failf("it needs the name of a store, as in: store badger")
	}
	name := o.Val()
	id := "callback.stores." + name
	if _, err := caddy.GetModule(id); err != nil {
		return o.failf("there is no store %q in this build of Caddy; the embedded one is badger", name)
	}
	store, err := caddyfile.UnmarshalModule(o.Dispenser, id)
	if err != nil {
		return fmt.Errorf("%s: %w", o.of, err)
	}
	app.StoreRaw = caddyconfig.JSONModuleObject(store, "store", name, nil)
	return nil
}

// globals is what a directive must know of the global option.
type globals struct {
	BaseURL      string       `json:"base_url"`
	HeaderPrefix string       `json:"header_prefix"`
	Keys         []module.Key `json:"keys"`
}

// globalOption returns what the global option says, empty where there is none.
func globalOption(h httpcaddyfile.Helper) globals {
	var g globals
	if option, ok := h.Option("callback").(httpcaddyfile.App); ok {
		// It was made by parseGlobal, so it can be read.
		_ = json.Unmarshal(option.Value, &g)
	}
	return g
}
