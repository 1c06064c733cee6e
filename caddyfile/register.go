// Package caddyfile turns the Caddyfile's callback directives into the
// configuration of package module.
package caddyfile

import (
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
)

func init() {
	httpcaddyfile.RegisterGlobalOption("callback", parseGlobal)
	httpcaddyfile.RegisterHandlerDirective("callback", parseCallback)
	httpcaddyfile.RegisterHandlerDirective("callback_server", parseServer)
	httpcaddyfile.RegisterHandlerDirective("callback_api", parseAPI)

	// Calls come from outside: nothing that is meant for people, like logins
	// and rewrites of a single-page app, may stand in their way.
	httpcaddyfile.RegisterDirectiveOrder("callback_server", httpcaddyfile.Before, "redir")
	// Inside encode, and around every handler that can be an upstream.
	httpcaddyfile.RegisterDirectiveOrder("callback", httpcaddyfile.After, "intercept")
	// In the same place. It ends the requests for its own paths, which are no app's.
	httpcaddyfile.RegisterDirectiveOrder("callback_api", httpcaddyfile.After, "intercept")
}
