// Package api is the directive callback_api, and the same API at Caddy's admin endpoint:
// with it, apps and operators make, list, read, resolve and close callbacks.
package api

import (
	"errors"
	"fmt"
	"net/http"
	"slices"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"

	"github.com/caddy-callback/caddy-callback/module/answer"
	"github.com/caddy-callback/caddy-callback/module/app"
	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/desk"
	"github.com/caddy-callback/caddy-callback/module/engine"
	"github.com/caddy-callback/caddy-callback/module/problem"
	"github.com/caddy-callback/caddy-callback/module/store"
)

func init() {
	caddy.RegisterModule(API{})
}

// API lets apps make, list, read, resolve and close callbacks. It serves the path
// /callbacks and all paths below it; other requests go to the handlers that follow.
type API struct {
	// KeyOff serves requests without a key: everybody who can reach the API can use
	// it. Default: false; each request needs a named key with the permission create,
	// read or manage, whichever it takes.
	KeyOff bool `json:"key_off,omitempty"`

	app *app.App
}

// CaddyModule returns the Caddy module information.
func (API) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "http.handlers.callback_api",
		New: func() caddy.Module { return new(API) },
	}
}

// Provision finds the app.
func (a *API) Provision(ctx caddy.Context) (err error) {
	if a.app, err = app.Of(ctx); err != nil {
		return err
	}
	if err := a.Check(a.app.BaseURL, a.app.Keys); err != nil {
		return fmt.Errorf("callback_api: %w", err)
	}
	return nil
}

// Check makes sure that there is a base URL for callbacks, and that the API can be used:
// with at least one of the keys, or without a key.
func (a *API) Check(baseURL string, keys []app.Key) error {
	if baseURL == "" {
		return errors.New("no base_url is given: name the URL under which partners reach callback_server, in the global callback option")
	}
	useful := func(k app.Key) bool {
		return slices.ContainsFunc(k.Permissions, func(p string) bool { return p != app.PermissionSend })
	}
	if !a.KeyOff && !slices.ContainsFunc(keys, useful) {
		return errors.New("no key may create, read or manage callbacks; add one to the global callback option, as in: key app {env.APP_KEY} create read manage; or, where nobody but your apps can reach it, write: key off")
	}
	return nil
}

// ServeHTTP serves the paths of the API.
func (a *API) ServeHTTP(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	at := parsePath(r.URL.EscapedPath())
	if at.resource == ofSite {
		return next.ServeHTTP(w, r)
	}
	w = problem.ForRequest(w, r)
	q := &request{w: w, r: r, at: at, app: a.app}
	m, err := q.admit()
	if err == nil && answer.TooEarly(r) {
		err = problem.TooEarly
	}
	if err == nil && a.KeyOff && answer.FromElsewhere(r) {
		err = problem.CrossSite
	}
	if err == nil {
		err = a.authorize(q, m.permission)
	}
	if err != nil {
		answer.LeaveUnread(w, r)
		answer.ProblemOf(err).Write(w)
		return nil
	}
	if q.desk.Runtime, err = a.app.Use(r.Context()); err != nil {
		problem.StoreUnavailable.Write(w)
		return nil
	}
	defer q.desk.Runtime.Release()
	q.serve(m)
	return nil
}

// authorize makes sure that the request shows a key with that permission, or any key if
// permission is empty. Keys are read from the header only, because URLs are logged.
func (a *API) authorize(q *request, permission string) error {
	if a.KeyOff {
		user := app.User(q.r)
		q.scope, q.desk.By = "api "+answer.Scope(q.r, user), user
		if answer.IsAnonymous(q.r, user) {
			q.oldScope = "api"
		}
		return nil
	}
	shown := app.BearerKeys(q.r.Header)
	caller := a.app.Caller(shown, permission)
	if len(caller.Names) == 0 {
		return answer.KeyProblem(caller)
	}
	q.scope, q.desk.KeyShown = "api\x00"+caller.Names[0], true
	q.limitTo(caller)
	return nil
}

// admit returns the method that serves the request. It refuses requests to unknown paths,
// with methods that the path does not have, and from other sites' pages.
func (a *request) admit() (method, error) {
	h := a.w.Header()
	h.Set("Cache-Control", "no-store")
	h.Set("Referrer-Policy", "no-referrer")
	if a.at.resource == nowhere {
		return method{}, problem.UnknownPath
	}
	m, ok := a.at.resource.method(a.r.Method)
	if !ok {
		return method{}, problem.NotAllowed(a.at.resource.allow())
	}
	if answer.CrossSite(a.r) {
		return method{}, problem.CrossSite
	}
	return m, nil
}

// request is a request to the API, at the directive or at the admin endpoint.
type request struct {
	w   http.ResponseWriter
	r   *http.Request
	at  location
	app *app.App
	// desk is what the client sees and may do.
	desk desk.Desk
	// scope tells the Idempotency-Keys of different clients apart. oldScope is the one that
	// version 0.1 had for clients like this one; empty if it is the same.
	scope    string
	oldScope string
	// name is that of the callbacks that the client makes; empty for none.
	name string
}

// limitTo limits a request to the callbacks that the keys of its client are for.
func (a *request) limitTo(c callback.Caller) {
	if made := c.Only[c.Names[0]]; len(made) > 0 {
		a.name = made[0]
	}
	a.desk.Names, a.desk.By = desk.NamesOf(c), c.Names[0]
}

// engine has the callbacks.
func (a *request) engine() *engine.Engine { return a.desk.Runtime.Engine }

// sees returns store.ErrNotFound if the callback that the path names is none of those that
// there are for the client.
func (a *request) sees() error {
	if !a.at.resource.hasID() {
		return nil
	}
	err := a.desk.Look(a.r.Context(), a.at.id)
	if err != nil {
		answer.LeaveUnread(a.w, a.r)
	}
	return err
}

// serve serves the request by a method. It answers errors with their problems, and logs
// those that are none themselves.
func (a *request) serve(m method) {
	err := a.sees()
	if err == nil {
		err = m.serve(a)
	}
	if err == nil {
		return
	}
	if errors.Is(err, store.ErrNotFound) {
		problem.UnknownCallback.Write(a.w)
		return
	}
	var p problem.Problem
	if !errors.As(err, &p) {
		a.engine().Refused(err, zap.String("request", "API"), zap.Stringer("id", a.at.id))
	}
	answer.ProblemOf(err).Write(a.w)
}

// describe answers with the OpenAPI document.
func (a *request) describe() error {
	a.w.Header().Set("Content-Type", "application/json")
	a.w.Header().Set("X-Content-Type-Options", "nosniff")
	_, _ = a.w.Write(openAPI)
	return nil
}

// Interface guards
var (
	_ caddy.Provisioner           = (*API)(nil)
	_ caddyhttp.MiddlewareHandler = (*API)(nil)
)
