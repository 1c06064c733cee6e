package caddyfile

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"

	"github.com/caddy-callback/caddy-callback/module/app"
	"github.com/caddy-callback/caddy-callback/module/config"
	"github.com/caddy-callback/caddy-callback/module/verify"
)

// parseGlobal sets up the app from the global option. Syntax:
//
//	callback {
//	    base_url      <url>
//	    status_url    <url>
//	    store         <name> ...
//	    header_prefix <prefix>
//	    inject        off
//	    key           <name> <secret>... send|create|read|manage... [for <callback name>...]
//	    key           <name> <scheme>:<secret>... [send] [for <callback name>...]
//	    max_body_size <size>
//	    max_memory    <size>
//	    max_waiting   <number>
//	    max_held      <number>
//	    concurrency   <number>
//	    retain        <duration>
//	    retain_bodies <duration>
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
	a := new(app.App)
	o := newOptions(d, of)
	for nesting := d.Nesting(); o.next(nesting); {
		if err := parseGlobalOption(o, a); err != nil {
			return nil, err
		}
	}
	if err := a.Check(); err != nil {
		return nil, start.Errf("%s: %w", of, err)
	}
	return httpcaddyfile.App{Name: "callback", Value: caddyconfig.JSON(a, nil)}, nil
}

func parseGlobalOption(o *options, a *app.App) error {
	switch o.name {
	case "base_url":
		return o.base(&a.BaseURL)
	case "status_url":
		return o.base(&a.StatusURL)
	case "store":
		return parseStore(o, a)
	case "header_prefix":
		return parsePrefix(o, a)
	case "inject":
		return parseInjectOff(o, a)
	case "key":
		return parseKey(o, a)
	case "max_body_size":
		return o.size(&a.MaxBodySize)
	case "max_memory":
		return o.size(&a.MaxMemory)
	case "max_waiting":
		return o.count(&a.MaxWaiting)
	case "max_held":
		return o.count(&a.MaxHeld)
	case "concurrency":
		return o.count(&a.Concurrency)
	case "deliver":
		return parseGlobalDeliver(o, a)
	case "retain":
		return o.duration(&a.Retain)
	case "retain_bodies":
		return o.duration(&a.RetainBodies)
	}
	return o.unknown("base_url", "concurrency", "deliver", "header_prefix", "inject", "key", "max_body_size", "max_held", "max_memory", "max_waiting", "retain", "retain_bodies", "status_url", "store")
}

func parseKey(o *options, a *app.App) error {
	args := o.RemainingArgs()
	if len(args) < 2 || len(args) == 2 && !app.IsSigned(args[1]) {
		return o.failf("it needs a name, a secret and permissions, as in: key partner {env.PARTNER_KEY} send; for the secret, %s", config.MakeSecret)
	}
	key := app.Key{Name: args[0], Secret: args[1]}
	rest := args[2:]
	if i := slices.Index(rest, "for"); i >= 0 {
		if key.For = rest[i+1:]; len(key.For) == 0 {
			return o.failf("after for come the names of the callbacks that the key is for, as in: key shop {env.SHOP_KEY} read for orders")
		}
		rest = rest[:i]
	}
	for len(rest) > 0 && !isWord(rest[0]) {
		key.MoreSecrets, rest = append(key.MoreSecrets, rest[0]), rest[1:]
	}
	if slices.ContainsFunc(rest, func(arg string) bool { return !isWord(arg) }) {
		return o.failf("its secrets come before its permissions, as in: key partner {env.PARTNER_KEY} {env.OLD_PARTNER_KEY} send")
	}
	key.Permissions = rest
	if err := parseHMAC(o, &key); err != nil {
		return err
	}
	a.Keys = append(a.Keys, key)
	if err := app.CheckKeys(a.Keys); err != nil {
		return o.failf("%w", err)
	}
	return nil
}

// word matches what can only be meant as a permission: a key is longer, so that messages can
// show it.
var word = regexp.MustCompile(`^[A-Za-z]{1,15}$`)

func isWord(arg string) bool { return word.MatchString(arg) }

func parsePrefix(o *options, a *app.App) error {
	if err := o.text(&a.HeaderPrefix); err != nil {
		return err
	}
	if err := config.CheckPrefix(a.HeaderPrefix); err != nil {
		return o.failf("%w", err)
	}
	return nil
}

// parseInjectOff reads the option by which no directive injects headers by default.
func parseInjectOff(o *options, a *app.App) error {
	if err := o.once(); err != nil {
		return err
	}
	if args := o.RemainingArgs(); len(args) != 1 || args[0] != "off" {
		return o.failf("only off can follow here; what is injected is said in each callback directive, as in: inject json callbackUrl {http.callback.url}")
	}
	a.InjectOff = true
	return nil
}

func parseStore(o *options, a *app.App) error {
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
	store, err := caddyfile.UnmarshalModule(o.withoutReplaced(), id)
	if err != nil {
		return fmt.Errorf("%s: %w", o.of, err)
	}
	a.StoreRaw = caddyconfig.JSONModuleObject(store, "store", name, nil)
	return nil
}

// globals is what a directive needs of the global option.
type globals struct {
	BaseURL      string    `json:"base_url"`
	HeaderPrefix string    `json:"header_prefix"`
	InjectOff    bool      `json:"inject_off"`
	Keys         []app.Key `json:"keys"`
}

// globalOption returns what the global option says; it is empty if there is none.
func globalOption(h httpcaddyfile.Helper) globals {
	var g globals
	if option, ok := h.Option("callback").(httpcaddyfile.App); ok {
		// It was made by parseGlobal, so it can be read.
		_ = json.Unmarshal(option.Value, &g)
	}
	return g
}

// parseHMAC reads the block that says how a call is signed whose key has the scheme hmac:
//
//	{
//	    header    <name>
//	    encoding  hex|base64
//	    prefix    <text>
//	    hash      sha256|sha512|sha1
//	    signs     <text with {body} and {timestamp}>
//	    timestamp <header> [<tolerance>]
//	}
func parseHMAC(o *options, key *app.Key) error {
	block := newOptions(o.Dispenser, o.of+": key "+key.Name)
	for nesting := o.Nesting(); block.next(nesting); {
		if key.HMAC == nil {
			key.HMAC = new(verify.Custom)
		}
		if err := parseHMACOption(block, key.HMAC); err != nil {
			return err
		}
	}
	return nil
}

func parseHMACOption(o *options, c *verify.Custom) error {
	switch o.name {
	case "header":
		return o.text(&c.Header)
	case "encoding":
		return o.text(&c.Encoding)
	case "prefix":
		return o.text(&c.Prefix)
	case "hash":
		return o.text(&c.Hash)
	case "signs":
		return o.text(&c.Signs)
	case "timestamp":
		return parseTimestamp(o, c)
	}
	return o.unknown("encoding", "hash", "header", "prefix", "signs", "timestamp")
}

func parseTimestamp(o *options, c *verify.Custom) error {
	if err := o.once(); err != nil {
		return err
	}
	args := o.RemainingArgs()
	if len(args) != 1 && len(args) != 2 {
		return o.failf("it needs the name of a header, and may have how old a call may be, as in: timestamp X-Time 5m")
	}
	c.Timestamp, c.Tolerance = args[0], 0
	if len(args) == 1 {
		return nil
	}
	d, err := parseDuration(args[1])
	if err != nil {
		return o.failf("%w", err)
	}
	c.Tolerance = verify.Duration(d)
	return nil
}
