// Package caddyfile turns the Caddyfile's callback directives into the
// configuration of the app and of the handlers.
package caddyfile

import (
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
)

func init() {
	httpcaddyfile.RegisterGlobalOption("callback", parseGlobal)
	httpcaddyfile.RegisterHandlerDirective("callback", parseCallback)
	httpcaddyfile.RegisterHandlerDirective("callback_server", parseServer)
	httpcaddyfile.RegisterHandlerDirective("callback_api", parseAPI)
	httpcaddyfile.RegisterHandlerDirective("callback_dashboard", parseDashboard)

	// Calls come from outside: directives that are meant for people, such as logins
	// and the rewrites of a single-page app, must not see them first.
	httpcaddyfile.RegisterDirectiveOrder("callback_server", httpcaddyfile.Before, "redir")
	// Inside encode, and around every handler that can be an upstream.
	httpcaddyfile.RegisterDirectiveOrder("callback", httpcaddyfile.After, "intercept")
	// In the same place, and after the API, which has its own paths: the dashboard answers all
	// that comes to it.
	httpcaddyfile.RegisterDirectiveOrder("callback_dashboard", httpcaddyfile.After, "intercept")
	// In the same place. It answers the requests for its own paths itself; they are
	// not for an app.
	httpcaddyfile.RegisterDirectiveOrder("callback_api", httpcaddyfile.After, "intercept")
}
