// Command blocked is Caddy with the plugin and one handler more: blocked, which answers
// nothing until its client leaves. It is what "bench mem" compares held requests with.
package main

import (
	"net/http"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	_ "github.com/caddyserver/caddy/v2/modules/standard"

	_ "github.com/caddy-callback/caddy-callback"
)

// blocked is the handler.
type blocked struct{}

// CaddyModule returns the module.
func (blocked) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "http.handlers.blocked", New: func() caddy.Module { return new(blocked) }}
}

// ServeHTTP waits until the client leaves.
func (blocked) ServeHTTP(_ http.ResponseWriter, r *http.Request, _ caddyhttp.Handler) error {
	<-r.Context().Done()
	return nil
}

func main() {
	caddy.RegisterModule(blocked{})
	httpcaddyfile.RegisterHandlerDirective("blocked", func(h httpcaddyfile.Helper) (caddyhttp.MiddlewareHandler, error) {
		h.Next()
		return new(blocked), nil
	})
	httpcaddyfile.RegisterDirectiveOrder("blocked", httpcaddyfile.Before, "respond")
	caddycmd.Main()
}
