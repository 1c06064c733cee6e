package api

import (
	"net/http"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddy-callback/caddy-callback/module/answer"
	"github.com/caddy-callback/caddy-callback/module/app"
	"github.com/caddy-callback/caddy-callback/module/desk"
	"github.com/caddy-callback/caddy-callback/module/problem"
)

func init() {
	caddy.RegisterModule(Admin{})
}

// Admin serves the API at Caddy's admin endpoint, which needs no keys and checks where
// requests come from. It belongs to no configuration: after a failed reload, Caddy goes
// on serving the admin routes of the configuration that has failed.
type Admin struct{}

// CaddyModule returns the Caddy module information.
func (Admin) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "admin.api.callbacks",
		New: func() caddy.Module { return new(Admin) },
	}
}

// Routes returns the routes of the API.
func (Admin) Routes() []caddy.AdminRoute {
	handler := caddy.AdminHandlerFunc(serveAdmin)
	return []caddy.AdminRoute{{Pattern: Path, Handler: handler}, {Pattern: Path + "/", Handler: handler}}
}

func serveAdmin(w http.ResponseWriter, r *http.Request) error {
	q := &request{w: w, r: r, at: parsePath(r.URL.EscapedPath()), scope: "admin", desk: desk.Desk{By: "admin endpoint"}}
	m, err := q.admit()
	if err != nil {
		answer.ProblemOf(err).Write(w)
		return nil
	}
	if q.desk.Runtime, q.app = app.Newest(); q.desk.Runtime == nil {
		problem.NotConfigured.Write(w)
		return nil
	}
	defer q.desk.Runtime.Release()
	q.serve(m)
	return nil
}

// Interface guard
var _ caddy.AdminRouter = (*Admin)(nil)
