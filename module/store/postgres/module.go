package postgres

import (
	"cmp"
	"crypto/sha256"
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/jackc/pgx/v5"
	"go.uber.org/zap"

	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/config"
	"github.com/caddy-callback/caddy-callback/module/store"
)

func init() {
	caddy.RegisterModule(Config{})
}

// DefaultSchema is the schema where none is given.
const DefaultSchema = "callback"

// How long secrets must be, in bytes: the one to use, and those that were used before.
const (
	MinSecret    = 32
	minOldSecret = 16
)

// Config configures a store in a PostgreSQL database, which several Caddy processes can use at
// the same time. It stays open across configuration reloads.
type Config struct {
	// URL is where the database is: postgres://user@host/database. Unless the host is this
	// machine, its certificate is verified; sslmode in the URL says otherwise. It must not
	// hold a password.
	URL string `json:"url,omitempty"`

	// Password is the password, best given as {env.NAME} or {file.PATH}. It is read again
	// whenever the store connects. Default: what PostgreSQL's password file says.
	Password string `json:"password,omitempty"`

	// Secret is what states, tickets and keys of callbacks are derived from: at least 32
	// bytes, the same for all processes, best given as {env.NAME} or {file.PATH}.
	Secret string `json:"secret,omitempty"`

	// StoredSecret keeps a random secret in the database in place of one that is given.
	// Whoever can read the database can then call all callbacks.
	StoredSecret bool `json:"stored_secret,omitempty"`

	// OldSecrets are secrets from which callbacks were derived before. Default: none.
	OldSecrets []string `json:"old_secrets,omitempty"`

	// EncryptionKey encrypts records and bodies: 32, 48 or 64 hexadecimal digits, the same for
	// all processes, best given as {env.NAME} or {file.PATH}. A store that was created without
	// one cannot be encrypted later. Default: not encrypted.
	EncryptionKey string `json:"encryption_key,omitempty"`

	// OldEncryptionKeys are keys with which the store was encrypted before. Default: none.
	OldEncryptionKeys []string `json:"old_encryption_keys,omitempty"`

	// Schema is the schema with the tables. Default: "callback".
	Schema string `json:"schema,omitempty"`

	// Direct is the URL of the database itself, where URL leads to a pooler that shares
	// connections between transactions. Hints of other nodes come that way.
	Direct string `json:"direct,omitempty"`

	// NoMigrate leaves the tables as they are: if they do not fit, the store does not open.
	NoMigrate bool `json:"no_migrate,omitempty"`

	options Options
	repl    *caddy.Replacer
}

// CaddyModule returns the Caddy module information.
func (Config) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "callback.stores.postgres",
		New: func() caddy.Module { return new(Config) },
	}
}

// Provision sets defaults and reads the secrets. It does not connect.
func (c *Config) Provision(caddy.Context) error {
	if err := c.provision(caddy.NewReplacer()); err != nil {
		return fmt.Errorf("store postgres: %w", err)
	}
	return nil
}

func (c *Config) provision(repl *caddy.Replacer) (err error) {
	if err := c.check(); err != nil {
		return err
	}
	c.repl = repl
	for _, option := range c.texts() {
		if unset := config.Unset(option.text, repl.GetString); unset != "" {
			return fmt.Errorf("%s: %s is empty or not set", option.name, unset)
		}
	}
	c.options = Options{Schema: cmp.Or(repl.ReplaceKnown(c.Schema, ""), DefaultSchema), Migrate: !c.NoMigrate, StoredSecret: c.StoredSecret}
	if !schemaName.MatchString(c.options.Schema) {
		return errSchema
	}
	if c.options.URL, err = connectionString("the URL", repl.ReplaceKnown(c.URL, "")); err != nil {
		return err
	}
	if c.Direct != "" {
		if c.options.Direct, err = connectionString("direct", repl.ReplaceKnown(c.Direct, "")); err != nil {
			return err
		}
	}
	if c.Password != "" {
		c.options.Password = c.password
	}
	if err := c.provisionSecrets(repl); err != nil {
		return err
	}
	return c.provisionKeys(repl)
}

// password reads the password.
func (c *Config) password() (string, error) {
	// What a file had at first is not kept.
	if unset := config.Unset(c.Password, c.repl.GetString); unset != "" {
		return "", fmt.Errorf("password: %s is empty or not set", unset)
	}
	return strings.TrimRight(c.repl.ReplaceKnown(c.Password, ""), "\r\n"), nil
}

func (c *Config) provisionSecrets(repl *caddy.Replacer) error {
	var earlier []callback.Secret
	for _, old := range c.OldSecrets {
		old = repl.ReplaceKnown(old, "")
		if err := config.CheckSecret(old, minOldSecret); err != nil {
			return err
		}
		earlier = append(earlier, sha256.Sum256([]byte(old)))
	}
	c.options.Earlier = earlier
	if c.StoredSecret {
		return nil
	}
	secret := repl.ReplaceKnown(c.Secret, "")
	if err := config.CheckSecret(secret, MinSecret); err != nil {
		return err
	}
	c.options.Secrets = callback.NewSecrets(sha256.Sum256([]byte(secret)), earlier...)
	return nil
}

func (c *Config) provisionKeys(repl *caddy.Replacer) error {
	if c.EncryptionKey == "" {
		return nil
	}
	for _, text := range append([]string{c.EncryptionKey}, c.OldEncryptionKeys...) {
		key, err := config.ParseKey(repl.ReplaceKnown(text, ""))
		if err != nil {
			return err
		}
		c.options.Keys = append(c.options.Keys, key)
	}
	return nil
}

// optionText is a text of an option that can hold placeholders.
type optionText struct{ name, text string }

func (c *Config) texts() []optionText {
	texts := []optionText{{"the URL", c.URL}, {"password", c.Password}, {"secret", c.Secret}, {"encryption_key", c.EncryptionKey}, {"schema", c.Schema}, {"direct", c.Direct}}
	for _, old := range c.OldSecrets {
		texts = append(texts, optionText{"secret", old})
	}
	for _, old := range c.OldEncryptionKeys {
		texts = append(texts, optionText{"encryption_key", old})
	}
	return texts
}

// schemaName matches the names that a schema may have.
var schemaName = regexp.MustCompile(`^[a-z_][a-z0-9_]{0,62}$`)

// Errors of options.
var (
	errSchema      = errors.New("schema must be a name of at most 63 lower-case letters, digits and underscores")
	errNoURL       = errors.New("it needs the URL of the database, as in: store postgres postgres://caddy@db.example.com/callback")
	errMustSecret  = errors.New("it needs secret, the same at all nodes, as in: secret {env.CALLBACK_SECRET}; secret stored keeps one in the database, and whoever can read that can call all callbacks")
	errTwoSecrets  = errors.New("it has both a secret and a stored one; leave one of the two out")
	errOldKeysOnly = errors.New("old_encryption_keys needs encryption_key; a store cannot be decrypted later")
)

// check checks the options, as far as that is possible before placeholders are replaced.
func (c *Config) check() error {
	switch {
	case c.URL == "":
		return errNoURL
	case c.Secret == "" && !c.StoredSecret:
		return errMustSecret
	case c.Secret != "" && c.StoredSecret:
		return errTwoSecrets
	case c.EncryptionKey == "" && len(c.OldEncryptionKeys) > 0:
		return errOldKeysOnly
	}
	return c.checkValues()
}

// checkValues is check for the values that are given, each by itself.
func (c *Config) checkValues() error {
	if c.Schema != "" && !config.ReplacedAtLoad(c.Schema) && !schemaName.MatchString(c.Schema) {
		return errSchema
	}
	if !config.ReplacedAtLoad(c.URL) {
		if _, err := connectionString("the URL", c.URL); err != nil {
			return err
		}
	}
	if c.Direct != "" && !config.ReplacedAtLoad(c.Direct) {
		if _, err := connectionString("direct", c.Direct); err != nil {
			return err
		}
	}
	if c.Secret != "" && !config.ReplacedAtLoad(c.Secret) {
		if err := config.CheckSecret(c.Secret, MinSecret); err != nil {
			return err
		}
	}
	for _, old := range c.OldSecrets {
		if config.ReplacedAtLoad(old) {
			continue
		}
		if err := config.CheckSecret(old, minOldSecret); err != nil {
			return err
		}
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

// Identity returns what names the database and the schema, so that a store is never opened
// twice.
func (c *Config) Identity() (string, error) {
	p, err := pgx.ParseConfig(c.options.URL)
	if err != nil {
		return "", errURL
	}
	id := fmt.Sprintf("postgres:%s:%d", p.Host, p.Port)
	for _, f := range p.Fallbacks {
		id += fmt.Sprintf(",%s:%d", f.Host, f.Port)
	}
	return id + "/" + p.Database + "/" + c.options.Schema, nil
}

// Open opens the store.
func (c *Config) Open(log *zap.Logger) (store.Store, error) {
	o := c.options
	o.Log = log
	s, err := Open(o)
	if err != nil {
		return nil, err
	}
	return s, nil
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
	if err := do(s, c.options); err != nil {
		return fmt.Errorf("the store in PostgreSQL: %w", err)
	}
	return nil
}

// Interface guards
var (
	_ caddy.Provisioner = (*Config)(nil)
	_ store.Opener      = (*Config)(nil)
	_ store.Adopter     = (*Config)(nil)
)
