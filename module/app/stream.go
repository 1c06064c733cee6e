package app

import (
	"net/http"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-callback/caddy-callback/module/answer"
)

// NewStream begins to answer a request with events. Exit is closed when Caddy exits.
func NewStream(w http.ResponseWriter, r *http.Request, exit <-chan struct{}) *answer.Stream {
	var connection *http.ResponseController
	if _, idle := caddyhttp.IdleTimeoutsFromContext(r.Context()); idle != nil {
		connection = idle.Ctrl
	}
	return answer.NewStream(w, connection, exit)
}
