package app

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"

	"go.uber.org/zap"

	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/config"
	"github.com/caddy-callback/caddy-callback/module/inject"
	"github.com/caddy-callback/caddy-callback/module/verify"
)

// Permissions of keys.
const (
	PermissionSend   = "send"
	PermissionCreate = "create"
	PermissionRead   = "read"
	PermissionManage = "manage"
)

var permissions = []string{PermissionSend, PermissionCreate, PermissionRead, PermissionManage}

// KeyInclude is what stands in the place of a key's name to make a key for each callback.
const KeyInclude = "include"

// minKey is the minimum length of a key, in bytes.
const minKey = 16

// Key is a named key.
type Key struct {
	// Name is what the options that allow the key call it. It is required.
	Name string `json:"name"`

	// Secret is the key: a placeholder like {env.NAME} or {file.PATH}, or
	// "sha256:" and the key's SHA-256 sum in hexadecimal digits. The key has at
	// least 16 bytes. It must not be given itself, because others may be able to
	// read the configuration.
	//
	// A key is shown by signing if the name of a scheme and a colon stand before the
	// placeholder, as in "stripe:{env.STRIPE_SECRET}": a call that bears a valid signature has
	// shown the key. The schemes are standard (Standard Webhooks, Svix), github (Gitea and
	// Forgejo, too), stripe, slack, shopify, twilio, and hmac, which the field hmac describes.
	Secret string `json:"secret"`

	// MoreSecrets are further secrets of the same forms. Whoever shows any of them shows the
	// key: one can take the place of another without a moment at which neither works.
	// Default: none.
	MoreSecrets []string `json:"more_secrets,omitempty"`

	// Permissions are what the key allows: send (make calls), create (make
	// callbacks), read (see callbacks), manage (resolve, close, remove and
	// redeliver callbacks). At least one is required. A key that is shown by signing can only
	// send, which is its default.
	Permissions []string `json:"permissions,omitempty"`

	// HMAC describes the scheme hmac. It is required for secrets of that scheme, and only then.
	HMAC *verify.Custom `json:"hmac,omitempty"`

	// For are the names of the callbacks that the key is for: to whoever shows the key there
	// are no others. A callback has the name of the directive that has made it. One that is
	// made with the key itself, through the API, has the name that stands here, so there can
	// be only one with the permission create. Default: all callbacks, with or without a name.
	For []string `json:"for,omitempty"`
}

// secrets returns all secrets of the key.
func (k Key) secrets() []string { return append([]string{k.Secret}, k.MoreSecrets...) }

var (
	keySecret       = regexp.MustCompile(`^(\{(env|file)\.[^{}]+\}|sha256:[0-9a-fA-F]{64})$`)
	signatureSecret = regexp.MustCompile(`^\{(env|file)\.[^{}]+\}$`)
)

// allows reports whether the key has a permission.
func (k Key) allows(permission string) bool {
	return slices.Contains(k.Permissions, permission) || permission == PermissionSend && len(k.Permissions) == 0 && k.signs()
}

// signs reports whether the key is shown by signing.
func (k Key) signs() bool {
	return slices.ContainsFunc(k.secrets(), func(text string) bool { _, _, ok := verify.Split(text); return ok })
}

// signsWith reports whether the key is shown by signing with that scheme.
func (k Key) signsWith(scheme string) bool {
	return slices.ContainsFunc(k.secrets(), func(text string) bool { s, _, ok := verify.Split(text); return ok && s == scheme })
}

// check makes sure that the key makes sense on its own.
func (k Key) check() error {
	if !config.IsName(k.Name) || k.Name == KeyInclude || k.Name == "off" {
		return fmt.Errorf("%q cannot be the name of a key", k.Name)
	}
	for _, secret := range k.secrets() {
		if err := k.checkSecret(secret); err != nil {
			return err
		}
	}
	if err := k.checkSigning(); err != nil {
		return err
	}
	if len(k.Permissions) == 0 && !k.signs() {
		return fmt.Errorf("key %s has no permission; give some of %s", k.Name, strings.Join(permissions, ", "))
	}
	for _, p := range k.Permissions {
		if !slices.Contains(permissions, p) {
			return fmt.Errorf("key %s: there is no permission %s; they are %s", k.Name, p, strings.Join(permissions, ", "))
		}
	}
	return k.checkFor()
}

// checkSecret makes sure that a secret is not in the configuration itself.
func (k Key) checkSecret(text string) error {
	if scheme, secret, ok := verify.Split(text); ok {
		if !signatureSecret.MatchString(secret) {
			return fmt.Errorf("key %s: after %s: must come {env.NAME} or {file.PATH}, so that the secret itself is not in the configuration", k.Name, scheme)
		}
		return nil
	}
	if scheme, secret, ok := strings.Cut(text, ":"); ok && isScheme.MatchString(scheme) && signatureSecret.MatchString(secret) {
		return fmt.Errorf("key %s: there is no scheme %s; they are %s", k.Name, scheme, strings.Join(verify.Schemes(), ", "))
	}
	if !keySecret.MatchString(text) {
		return fmt.Errorf("key %s: the secret must be {env.NAME}, {file.PATH} or sha256:<64 hexadecimal digits>, so that the key itself is not in the configuration", k.Name)
	}
	return nil
}

// isScheme matches what can be meant as the name of a scheme, so that messages can show it.
var isScheme = regexp.MustCompile(`^[a-z0-9-]{1,15}$`)

// checkSigning makes sure that what belongs to signing goes together.
func (k Key) checkSigning() error {
	if i := slices.IndexFunc(k.Permissions, func(p string) bool { return p != PermissionSend }); i >= 0 && k.signs() {
		return fmt.Errorf("key %s is shown by signing a call, so it can only send; make another key for %s", k.Name, k.Permissions[i])
	}
	switch needs := k.signsWith(verify.HMAC); {
	case needs && k.HMAC == nil:
		return fmt.Errorf("key %s: the scheme hmac needs a block that says how the call is signed, as in: { header X-Signature }", k.Name)
	case !needs && k.HMAC != nil:
		return fmt.Errorf("key %s has a block, which only the scheme hmac takes; remove it, or write hmac: before the secret", k.Name)
	case needs:
		if err := k.HMAC.Check(); err != nil {
			return fmt.Errorf("key %s: %w", k.Name, err)
		}
	}
	return nil
}

// checkFor makes sure that the names make sense of the callbacks that the key is for.
func (k Key) checkFor() error {
	if k.For != nil && len(k.For) == 0 {
		return fmt.Errorf("key %s is for no callback; leave the list out if it is for all", k.Name)
	}
	for i, name := range k.For {
		switch {
		case !config.IsName(name):
			return fmt.Errorf("key %s: %q cannot be the name of a callback", k.Name, name)
		case slices.Contains(k.For[:i], name):
			return fmt.Errorf("key %s is for %s twice", k.Name, name)
		}
	}
	if len(k.For) > 1 && slices.Contains(k.Permissions, PermissionCreate) {
		return fmt.Errorf("key %s may create callbacks, which get the name that the key is for, and there are %d; write a key for each, as in: key %[1]s-%[3]s {env.NAME} create for %[3]s",
			k.Name, len(k.For), k.For[0])
	}
	return nil
}

// digest returns the SHA-256 sum of one of the key's secrets.
func (k Key) digest(secret string) (callback.Digest, error) {
	if sum, ok := strings.CutPrefix(secret, "sha256:"); ok {
		var d callback.Digest
		_, err := hex.Decode(d[:], []byte(sum))
		return d, err
	}
	text, err := secretOf(secret)
	if err != nil {
		return callback.Digest{}, fmt.Errorf("key %s: %w; %s", k.Name, err, config.MakeSecret)
	}
	if text = strings.TrimSpace(text); len(text) < minKey {
		return callback.Digest{}, fmt.Errorf("key %s: %s is shorter than %d bytes; %s", k.Name, secret, minKey, config.MakeSecret)
	}
	return sha256.Sum256([]byte(text)), nil
}

// keyRing holds the secrets of the keys of a configuration: only their digests.
type keyRing []ringKey

// ringKey is one secret of a key.
type ringKey struct {
	digest callback.Digest
	Key
}

// CheckKeys makes sure that each key is valid, and that no name and no secret is given
// twice.
func CheckKeys(keys []Key) error {
	names, secrets := make(map[string]bool), make(map[string]string)
	for _, k := range keys {
		if err := k.check(); err != nil {
			return err
		}
		if names[k.Name] {
			return fmt.Errorf("key %s is given twice", k.Name)
		}
		names[k.Name] = true
		for _, secret := range k.secrets() {
			if of, taken := secrets[secret]; taken {
				return oneKeyOneSecret(of, k.Name)
			}
			secrets[secret] = k.Name
		}
	}
	return nil
}

// oneKeyOneSecret returns the error that two keys have the same secret, or one has it twice.
func oneKeyOneSecret(a, b string) error {
	if a == b {
		return fmt.Errorf("key %s has the same secret twice; leave one of the two out", a)
	}
	return fmt.Errorf("the keys %s and %s have the same secret; give each a secret of its own, or make one key of the two", a, b)
}

func newKeyRing(keys []Key) (keyRing, error) {
	if err := CheckKeys(keys); err != nil {
		return nil, err
	}
	ring := make(keyRing, 0, len(keys))
	for _, k := range keys {
		for _, secret := range k.secrets() {
			if _, _, signs := verify.Split(secret); signs {
				continue
			}
			digest, err := k.digest(secret)
			if err != nil {
				return nil, err
			}
			if i := slices.IndexFunc(ring, func(other ringKey) bool { return other.digest == digest }); i >= 0 {
				return nil, oneKeyOneSecret(ring[i].Name, k.Name)
			}
			ring = append(ring, ringKey{digest, k})
		}
	}
	return ring, nil
}

// Caller returns the caller that these keys belong to, with the names of the keys that
// have the permission; of all keys, if the permission is empty.
func (a *App) Caller(shown []string, permission string) callback.Caller {
	return a.keyRing.caller(shown, permission)
}

// caller is App.Caller. It compares every secret with every one that is shown, in constant
// time, so that the duration reveals nothing about a key.
func (ring keyRing) caller(shown []string, permission string) callback.Caller {
	c := callback.Caller{Shown: len(shown) > 0}
	for _, key := range shown {
		digest := sha256.Sum256([]byte(key))
		for _, k := range ring {
			if subtle.ConstantTimeCompare(digest[:], k.digest[:]) != 1 {
				continue
			}
			c.Known = true
			if permission != "" && !k.allows(permission) || slices.Contains(c.Names, k.Name) {
				continue
			}
			c.Names = append(c.Names, k.Name)
			if k.For != nil {
				c.Only = withOnly(c.Only, k.Key)
			}
		}
	}
	return c
}

// withOnly returns a map of what keys open, with one more key.
func withOnly(only map[string][]string, k Key) map[string][]string {
	if only == nil {
		only = make(map[string][]string)
	}
	only[k.Name] = k.For
	return only
}

// maxShown bounds how many keys of one request are checked. A request shows more than one
// if the callback URL holds a key and the server requires another.
const maxShown = 4

// KeysOf returns the keys that a request shows, as bearer tokens (RFC 6750,
// section 2.1) and in the URL, and the query without them. A key in the URL ends at a
// second question mark, unless it is a named key that has one itself.
func (a *App) KeysOf(r *http.Request) (shown []string, query string) {
	named := func(key string) bool { return a.keyRing.caller([]string{key}, "").Known }
	query = inject.SplitAppended(r.URL.RawQuery, callback.KeyParameter, named)
	if shown = inject.GetQuery(query, callback.KeyParameter); len(shown) > 0 {
		query = inject.RemoveQuery(query, callback.KeyParameter)
	}
	return distinct(append(shown, BearerKeys(r.Header)...)), query
}

// BearerKeys returns the keys that a request shows as bearer tokens.
func BearerKeys(h http.Header) (shown []string) {
	for _, line := range h["Authorization"] {
		scheme, token, _ := strings.Cut(line, " ")
		if strings.EqualFold(scheme, "Bearer") {
			shown = append(shown, strings.TrimSpace(token))
		}
	}
	return distinct(shown)
}

// distinct returns each key once, and at most maxShown keys.
func distinct(shown []string) []string {
	slices.Sort(shown)
	shown = slices.DeleteFunc(slices.Compact(shown), func(key string) bool { return key == "" })
	return shown[:min(len(shown), maxShown)]
}

// noteKeysFor logs which names keys are for that no directive has and no key gives. That is
// no error: a directive can be gone before its callbacks are.
func (a *App) noteKeysFor() error {
	made := make(map[string]bool)
	for _, k := range a.Keys {
		if slices.Contains(k.Permissions, PermissionCreate) {
			for _, name := range k.For {
				made[name] = true
			}
		}
	}
	for _, k := range a.Keys {
		for _, name := range k.For {
			if !a.names.given[name] && !made[name] {
				a.log.Warn("a key is for callbacks with a name that no directive has", zap.String("key", k.Name), zap.String("name", name),
					zap.String("meant", config.Nearest(name, slices.Sorted(maps.Keys(a.names.given)))))
			}
		}
	}
	return nil
}

// CheckKeysOf makes sure of the keys that a directive names what CheckKeysExist does, and that
// they open its callbacks, which have the name of.
func CheckKeysOf(of string, names []string, keys []Key) error {
	if err := CheckKeysExist(names, keys); err != nil {
		return err
	}
	for _, k := range keys {
		switch {
		case k.For == nil || !slices.Contains(names, k.Name) || slices.Contains(k.For, of):
		case of == "":
			return fmt.Errorf("key: %s is for callbacks with other names only; give the directive its name, as in: name %s", k.Name, k.For[0])
		default:
			return fmt.Errorf("key: %s is for callbacks with other names only; add %s to its names, as in: key %s ... for %s", k.Name, of, k.Name, strings.Join(append(slices.Clone(k.For), of), " "))
		}
	}
	return nil
}

// CheckKeysExist makes sure that each named key exists and has the permission send.
func CheckKeysExist(names []string, keys []Key) error {
	for _, name := range names {
		if name == KeyInclude {
			continue
		}
		i := slices.IndexFunc(keys, func(k Key) bool { return k.Name == name })
		switch {
		case i < 0:
			return fmt.Errorf("key: there is no key %s; add it to the global callback option, as in: key %s {env.%s} send", name, name, strings.ToUpper(name))
		case !keys[i].allows(PermissionSend):
			return fmt.Errorf("key: %s may not make calls; give it the permission send", name)
		}
	}
	return nil
}
