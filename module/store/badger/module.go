package badger

import (
	"encoding/hex"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/dustin/go-humanize"
	"go.uber.org/zap"

	"github.com/caddy-callback/caddy-callback/module/store"
)

func init() {
	caddy.RegisterModule(Config{})
}

// DefaultMinFree is min_free where none is given, in bytes.
const DefaultMinFree = 256 << 20

// Config configures the embedded store: a Badger database in a directory that
// one Caddy process has to itself. It is kept open over configuration reloads.
type Config struct {
	// Dir is the store's directory, made if it does not exist. Default:
	// "callback" in Caddy's data directory.
	Dir string `json:"dir,omitempty"`

	// EncryptionKey encrypts records and bodies on disk: 32, 48 or 64 hexadecimal
	// digits, best given as {env.NAME} or {file.PATH}. It is chosen when
	// the store is made, and cannot be changed or added later.
	EncryptionKey string `json:"encryption_key,omitempty"`

	// Secret is what states and tickets are derived from, at least 16 bytes, best
	// given as {env.NAME} or {file.PATH}. Default: a random one, made
	// with the store and kept in its directory. Changing it makes every
	// callback URL that was given out invalid.
	Secret string `json:"secret,omitempty"`

	// MinFree is the free disk space in bytes below which new callbacks are
	// refused with 503; at least 128 MiB. Default: 256 MiB.
	MinFree uint64 `json:"min_free,omitempty"`

	// MaxSize is the size in bytes above which new callbacks are refused with
	// 503. Default: no limit.
	MaxSize uint64 `json:"max_size,omitempty"`

	key    []byte
	secret string
}

// CaddyModule returns the Caddy module information.
func (Config) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "callback.stores.badger",
		New: func() caddy.Module { return new(Config) },
	}
}

// Provision sets defaults and reads the secrets. It does not touch the directory.
func (c *Config) Provision(caddy.Context) error {
	repl := caddy.NewReplacer()
	c.Dir = repl.ReplaceKnown(c.Dir, "")
	if c.Dir == "" {
		c.Dir = filepath.Join(caddy.AppDataDir(), "callback")
	}
	if c.MinFree == 0 {
		c.MinFree = DefaultMinFree
	}
	if c.MinFree < MinMinFree {
		return fmt.Errorf("store badger: min_free is %s, and must be at least %s",
			humanize.IBytes(c.MinFree), humanize.IBytes(MinMinFree))
	}
	if c.Secret != "" {
		c.secret = repl.ReplaceKnown(c.Secret, "")
		if len(c.secret) < 16 {
			return errors.New("store badger: secret is shorter than 16 bytes, or the environment variable or file that it names is empty")
		}
	}
	if c.EncryptionKey != "" {
		key, err := hex.DecodeString(repl.ReplaceKnown(c.EncryptionKey, ""))
		if err != nil || len(key) != 16 && len(key) != 24 && len(key) != 32 {
			return errors.New("store badger: encryption_key must be 32, 48 or 64 hexadecimal digits; make one with: openssl rand -hex 32")
		}
		c.key = key
	}
	return nil
}

// Identity returns the directory in its one true form, so that it is never
// opened twice.
func (c *Config) Identity() (string, error) {
	dir, err := filepath.Abs(c.Dir)
	if err != nil {
		return "", fmt.Errorf("the store's directory %s: %w", c.Dir, err)
	}
	return "badger:" + canonical(dir), nil
}

// canonical follows the links in as much of a path as exists.
func canonical(path string) string {
	if real, err := filepath.EvalSymlinks(path); err == nil {
		return real
	}
	parent := filepath.Dir(path)
	if parent == path {
		return path
	}
	return filepath.Join(canonical(parent), filepath.Base(path))
}

// Open opens the store.
func (c *Config) Open(log *zap.Logger) (store.Store, error) {
	dir, err := filepath.Abs(c.Dir)
	if err != nil {
		return nil, err
	}
	s, err := Open(Options{
		Dir:           dir,
		EncryptionKey: c.key,
		Secret:        c.secret,
		MinFree:       c.MinFree,
		MaxSize:       c.MaxSize,
		Log:           log,
	})
	if err != nil {
		return nil, err
	}
	return s, nil
}

// UnmarshalCaddyfile sets up the store from Caddyfile tokens. Syntax:
//
//	badger [<dir>] {
//	    encryption_key <hex>
//	    secret         <secret>
//	    min_free       <size>
//	    max_size       <size>
//	}
func (c *Config) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next()
	if d.NextArg() {
		c.Dir = d.Val()
	}
	if d.NextArg() {
		return d.ArgErr()
	}
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		if err := c.unmarshalOption(d); err != nil {
			return err
		}
	}
	return nil
}

func (c *Config) unmarshalOption(d *caddyfile.Dispenser) error {
	option := d.Val()
	if !d.NextArg() {
		return d.ArgErr()
	}
	value := d.Val()
	switch option {
	case "encryption_key":
		c.EncryptionKey = value
	case "secret":
		c.Secret = value
	case "min_free", "max_size":
		size, err := humanize.ParseBytes(value)
		if err != nil {
			return d.Errf("%s: %q is not a size; write one like 256MiB", option, value)
		}
		if option == "min_free" {
			c.MinFree = size
		} else {
			c.MaxSize = size
		}
	default:
		return d.Errf("unrecognized option of store badger: %s", option)
	}
	if d.NextArg() {
		return d.ArgErr()
	}
	return nil
}

// Interface guards
var (
	_ caddy.Provisioner     = (*Config)(nil)
	_ caddyfile.Unmarshaler = (*Config)(nil)
	_ store.Opener          = (*Config)(nil)
	_ store.Store           = (*Store)(nil)
)
