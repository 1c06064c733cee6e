package badger

import (
	"cmp"
	"errors"
	"fmt"
	"path/filepath"
	"slices"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/dustin/go-humanize"
	"go.uber.org/zap"

	"github.com/caddy-callback/caddy-callback/module/config"
	"github.com/caddy-callback/caddy-callback/module/store"
)

func init() {
	caddy.RegisterModule(Config{})
}

// DefaultMinFree is min_free where none is given, in bytes.
const DefaultMinFree = 256 << 20

// Config configures the embedded store: a Badger database in a directory that only
// one Caddy process can use. It stays open across configuration reloads.
type Config struct {
	// Dir is the store's directory, created if it does not exist. Default: "callback"
	// in Caddy's data directory.
	Dir string `json:"dir,omitempty"`

	// EncryptionKey encrypts records and bodies on disk: 32, 48 or 64 hexadecimal
	// digits, best given as {env.NAME} or {file.PATH}. A store that was created without
	// one cannot be encrypted later. Default: not encrypted.
	EncryptionKey string `json:"encryption_key,omitempty"`

	// OldEncryptionKeys are keys with which the store was encrypted before. What they
	// have encrypted can be read. Default: none.
	OldEncryptionKeys []string `json:"old_encryption_keys,omitempty"`

	// Secret is what states, tickets and keys of new callbacks are derived from: at least
	// 32 bytes, 16 in a store that has used it before, best given as {env.NAME} or
	// {file.PATH}. Default: a random one, created with the store and kept in its
	// directory.
	Secret string `json:"secret,omitempty"`

	// OldSecrets are secrets from which callbacks were derived before. The random one is
	// among them as long as its file is there. Default: none.
	OldSecrets []string `json:"old_secrets,omitempty"`

	// MinFree is the free disk space in bytes below which new callbacks are
	// refused with 503; at least 128 MiB. Default: 256 MiB.
	MinFree uint64 `json:"min_free,omitempty"`

	// MaxSize is the size in bytes above which new callbacks are refused with
	// 503. Default: no limit.
	MaxSize uint64 `json:"max_size,omitempty"`

	key        []byte
	oldKeys    [][]byte
	secret     string
	oldSecrets []string
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
	if err := c.provision(caddy.NewReplacer()); err != nil {
		return fmt.Errorf("store badger: %w", err)
	}
	return nil
}

func (c *Config) provision(repl *caddy.Replacer) error {
	if err := c.check(); err != nil {
		return err
	}
	c.MinFree = cmp.Or(c.MinFree, DefaultMinFree)
	c.Dir = cmp.Or(c.Dir, filepath.Join(caddy.AppDataDir(), "callback"))
	for _, option := range c.texts() {
		if unset := config.Unset(option.text, repl.GetString); unset != "" {
			return fmt.Errorf("%s: %s is empty or not set", option.name, unset)
		}
	}
	c.Dir = repl.ReplaceKnown(c.Dir, "")
	if c.Secret != "" {
		c.secret = repl.ReplaceKnown(c.Secret, "")
		if err := config.CheckSecret(c.secret, minUsedSecret); err != nil {
			return err
		}
	}
	c.oldSecrets = nil
	for _, old := range c.OldSecrets {
		old = repl.ReplaceKnown(old, "")
		if err := config.CheckSecret(old, minUsedSecret); err != nil {
			return err
		}
		c.oldSecrets = append(c.oldSecrets, old)
	}
	return c.provisionKeys(repl)
}

func (c *Config) provisionKeys(repl *caddy.Replacer) error {
	c.key, c.oldKeys = nil, nil
	if c.EncryptionKey == "" {
		return nil
	}
	key, err := config.ParseKey(repl.ReplaceKnown(c.EncryptionKey, ""))
	if err != nil {
		return err
	}
	c.key = key
	for _, old := range c.OldEncryptionKeys {
		key, err := config.ParseKey(repl.ReplaceKnown(old, ""))
		if err != nil {
			return err
		}
		c.oldKeys = append(c.oldKeys, key)
	}
	return nil
}

// optionText is a text of an option that can hold placeholders.
type optionText struct{ name, text string }

func (c *Config) texts() []optionText {
	texts := []optionText{{"dir", c.Dir}, {"secret", c.Secret}, {"encryption_key", c.EncryptionKey}}
	for _, old := range c.OldSecrets {
		texts = append(texts, optionText{"secret", old})
	}
	for _, old := range c.OldEncryptionKeys {
		texts = append(texts, optionText{"encryption_key", old})
	}
	return texts
}

// check checks the options, as far as that is possible before placeholders are
// replaced.
func (c *Config) check() error {
	if c.MinFree != 0 && c.MinFree < MinMinFree {
		return fmt.Errorf("min_free is %s, and must be at least %s", humanize.IBytes(c.MinFree), humanize.IBytes(MinMinFree))
	}
	if c.Secret != "" && !config.ReplacedAtLoad(c.Secret) {
		if err := config.CheckSecret(c.Secret, minUsedSecret); err != nil {
			return err
		}
	}
	for _, old := range c.OldSecrets {
		if config.ReplacedAtLoad(old) {
			continue
		}
		if err := config.CheckSecret(old, minUsedSecret); err != nil {
			return err
		}
	}
	if c.EncryptionKey == "" && len(c.OldEncryptionKeys) > 0 {
		return errors.New("old_encryption_keys needs encryption_key; a store cannot be decrypted later")
	}
	for _, key := range append([]string{c.EncryptionKey}, c.OldEncryptionKeys...) {
		if key == "" || config.ReplacedAtLoad(key) {
			continue
		}
		if _, err := config.ParseKey(key); err != nil {
			return err
		}
	}
	return nil
}

// Identity returns the canonical path of the directory, so that a directory is never
// opened twice.
func (c *Config) Identity() (string, error) {
	dir, err := filepath.Abs(c.Dir)
	if err != nil {
		return "", fmt.Errorf("the store's directory %s: %w", c.Dir, err)
	}
	return "badger:" + canonical(dir), nil
}

// canonical resolves the symbolic links in the part of a path that exists.
func canonical(path string) string {
	if followed, err := filepath.EvalSymlinks(path); err == nil {
		return followed
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
	o := c.secrets()
	o.Dir, o.MinFree, o.MaxSize, o.Log = dir, c.MinFree, c.MaxSize, log
	s, err := Open(o)
	if err != nil {
		return nil, err
	}
	return s, nil
}

// secrets returns the options with the secrets alone.
func (c *Config) secrets() Options {
	return Options{EncryptionKey: c.key, OldKeys: c.oldKeys, Secret: c.secret, OldSecrets: c.oldSecrets}
}

// CanAdopt implements store.Adopter.
func (c *Config) CanAdopt(open store.Store) error { return c.with(open, (*Store).CanAdopt) }

// Adopt implements store.Adopter.
func (c *Config) Adopt(open store.Store) error { return c.with(open, (*Store).Adopt) }

// with hands the configuration's secrets to a store.
func (c *Config) with(open store.Store, do func(*Store, Options) error) error {
	s, ok := open.(*Store)
	if !ok {
		return fmt.Errorf("%T is not a store of this kind", open)
	}
	if err := do(s, c.secrets()); err != nil {
		return fmt.Errorf("the store %s: %w", s.options.Dir, err)
	}
	return nil
}

// UnmarshalCaddyfile sets up the store from Caddyfile tokens. Syntax:
//
//	badger [<dir>] {
//	    encryption_key <hex> [<old>...]
//	    secret         <secret>|stored [<old>...]
//	    min_free       <size>
//	    max_size       <size>
//	}
func (c *Config) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next()
	if d.NextArg() {
		c.Dir = d.Val()
		if c.Dir == "" {
			return d.Err("store badger: the directory is empty: name one, or leave it out for the default")
		}
	}
	if d.NextArg() {
		return d.Errf("store badger: %q is too much: it takes a directory, and its options in a block", d.Val())
	}
	seen := make(map[string]bool)
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		if seen[d.Val()] {
			return d.Errf("store badger: %s is given twice; leave one of the two out", d.Val())
		}
		seen[d.Val()] = true
		if err := c.unmarshalOption(d); err != nil {
			return err
		}
		if err := c.check(); err != nil {
			return d.Errf("store badger: %w", err)
		}
	}
	return nil
}

func (c *Config) unmarshalOption(d *caddyfile.Dispenser) error {
	option := d.Val()
	var size *uint64
	switch option {
	case "encryption_key":
		values, err := valuesOf(d)
		if err != nil {
			return err
		}
		c.EncryptionKey, c.OldEncryptionKeys = values[0], values[1:]
		return nil
	case "secret":
		return c.unmarshalSecrets(d)
	case "min_free":
		size = &c.MinFree
	case "max_size":
		size = &c.MaxSize
	default:
		meant := ""
		if near := config.Nearest(option, []string{"encryption_key", "max_size", "min_free", "secret"}); near != "" {
			meant = " (did you mean " + near + "?)"
		}
		return d.Errf("store badger has no option %s%s; its options are encryption_key, max_size, min_free and secret", option, meant)
	}
	var value string
	if !d.AllArgs(&value) {
		return d.Errf("store badger: %s needs one value", option)
	}
	n, err := humanize.ParseBytes(value)
	if err != nil || n == 0 {
		return d.Errf("store badger: %s: %q is not a size; write one like 512MiB", option, value)
	}
	*size = n
	return nil
}

// StoredSecret stands for the random secret in the store's directory.
const StoredSecret = "stored"

// unmarshalSecrets reads secret <new>|stored [<old>...].
func (c *Config) unmarshalSecrets(d *caddyfile.Dispenser) error {
	values, err := valuesOf(d)
	if err != nil {
		return err
	}
	if values[0] != StoredSecret {
		c.Secret = values[0]
	}
	c.OldSecrets = values[1:]
	return nil
}

// valuesOf returns the values of an option, of which there is one at least.
func valuesOf(d *caddyfile.Dispenser) ([]string, error) {
	option, values := d.Val(), d.RemainingArgs()
	if len(values) == 0 {
		return nil, d.Errf("store badger: %s needs one value at least: the one to use, and behind it those that were used before", option)
	}
	if slices.Contains(values, "") {
		return nil, d.Errf("store badger: %s is empty; an environment variable that is not set is empty, too", option)
	}
	return values, nil
}

// Interface guards
var (
	_ caddy.Provisioner     = (*Config)(nil)
	_ caddyfile.Unmarshaler = (*Config)(nil)
	_ store.Opener          = (*Config)(nil)
	_ store.Adopter         = (*Config)(nil)
	_ store.Store           = (*Store)(nil)
	_ store.Confined        = (*Store)(nil)
)
