package answer

import (
	"crypto/sha256"
	"encoding/hex"
	"net/http"
)

// Scope says whose Idempotency-Key a request has: the host that it is for, with the user
// that Caddy has authenticated, "" for none, or else a hash of the Authorization header.
func Scope(r *http.Request, user string) string {
	if user != "" {
		return r.Host + " user " + user
	}
	sum := sha256.Sum256([]byte(r.Header.Get("Authorization")))
	return r.Host + " authorization " + hex.EncodeToString(sum[:])
}

// ScopeOf is Scope for a client that is known by something else in its request.
func ScopeOf(r *http.Request, client string) string { return r.Host + " client " + client }

// IsAnonymous reports whether nothing that Scope looks at says who has made the request.
func IsAnonymous(r *http.Request, user string) bool {
	return user == "" && r.Header.Get("Authorization") == ""
}
