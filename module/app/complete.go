package app

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-callback/caddy-callback/module/routes"
)

func init() {
	caddy.RegisterModule(Check{})
}

// Check is the handler that checks a configuration when all of it is provisioned. It is
// never written into a configuration: Caddy provisions the named routes of a server after
// its other routes, so each server gets one with this handler while the first directive of
// the plugin is provisioned, and loses it again. Thus "caddy validate" refuses what else
// only the start would.
type Check struct{}

// CaddyModule returns the Caddy module information.
func (Check) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "http.handlers.callback_check",
		New: func() caddy.Module { return new(Check) },
	}
}

// checkRoute is the name of the named route with the handler Check.
const checkRoute = "callback_check"

// watch lets the configuration be checked when all of its servers are provisioned. ctx is
// that of a directive.
func (a *App) watch(ctx caddy.Context) {
	if _, ok := ctx.Value(caddyhttp.ServerCtxKey).(*caddyhttp.Server); !ok || a.watching {
		return
	}
	a.watching = true
	for _, server := range servers(ctx) {
		if server.NamedRoutes == nil {
			server.NamedRoutes = make(map[string]*caddyhttp.Route)
		}
		server.NamedRoutes[checkRoute] = &caddyhttp.Route{HandlersRaw: []json.RawMessage{json.RawMessage(`{"handler":"callback_check"}`)}}
	}
}

// servers returns the servers of the configuration by their names.
func servers(ctx caddy.Context) map[string]*caddyhttp.Server {
	loaded, err := ctx.AppIfConfigured("http")
	if err != nil {
		return nil
	}
	return loaded.(*caddyhttp.App).Servers
}

// Provision checks the configuration, if nothing of it is left to be provisioned. What is
// left can only be further named routes; the start then checks.
func (Check) Provision(ctx caddy.Context) error {
	loaded, err := ctx.App("callback")
	if err != nil {
		return err
	}
	all := servers(ctx)
	for _, server := range all {
		if !provisioned(server) {
			return nil
		}
	}
	return loaded.(*App).checkComplete(all)
}

// ServeHTTP does nothing.
func (Check) ServeHTTP(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	return next.ServeHTTP(w, r)
}

// provisioned reports whether all routes of a server are.
func provisioned(server *caddyhttp.Server) bool {
	left := func(route caddyhttp.Route) bool { return len(route.HandlersRaw) > 0 }
	for name, route := range server.NamedRoutes {
		if name != checkRoute && left(*route) {
			return false
		}
	}
	return !slices.ContainsFunc(server.Routes, left) &&
		(server.Errors == nil || !slices.ContainsFunc(server.Errors.Routes, left))
}

// Inspector is a directive that checks what stands around it.
type Inspector interface {
	// Inspect is called when the configuration is complete, with the directive's own place
	// and all places of its server.
	Inspect(own *routes.Place, all []*routes.Place) error
}

// WhenComplete adds a check that runs when the configuration is complete: by then, the base
// URLs and names of all directives are known.
func (a *App) WhenComplete(check func() error) { a.whenComplete = append(a.whenComplete, check) }

// AwaitCalls notes that a directive awaits calls. What says which one.
func (a *App) AwaitCalls(what string) { a.awaiting = cmp.Or(a.awaiting, what) }

// TakeCalls notes that there is a callback_server.
func (a *App) TakeCalls() { a.taken = true }

// ServeOnlyHere notes that callbacks with these names are called at one callback_server alone.
// There must be directives with the names, or keys that give them; what other processes have
// that use the store, nobody knows.
func (a *App) ServeOnlyHere(names []string) {
	for _, name := range names {
		if a.servedElsewhere == nil {
			a.servedElsewhere = make(map[string]bool)
		}
		a.servedElsewhere[name] = true
	}
	a.WhenComplete(func() error {
		for _, name := range names {
			if !a.names.given[name] && !a.givesName(name) && !a.shared {
				return fmt.Errorf("callback_server: names: %w", noDirective(name, a.names.given))
			}
		}
		return nil
	})
}

// givesName reports whether a key gives its name to the callbacks that are made with it.
func (a *App) givesName(name string) bool {
	return slices.ContainsFunc(a.Keys, func(k Key) bool {
		return slices.Contains(k.Permissions, PermissionCreate) && slices.Contains(k.For, name)
	})
}

// ServedElsewhere reports whether callbacks with that name are called at a callback_server that
// names them.
func (a *App) ServedElsewhere(name string) bool { return a.servedElsewhere[name] }

// AllowActiveContent notes that a callback_server lets replies act on the whole site.
func (a *App) AllowActiveContent() { a.activeContent = true }

// ActiveContent reports whether a callback_server lets replies act on the whole site.
func (a *App) ActiveContent() bool { return a.activeContent }

// AskBelow notes below which path callers of the API may have the app asked; empty for any. It
// is an error if two directives that ask say different paths.
func (a *App) AskBelow(prefix string) error {
	if a.asksBelow != nil && *a.asksBelow != prefix {
		return fmt.Errorf("one callback_server asks below %q, another below %q; callers of the API could not know which one asks for them", *a.asksBelow, prefix)
	}
	a.asksBelow = &prefix
	return nil
}

// AsksBelow returns below which path callers of the API may have the app asked; empty for
// any.
func (a *App) AsksBelow() string {
	if a.asksBelow == nil {
		return ""
	}
	return *a.asksBelow
}

// checkTaken makes sure that somebody takes the calls that are awaited. With a store that
// other processes use, that can be one of them.
func (a *App) checkTaken() error {
	if a.awaiting == "" || a.taken || a.shared {
		return nil
	}
	return fmt.Errorf("%s awaits calls, and no site has a callback_server that takes them; add it to the site that partners reach at base_url", a.awaiting)
}

// checkComplete checks a configuration of which everything is provisioned, once.
func (a *App) checkComplete(all map[string]*caddyhttp.Server) error {
	if a.checked {
		return nil
	}
	a.checked = true
	if err := a.names.check(); err != nil {
		return err
	}
	for _, check := range append(a.whenComplete, a.checkTaken) {
		if err := check(); err != nil {
			return err
		}
	}
	for _, name := range slices.Sorted(maps.Keys(all)) {
		delete(all[name].NamedRoutes, checkRoute)
		if err := a.inspect(all[name]); err != nil {
			return err
		}
	}
	return nil
}

// inspect checks the places of a server.
func (a *App) inspect(server *caddyhttp.Server) error {
	var all []*routes.Place
	routes.Walk(server, func(at *routes.Place) { all = append(all, at) })
	m := mentions{names: a.names.given, within: make(map[*routes.Place]bool)}
	for _, at := range all {
		if err := m.check(at); err != nil {
			return err
		}
		if i, ok := at.Handler.(Inspector); ok {
			if err := i.Inspect(at, all); err != nil {
				return err
			}
		}
	}
	return nil
}

// Interface guards
var (
	_ caddy.Provisioner           = Check{}
	_ caddyhttp.MiddlewareHandler = Check{}
)
