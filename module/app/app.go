// Package app is the Caddy app. It holds what all directives of a configuration share
// (keys, deliveries, events), and what outlives configurations: the engine of each store,
// the worker that does background work, and metrics.
package app

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/dustin/go-humanize"
	"go.uber.org/zap"

	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/config"
	"github.com/caddy-callback/caddy-callback/module/deliver"
	"github.com/caddy-callback/caddy-callback/module/engine"
	"github.com/caddy-callback/caddy-callback/module/store"
)

func init() {
	caddy.RegisterModule(new(App))
}

// Defaults of the app's options. Sizes are in bytes.
const (
	DefaultMaxBodySize = 10 << 20
	DefaultMaxMemory   = 256 << 20
	DefaultMaxWaiting  = 1_000_000
	DefaultMaxHeld     = 50_000
	DefaultConcurrency = 64
	DefaultStore       = "badger"
)

// App holds what all callback directives share: the URL where partners reach Caddy,
// the store, and limits. If the configuration has no "callback" app, one with the
// defaults is used.
type App struct {
	// BaseURL is the URL where partners reach callback_server, without /cb: scheme,
	// host and, if the directive is mounted below a path, that path. It is never
	// taken from the Host header. Default: none.
	BaseURL string `json:"base_url,omitempty"`

	// StatusURL is the base of status and result URLs. Default: base_url.
	StatusURL string `json:"status_url,omitempty"`

	// StoreRaw is the store that keeps the callbacks. Default: badger.
	StoreRaw json.RawMessage `json:"store,omitempty" caddy:"namespace=callback.stores inline_key=store"`

	// HeaderPrefix is the prefix of the wire headers: those that are injected into
	// requests and read from calls. It must end with a hyphen. Default: X-Link-
	HeaderPrefix string `json:"header_prefix,omitempty"`

	// InjectOff leaves out the two headers that every directive injects by default, with the
	// correlation id and the callback URL. Default: false.
	InjectOff bool `json:"inject_off,omitempty"`

	// Keys are the named keys. Default: none.
	Keys []Key `json:"keys,omitempty"`

	// MaxBodySize is how many bytes the body of a call, or of a request whose body
	// something is injected into, may have. Default: 10 MiB.
	MaxBodySize int64 `json:"max_body_size,omitempty"`

	// MaxMemory is how many bytes of bodies may be buffered at once; beyond that,
	// requests and calls get 503. Default: 256 MiB.
	MaxMemory int64 `json:"max_memory,omitempty"`

	// MaxWaiting is how many callbacks may wait at once; beyond that, requests get
	// 503. Default: 1,000,000.
	MaxWaiting int `json:"max_waiting,omitempty"`

	// MaxHeld is how many clients may wait at once for a callback: held requests,
	// and reads that wait for a change. Beyond that, requests get 503. Default:
	// 50,000.
	MaxHeld int `json:"max_held,omitempty"`

	// Concurrency is how many background jobs and deliveries may run at once; the
	// jobs of one directive, the deliveries to one host, or the deliveries of one
	// directive, get at most half of that. Default: 64.
	Concurrency int `json:"concurrency,omitempty"`

	// Deliver holds the delivery rules that apply where a directive gives none of
	// its own. Default: the default of each rule.
	Deliver *DeliveryRules `json:"deliver,omitempty"`

	// Retain is how long a finished callback can still be read. Default: 24h.
	Retain caddy.Duration `json:"retain,omitempty"`

	// RetainBodies is how long the bodies of a finished callback are kept: those of its calls,
	// acks, answers and results. After that it can still be read, but has no result. A body
	// that is to be delivered is kept until that was done or given up. Default: retain.
	RetainBodies caddy.Duration `json:"retain_bodies,omitempty"`

	opener   store.Opener
	identity string
	ctx      caddy.Context
	log      *zap.Logger
	keyRing  keyRing
	// signers are the keys that are shown by signing.
	signers []signer
	events  *events
	// deliverer sends results by the global rules: those of directives without rules of
	// their own, and of callbacks that were made through the API.
	deliverer *Deliverer
	// missing says which secrets of deliveries are missing. A configuration can be validated
	// without them, where they are not at hand, but nothing runs without them.
	missing error
	// bases are our own base URLs: the global ones, and those of all directives.
	bases deliver.Bases
	// whenComplete are checks that need the whole configuration. watching says that they
	// will run when it is provisioned, checked that they have run.
	whenComplete      []func() error
	watching, checked bool
	// awaiting is the first directive that awaits calls, and taken says that there is a
	// callback_server. shared says that other processes can use the store.
	awaiting      string
	taken, shared bool
	// servedElsewhere are the names of the callbacks that a callback_server has for its own.
	servedElsewhere map[string]bool
	// activeContent says that a callback_server lets replies act on the whole site. asksBelow
	// is below which path callers of the API may have the app asked; nil as long as no
	// callback_server has said it.
	activeContent bool
	asksBelow     *string
	// placed are the directives that learn their place when the app starts.
	placed []stands
	// names are the names of all directives, and those that placeholders refer to.
	names names
	// claims are the directives with names.
	claims map[string][]claim
	// directives holds the directives that do background work, by name.
	directives map[string]Directive

	// ready is closed once rt is set, gone once Cleanup has begun.
	ready chan struct{}
	gone  chan struct{}
	end   sync.Once
	rt    *Runtime
	// generation is higher in an app that started later.
	generation uint64
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
	a.ctx, a.log = ctx, ctx.Logger()
	a.ready = make(chan struct{})
	a.gone = make(chan struct{})
	urls := []Text{{"base_url", a.BaseURL}, {"status_url", a.StatusURL}}
	a.setDefaults()
	err := Because(a.checkURLs(), urls...)
	if err = cmp.Or(err, a.Check()); err != nil {
		return fmt.Errorf("callback: %w", err)
	}
	if a.keyRing, err = newKeyRing(a.Keys); err != nil {
		return fmt.Errorf("callback: key: %w", err)
	}
	if a.signers, err = newSigners(a.Keys); err != nil {
		return fmt.Errorf("callback: key: %w", err)
	}
	a.WhenComplete(a.noteKeysFor)
	if err = a.bases.Add(a.BaseURL, a.StatusURL); err != nil {
		return fmt.Errorf("callback: base_url: %w", err)
	}
	if a.deliverer, err = a.NewDeliverer(*a.Deliver, OwnRules{}); err != nil {
		return fmt.Errorf("callback: deliver: %w", err)
	}
	if err = measured().register(ctx.GetMetricsRegistry()); err != nil {
		return fmt.Errorf("callback: metrics: %w", err)
	}
	if a.events, err = newEvents(ctx, a.log); err != nil {
		return fmt.Errorf("callback: events: %w", err)
	}
	if a.opener, err = (&configured{a.StoreRaw}).load(ctx); err != nil {
		return err
	}
	a.shared = caddy.GetModuleID(a.opener) != "callback.stores."+DefaultStore
	if a.identity, err = a.opener.Identity(); err != nil {
		return err
	}
	return a.checkOpen()
}

// checkOpen refuses secrets that the store, if an earlier configuration has it open, could
// not adopt. Here, and not in Start, no other app has opened anything for the configuration.
func (a *App) checkOpen() error {
	adopter, ok := a.opener.(store.Adopter)
	rt := runtimes.find(a.identity)
	if !ok || rt == nil {
		return nil
	}
	defer rt.Release()
	if err := adopter.CanAdopt(rt.store); err != nil {
		return fmt.Errorf("callback: %w", err)
	}
	return nil
}

func (a *App) setDefaults() {
	a.BaseURL = config.Base(Known(a.BaseURL))
	a.StatusURL = config.Base(Known(a.StatusURL))
	a.HeaderPrefix = cmp.Or(a.HeaderPrefix, callback.DefaultHeaderPrefix)
	a.MaxBodySize = cmp.Or(a.MaxBodySize, DefaultMaxBodySize)
	a.MaxMemory = cmp.Or(a.MaxMemory, DefaultMaxMemory)
	a.MaxWaiting = cmp.Or(a.MaxWaiting, DefaultMaxWaiting)
	a.MaxHeld = cmp.Or(a.MaxHeld, DefaultMaxHeld)
	a.Concurrency = cmp.Or(a.Concurrency, DefaultConcurrency)
	if a.Deliver == nil {
		a.Deliver = new(DeliveryRules)
	}
	if a.Retain = cmp.Or(a.Retain, caddy.Duration(callback.DefaultRetain)); a.RetainBodies == a.Retain {
		// Callbacks that are kept alike share a policy.
		a.RetainBodies = 0
	}
}

// Check makes sure that the configuration makes sense on its own. It is called
// while a Caddyfile is parsed and again in Provision. Errors begin with the option.
func (a *App) Check() error {
	if a.HeaderPrefix != "" {
		if err := config.CheckPrefix(a.HeaderPrefix); err != nil {
			return fmt.Errorf("header_prefix: %w", err)
		}
	}
	for _, limit := range []struct {
		name  string
		value int64
	}{
		{"max_body_size", a.MaxBodySize}, {"max_memory", a.MaxMemory}, {"max_waiting", int64(a.MaxWaiting)},
		{"max_held", int64(a.MaxHeld)}, {"concurrency", int64(a.Concurrency)}, {"retain", int64(a.Retain)},
		{"retain_bodies", int64(a.RetainBodies)},
	} {
		if limit.value < 0 {
			return fmt.Errorf("%s is negative; leave it out for the default", limit.name)
		}
	}
	if retain := cmp.Or(a.Retain, caddy.Duration(callback.DefaultRetain)); a.RetainBodies > retain {
		return fmt.Errorf("retain_bodies (%v) is longer than retain (%v), and bodies go with their callback; raise retain or lower retain_bodies", time.Duration(a.RetainBodies), time.Duration(retain))
	}
	if a.Deliver != nil {
		if err := a.Deliver.Check(); err != nil {
			return fmt.Errorf("deliver: %w", err)
		}
	}
	body, memory := cmp.Or(a.MaxBodySize, DefaultMaxBodySize), cmp.Or(a.MaxMemory, DefaultMaxMemory)
	if body > memory {
		return fmt.Errorf("max_body_size (%s) is over max_memory (%s), so that the largest bodies could never be taken; raise max_memory or lower max_body_size",
			humanize.IBytes(uint64(body)), humanize.IBytes(uint64(memory)))
	}
	return nil
}

func (a *App) checkURLs() error { return config.CheckBases(a.BaseURL, a.StatusURL) }

// Start opens the store, unless an earlier configuration has it open already.
func (a *App) Start() error {
	if a.missing != nil {
		return fmt.Errorf("callback: deliver: %w", a.missing)
	}
	if err := a.checkComplete(servers(a.ctx)); err != nil {
		return err
	}
	a.place()
	rt, err := runtimes.acquire(a.identity, a.log, func(log *zap.Logger, o engine.Observer) (store.Store, *engine.Engine, error) {
		s, err := a.opener.Open(log)
		if err != nil {
			return nil, nil, err
		}
		return s, engine.New(s, a.limits(), log, o), nil
	})
	if err != nil {
		return fmt.Errorf("callback: %w", err)
	}
	if err := a.adopt(rt); err != nil {
		if before := rt.current(); before != nil {
			rt.log.swap(before.log)
		}
		rt.Release()
		return fmt.Errorf("callback: %w", err)
	}
	rt.Engine.SetLimits(a.limits())
	a.rt = rt
	rt.started(a)
	if a.events != nil {
		go a.events.run()
	}
	close(a.ready)
	return nil
}

// adopt puts the secrets of this configuration into effect, in a store that may be open since
// an earlier one.
func (a *App) adopt(rt *Runtime) error {
	if adopter, ok := a.opener.(store.Adopter); ok {
		return adopter.Adopt(rt.store)
	}
	return nil
}

func (a *App) limits() engine.Limits {
	return engine.Limits{MaxMemory: a.MaxMemory, MaxBody: a.MaxBodySize, MaxWaiting: a.MaxWaiting, MaxHeld: a.MaxHeld, Concurrency: a.Concurrency}
}

// Stop does nothing: requests that are held go on, and Cleanup follows.
func (a *App) Stop() error { return nil }

// Cleanup releases the store. Requests of this configuration that are still
// held keep it open until they are answered.
func (a *App) Cleanup() error {
	if a.gone == nil {
		return nil
	}
	a.end.Do(func() {
		close(a.gone)
		if a.deliverer != nil {
			a.deliverer.Close()
		}
		if a.rt != nil {
			a.rt.ended(a)
			a.rt.Release()
		}
	})
	return nil
}

// errNotRunning is returned for requests that come when the app has ended, even if it
// never started.
var errNotRunning = errors.New("the callback app is not running")

// Use returns the runtime for one request, which must release it. Requests that
// come before the store is open wait for that.
func (a *App) Use(ctx context.Context) (*Runtime, error) {
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

// Of returns the configuration's app, with its defaults if it has none. ctx is that of a
// directive.
func Of(ctx caddy.Context) (*App, error) {
	app, err := ctx.App("callback")
	if err != nil {
		return nil, err
	}
	a := app.(*App)
	a.watch(ctx)
	return a, nil
}

// Interface guards
var (
	_ caddy.App          = (*App)(nil)
	_ caddy.Provisioner  = (*App)(nil)
	_ caddy.CleanerUpper = (*App)(nil)
)
