// Package dashboard is the directive callback_dashboard: pages on which operators see what
// waits, why and since when, and act on it. What they find and do is the desk's.
//
// All links are relative, so that the pages can be mounted at any path. They work without a
// script. What partners and clients have sent is shown as text.
package dashboard

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"unicode/utf8"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"

	"github.com/caddy-callback/caddy-callback/module/answer"
	"github.com/caddy-callback/caddy-callback/module/app"
	"github.com/caddy-callback/caddy-callback/module/problem"
)

func init() {
	caddy.RegisterModule(new(Dashboard))
}

// Whether bodies are shown together with their callback.
const (
	bodiesHide = "hide"
	bodiesShow = "show"
)

// DefaultTitle is the title of pages where none is given.
const DefaultTitle = "Callbacks"

// maxTitle bounds the title, in characters.
const maxTitle = 80

// Dashboard serves pages for operators. It answers every request that comes to it.
type Dashboard struct {
	// KeyOff serves requests without a key: everybody who can reach the pages sees all
	// callbacks and can act on them. Default: false; whoever comes shows the name and the
	// secret of a named key (HTTP Basic), which needs the permission read to see, and manage
	// to act.
	KeyOff bool `json:"key_off,omitempty"`

	// Bodies says whether the page of a callback has the beginning of its bodies ("show"),
	// or each is fetched by itself when somebody asks for it ("hide"). Default: hide.
	Bodies string `json:"bodies,omitempty"`

	// Title stands at the top of all pages, for example to tell installations apart. At most
	// 80 characters. Default: Callbacks.
	Title string `json:"title,omitempty"`

	app *app.App
	ctx caddy.Context

	reports reports
	checks  checks
	// described returns the directives of the configuration.
	described func() []directive
}

// CaddyModule returns the Caddy module information.
func (*Dashboard) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "http.handlers.callback_dashboard",
		New: func() caddy.Module { return new(Dashboard) },
	}
}

// Provision finds the app.
func (d *Dashboard) Provision(ctx caddy.Context) (err error) {
	d.ctx = ctx
	if d.app, err = app.Of(ctx); err != nil {
		return err
	}
	if err := d.Check(d.app.Keys); err != nil {
		return fmt.Errorf("callback_dashboard: %w", err)
	}
	// They are complete when somebody asks for them.
	d.described = sync.OnceValue(d.directives)
	return nil
}

// CheckOptions makes sure that the options are valid by themselves. Errors begin with the option.
func (d *Dashboard) CheckOptions() error {
	switch {
	case d.Bodies != "" && d.Bodies != bodiesHide && d.Bodies != bodiesShow:
		return fmt.Errorf("bodies: %q is not known; write hide or show", d.Bodies)
	case utf8.RuneCountInString(d.Title) > maxTitle:
		return fmt.Errorf("title: it is longer than %d characters", maxTitle)
	}
	return nil
}

// Check makes sure that the options are valid, and that somebody can see the pages: with one
// of the keys, or without a key.
func (d *Dashboard) Check(keys []app.Key) error {
	if err := d.CheckOptions(); err != nil {
		return err
	}
	reads := func(k app.Key) bool { return slices.Contains(k.Permissions, app.PermissionRead) }
	if !d.KeyOff && !slices.ContainsFunc(keys, reads) {
		return errors.New("no key may read callbacks; add one to the global callback option, as in: key operator {env.OPERATOR_KEY} read manage; or, where nobody but operators can reach the pages, write: key off")
	}
	return nil
}

// ServeHTTP serves the pages.
func (d *Dashboard) ServeHTTP(w http.ResponseWriter, r *http.Request, _ caddyhttp.Handler) error {
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	h.Set("Referrer-Policy", referrers)
	v := &visit{d: d, w: w, r: r, at: parsePath(r.URL.Path)}
	if err := v.serve(); err != nil {
		v.fail(err)
	}
	return nil
}

// referrers is the policy of the pages: browsers tell where a form comes from, but only to
// ourselves.
const referrers = "same-origin"

// visit is a request for a page.
type visit struct {
	d  *Dashboard
	w  http.ResponseWriter
	r  *http.Request
	at location
	// visitor is who has made the request; nil as long as that is not known.
	visitor *visitor
	rt      *app.Runtime
}

// serve answers the request. Its errors are answered with a problem.
func (v *visit) serve() (err error) {
	if answer.TooEarly(v.r) {
		return problem.TooEarly
	}
	if v.visitor, err = v.d.admit(v.r); err != nil {
		return err
	}
	serve, err := v.at.method(v.r.Method)
	if err != nil {
		return err
	}
	if v.rt, err = v.d.app.Use(v.r.Context()); err != nil {
		return problem.StoreUnavailable
	}
	defer v.rt.Release()
	return serve(v)
}

// fail answers with an error. Errors that are no problems themselves are logged.
func (v *visit) fail(err error) {
	answer.LeaveUnread(v.w, v.r)
	p := problemOf(err)
	var known problem.Problem
	if v.rt != nil && !errors.As(err, &known) && p.Slug != problem.UnknownCallback.Slug {
		v.rt.Engine.Refused(err, zap.String("request", "dashboard"))
	}
	v.writeProblem(p)
}

// Interface guards
var (
	_ caddy.Provisioner           = (*Dashboard)(nil)
	_ caddyhttp.MiddlewareHandler = (*Dashboard)(nil)
)
