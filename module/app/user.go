package app

import (
	"net/http"

	"github.com/caddyserver/caddy/v2"
)

// User returns the user that Caddy has authenticated, "" for none.
func User(r *http.Request) string {
	repl, ok := r.Context().Value(caddy.ReplacerCtxKey).(*caddy.Replacer)
	if !ok {
		return ""
	}
	id, _ := repl.GetString("http.auth.user.id")
	return id
}
