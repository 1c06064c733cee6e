package app

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"

	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/config"
	"github.com/caddy-callback/caddy-callback/module/inject"
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
	Secret string `json:"secret"`

	// Permissions are what the key allows: send (make calls), create (make
	// callbacks), read (see callbacks), manage (resolve, close and redeliver
	// callbacks). At least one is required.
	Permissions []string `json:"permissions"`
}

var keySecret = regexp.MustCompile(`^(\{(env|file)\.[^{}]+\}|sha256:[0-9a-fA-F]{64})$`)

// check makes sure that the key makes sense on its own.
func (k Key) check() error {
	switch {
	case !config.IsName(k.Name) || k.Name == KeyInclude || k.Name == "off":
		return fmt.Errorf("%q cannot be the name of a key", k.Name)
	case !keySecret.MatchString(k.Secret):
		return fmt.Errorf("key %s: the secret must be {env.NAME}, {file.PATH} or sha256:<64 hexadecimal digits>, so that the key itself is not in the configuration", k.Name)
	case len(k.Permissions) == 0:
		return fmt.Errorf("key %s has no permission; give some of %s", k.Name, strings.Join(permissions, ", "))
	}
	for _, p := range k.Permissions {
		if !slices.Contains(permissions, p) {
			return fmt.Errorf("key %s: there is no permission %s; they are %s", k.Name, p, strings.Join(permissions, ", "))
		}
	}
	return nil
}

// digest returns the SHA-256 sum of the key.
func (k Key) digest() (callback.Digest, error) {
	if sum, ok := strings.CutPrefix(k.Secret, "sha256:"); ok {
		var d callback.Digest
		_, err := hex.Decode(d[:], []byte(sum))
		return d, err
	}
	secret, err := secretOf(k.Secret)
	if err != nil {
		return callback.Digest{}, fmt.Errorf("key %s: %w; %s", k.Name, err, config.MakeSecret)
	}
	if secret = strings.TrimSpace(secret); len(secret) < minKey {
		return callback.Digest{}, fmt.Errorf("key %s: %s is shorter than %d bytes; %s", k.Name, k.Secret, minKey, config.MakeSecret)
	}
	return sha256.Sum256([]byte(secret)), nil
}

// keyRing holds the keys of a configuration: of the secrets, only the digests.
type keyRing []ringKey

type ringKey struct {
	name        string
	digest      callback.Digest
	permissions []string
}

// CheckKeys makes sure that each key is valid, and that no name is given twice.
func CheckKeys(keys []Key) error {
	seen := make(map[string]bool)
	for _, k := range keys {
		if err := k.check(); err != nil {
			return err
		}
		if seen[k.Name] {
			return fmt.Errorf("key %s is given twice", k.Name)
		}
		seen[k.Name] = true
	}
	return nil
}

func newKeyRing(keys []Key) (keyRing, error) {
	if err := CheckKeys(keys); err != nil {
		return nil, err
	}
	ring := make(keyRing, 0, len(keys))
	for _, k := range keys {
		digest, err := k.digest()
		if err != nil {
			return nil, err
		}
		ring = append(ring, ringKey{name: k.Name, digest: digest, permissions: k.Permissions})
	}
	return ring, nil
}

// Caller returns the caller that these keys belong to, with the names of the keys that
// have the permission; of all keys, if the permission is empty.
func (a *App) Caller(shown []string, permission string) callback.Caller {
	return a.keyRing.caller(shown, permission)
}

// caller is App.Caller. It compares every key with every one that is shown, in constant
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
			if permission == "" || slices.Contains(k.permissions, permission) {
				c.Names = append(c.Names, k.name)
			}
		}
	}
	return c
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
		case !slices.Contains(keys[i].Permissions, PermissionSend):
			return fmt.Errorf("key: %s may not make calls; give it the permission send", name)
		}
	}
	return nil
}
