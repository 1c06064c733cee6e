package module

import (
	"cmp"
	"net/http"
	"slices"

	"github.com/caddyserver/caddy/v2"
	"go.uber.org/zap"

	"github.com/caddy-callback/caddy-callback/module/problem"
)

func init() {
	caddy.RegisterModule(Admin{})
}

// Admin serves the API at Caddy's admin endpoint, which needs no keys and checks where
// requests come from. It belongs to no configuration: after a reload that has failed,
// Caddy goes on serving the routes of the configuration that never came to be.
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
	return []caddy.AdminRoute{{Pattern: apiPath, Handler: handler}, {Pattern: apiPath + "/", Handler: handler}}
}

func serveAdmin(w http.ResponseWriter, r *http.Request) error {
	request := &apiRequest{w: w, r: r, at: parseAPIPath(r.URL.EscapedPath()), scope: "admin"}
	method, err := request.admit()
	if err != nil {
		problemOf(err).Write(w)
		return nil
	}
	if request.rt, request.app = runtimes.newest(); request.rt == nil {
		problem.NotConfigured.Write(w)
		return nil
	}
	defer request.rt.release()
	request.log = zap.New(request.rt.log)
	method.serve(request)
	return nil
}

// newest returns the runtime of the newest configuration that has started, and that
// configuration's app; nil if there is none. The runtime must be released.
func (rs *registry) newest() (*runtime, *App) {
	rs.mu.Lock()
	var apps []*App
	for _, rt := range rs.open {
		if a := rt.current(); a != nil {
			apps = append(apps, a)
		}
	}
	rs.mu.Unlock()
	slices.SortFunc(apps, func(a, b *App) int { return cmp.Compare(b.generation, a.generation) })
	for _, a := range apps {
		if a.rt.retain() {
			return a.rt, a
		}
	}
	return nil, nil
}

// Interface guard
var _ caddy.AdminRouter = (*Admin)(nil)
