package postgres

import (
	"slices"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/caddy-callback/caddy-callback/module/config"
)

// StoredSecret stands for a random secret that is kept in the database.
const StoredSecret = "stored"

// optionNames are the options of the store.
var optionNames = []string{"direct", "encryption_key", "migrate", "password", "schema", "secret"}

// UnmarshalCaddyfile sets up the store from Caddyfile tokens. Syntax:
//
//	postgres <url> {
//	    password       <password>
//	    secret         <secret>|stored [<old>...]
//	    encryption_key <hex> [<old>...]
//	    schema         <name>
//	    direct         <url>
//	    migrate        on|off
//	}
func (c *Config) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next()
	if d.NextArg() {
		c.URL = d.Val()
	}
	if c.URL == "" {
		return d.Errf("store postgres: %w", errNoURL)
	}
	if err := c.checkValues(); err != nil {
		return d.Errf("store postgres: %w", err)
	}
	if d.NextArg() {
		return d.Errf("store postgres: %q is too much: it takes a URL, and its options in a block", d.Val())
	}
	seen := make(map[string]bool)
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		if seen[d.Val()] {
			return d.Errf("store postgres: %s is given twice; leave one of the two out", d.Val())
		}
		seen[d.Val()] = true
		if err := c.unmarshalOption(d); err != nil {
			return err
		}
		if err := c.checkValues(); err != nil {
			return d.Errf("store postgres: %w", err)
		}
	}
	if err := c.check(); err != nil {
		return d.Errf("store postgres: %w", err)
	}
	return nil
}

func (c *Config) unmarshalOption(d *caddyfile.Dispenser) error {
	option := d.Val()
	if !slices.Contains(optionNames, option) {
		meant := ""
		if near := config.Nearest(option, optionNames); near != "" {
			meant = " (did you mean " + near + "?)"
		}
		return d.Errf("store postgres has no option %s%s; its options are direct, encryption_key, migrate, password, schema and secret", option, meant)
	}
	values := d.RemainingArgs()
	if slices.Contains(values, "") {
		return d.Errf("store postgres: %s is empty; an environment variable that is not set is empty, too", option)
	}
	switch option {
	case "secret", "encryption_key":
		if len(values) == 0 {
			return d.Errf("store postgres: %s needs one value at least: the one to use, and behind it those that were used before", option)
		}
	default:
		if len(values) != 1 {
			return d.Errf("store postgres: %s needs one value", option)
		}
	}
	switch option {
	case "secret":
		if c.OldSecrets = values[1:]; values[0] == StoredSecret {
			c.StoredSecret = true
		} else {
			c.Secret = values[0]
		}
	case "encryption_key":
		c.EncryptionKey, c.OldEncryptionKeys = values[0], values[1:]
	case "password":
		c.Password = values[0]
	case "schema":
		c.Schema = values[0]
	case "direct":
		c.Direct = values[0]
	case "migrate":
		if values[0] != "on" && values[0] != "off" {
			return d.Errf("store postgres: migrate is on or off, and not %q", values[0])
		}
		c.NoMigrate = values[0] == "off"
	}
	return nil
}

var _ caddyfile.Unmarshaler = (*Config)(nil)
