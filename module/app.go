// Package module holds the Caddy modules: the app, the handlers, and what wires
// them to engine and store. It decides nothing about callbacks itself.
package module

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/dustin/go-humanize"
	"go.uber.org/zap"

	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/engine"
	"github.com/caddy-callback/caddy-callback/module/store"
)

func init() {
	caddy.RegisterModule(new(App))
}

// Defaults of the app.
const (
	DefaultMaxBodySize = 10 << 20
	DefaultMaxMemory   = 256 << 20
	DefaultMaxWaiting  = 1_000_000
	DefaultMaxHeld     = 50_000
	DefaultStore       = "badger"
)

// App holds what all callback directives share: where partners reach us, the
// store, and limits. It is there with its defaults where the configuration has no
// "callback" app.
type App struct {
	// BaseURL is where partners reach callback_server, without /cb: scheme, host
	// and, if the directive is mounted deeper, a path. It is never taken from
	// the Host header.
	BaseURL string `json:"base_url,omitempty"`

	// StatusURL is the base of status and result URLs. Default: base_url.
	StatusURL string `json:"status_url,omitempty"`

	// StoreRaw is the store. Default: badger.
	StoreRaw json.RawMessage `json:"store,omitempty" caddy:"namespace=callback.stores inline_key=store"`

	// HeaderPrefix begins the names of the headers that are injected and
	// understood. Default: X-Link-
	HeaderPrefix string `json:"header_prefix,omitempty"`

	// MaxBodySize is the largest body in bytes, of calls and of requests that
	// something is put into. Default: 10 MiB.
	MaxBodySize int64 `json:"max_body_size,omitempty"`

	// MaxMemory bounds the bytes of the bodies that are buffered at once; over
	// it, requests and calls get 503. Default: 256 MiB.
	MaxMemory int64 `json:"max_memory,omitempty"`

	// MaxWaiting bounds the callbacks that wait; over it, requests get 503.
	// Default: 1,000,000.
	MaxWaiting int `json:"max_waiting,omitempty"`

	// MaxHeld bounds the requests that are held at once; over it, requests get
	// 503. Default: 50,000.
	MaxHeld int `json:"max_held,omitempty"`

	// Retain is how long a finished callback can still be read. Default: 24h.
	Retain caddy.Duration `json:"retain,omitempty"`

	opener   store.Opener
	identity string
	log      *zap.Logger

	// ready is closed when rt is set, gone when the app has ended.
	ready chan struct{}
	gone  chan struct{}
	end   sync.Once
	rt    *runtime
}

// CaddyModule returns the Caddy module information.
func (*App) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "callback",
		New: func() caddy.Module { return new(App) },
	}
}

// Provision sets defaults and loads the store's configuration. The store itself is
// opened in Start, so that a configuration can be validated beside a running
// server.
func (a *App) Provision(ctx caddy.Context) error {
	a.log = ctx.Logger()
	a.ready = make(chan struct{})
	a.gone = make(chan struct{})
	a.setDefaults()
	if err := a.check(); err != nil {
		return err
	}
	var loaded any
	var err error
	if a.StoreRaw != nil {
		loaded, err = ctx.LoadModule(a, "StoreRaw")
	} else {
		loaded, err = ctx.LoadModuleByID("callback.stores."+DefaultStore, nil)
	}
	if err != nil {
		return fmt.Errorf("the callback store: %w", err)
	}
	opener, ok := loaded.(store.Opener)
	if !ok {
		return fmt.Errorf("%T is not a callback store", loaded)
	}
	a.opener = opener
	a.identity, err = opener.Identity()
	return err
}

func (a *App) setDefaults() {
	repl := caddy.NewReplacer()
	a.BaseURL = repl.ReplaceKnown(a.BaseURL, "")
	a.StatusURL = repl.ReplaceKnown(a.StatusURL, "")
	if a.HeaderPrefix == "" {
		a.HeaderPrefix = callback.DefaultHeaderPrefix
	}
	if a.MaxBodySize == 0 {
		a.MaxBodySize = DefaultMaxBodySize
	}
	if a.MaxMemory == 0 {
		a.MaxMemory = DefaultMaxMemory
	}
	if a.MaxWaiting == 0 {
		a.MaxWaiting = DefaultMaxWaiting
	}
	if a.MaxHeld == 0 {
		a.MaxHeld = DefaultMaxHeld
	}
	if a.Retain == 0 {
		a.Retain = caddy.Duration(callback.DefaultRetain)
	}
}

func (a *App) check() error {
	for _, u := range []struct{ name, value string }{{"base_url", a.BaseURL}, {"status_url", a.StatusURL}} {
		if u.value == "" {
			continue
		}
		if err := CheckBase(u.value); err != nil {
			return fmt.Errorf("callback: %s: %w", u.name, err)
		}
	}
	if err := CheckPrefix(a.HeaderPrefix); err != nil {
		return fmt.Errorf("callback: header_prefix: %w", err)
	}
	switch {
	case a.MaxBodySize < 0 || a.MaxMemory < 0 || a.MaxWaiting < 0 || a.MaxHeld < 0 || a.Retain < 0:
		return errors.New("callback: a limit is negative")
	case a.MaxBodySize > a.MaxMemory:
		return fmt.Errorf("callback: max_body_size (%s) is over max_memory (%s), so the largest bodies could never be taken",
			humanize.IBytes(uint64(a.MaxBodySize)), humanize.IBytes(uint64(a.MaxMemory)))
	}
	return nil
}

// CheckBase makes sure that text can be the base of URLs that are given out.
func CheckBase(text string) error {
	u, err := url.Parse(text)
	switch {
	case err != nil:
		return fmt.Errorf("%q is not a URL", text)
	case u.Scheme != "http" && u.Scheme != "https":
		return fmt.Errorf("%q must begin with http:// or https://", text)
	case u.Hostname() == "":
		return fmt.Errorf("%q has no host", text)
	case u.User != nil:
		return fmt.Errorf("%q must not hold a user name", u.Redacted())
	case u.RawQuery != "" || u.Fragment != "" || strings.HasSuffix(text, "?") || strings.HasSuffix(text, "#"):
		return fmt.Errorf("%q must end with its path: no query, no fragment", text)
	}
	return nil
}

// CheckPrefix makes sure that text can begin the names of headers.
func CheckPrefix(text string) error {
	for _, c := range []byte(text) {
		letter := 'a' <= c|0x20 && c|0x20 <= 'z'
		digit := '0' <= c && c <= '9'
		if !letter && !digit && c != '-' {
			return fmt.Errorf("%q may hold letters, digits and hyphens only", text)
		}
	}
	if text == "" {
		return errors.New("it is empty")
	}
	return nil
}

// Start opens the store, unless an earlier configuration has it open already.
func (a *App) Start() error {
	rt, err := runtimes.acquire(a.identity, a.log, func(log *zap.Logger) (*engine.Engine, error) {
		s, err := a.opener.Open(log)
		if err != nil {
			return nil, err
		}
		return engine.New(s, a.limits(), log), nil
	})
	if err != nil {
		return fmt.Errorf("callback: %w", err)
	}
	rt.engine.SetLimits(a.limits())
	a.rt = rt
	close(a.ready)
	return nil
}

func (a *App) limits() engine.Limits {
	return engine.Limits{MaxMemory: a.MaxMemory, MaxWaiting: a.MaxWaiting, MaxHeld: a.MaxHeld}
}

// Stop does nothing: requests that are held go on, and Cleanup follows.
func (a *App) Stop() error { return nil }

// Cleanup lets go of the store. Requests of this configuration that are still
// held keep it open until they are answered.
func (a *App) Cleanup() error {
	if a.gone == nil {
		return nil
	}
	a.end.Do(func() {
		close(a.gone)
		if a.rt != nil {
			a.rt.release()
		}
	})
	return nil
}

// errNotRunning is returned to requests that come before or after the app's life.
var errNotRunning = errors.New("the callback app is not running")

// use returns the runtime for one request, which must release it. Requests that
// come before the store is open wait for that.
func (a *App) use(ctx context.Context) (*runtime, error) {
	select {
	case <-a.ready:
	default:
		select {
		case <-a.ready:
		case <-a.gone:
			return nil, errNotRunning
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	if !a.rt.retain() {
		return nil, errNotRunning
	}
	return a.rt, nil
}

// appOf returns the configuration's app, with its defaults if it has none.
func appOf(ctx caddy.Context) (*App, error) {
	app, err := ctx.App("callback")
	if err != nil {
		return nil, err
	}
	return app.(*App), nil
}

// duration returns d, or fallback where it is not set.
func duration(d caddy.Duration, fallback time.Duration) time.Duration {
	if d == 0 {
		return fallback
	}
	return time.Duration(d)
}

// Interface guards
var (
	_ caddy.App          = (*App)(nil)
	_ caddy.Provisioner  = (*App)(nil)
	_ caddy.CleanerUpper = (*App)(nil)
)
