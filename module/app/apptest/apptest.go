// Package apptest sets up what tests of directives need: a context with the app in it,
// and an engine.
package apptest

import (
	"encoding/json"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"go.uber.org/zap"

	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/engine"
	_ "github.com/caddy-callback/caddy-callback/module/store/badger" // The default store.
	"github.com/caddy-callback/caddy-callback/module/store/storetest"
)

// BaseConfig is the configuration of an app that directives can be provisioned with.
const BaseConfig = `{"base_url":"https://app.example.com"}`

// NewContext returns a context in which the app has the given configuration. If that is
// empty, the app is not configured.
func NewContext(tb testing.TB, app string) caddy.Context {
	tb.Helper()
	config := &caddy.Config{AppsRaw: caddy.ModuleMap{}}
	base, err := caddy.ProvisionContext(config)
	if err != nil {
		tb.Fatal(err)
	}
	if app != "" {
		config.AppsRaw["callback"] = json.RawMessage(app)
	}
	ctx, cancel := caddy.NewContext(base)
	tb.Cleanup(cancel)
	return ctx
}

// NewEngine returns an engine on a store in memory.
func NewEngine(tb testing.TB) *engine.Engine {
	tb.Helper()
	limits := engine.Limits{MaxMemory: 1 << 20, MaxBody: 1 << 20, MaxWaiting: 100, MaxHeld: 100}
	e := engine.New(storetest.NewMemory().Open(), limits, zap.NewNop(), unobserved{})
	tb.Cleanup(func() {
		if err := e.Close(); err != nil {
			tb.Error(err)
		}
	})
	return e
}

// unobserved is an observer that does nothing.
type unobserved struct{}

// Observe implements engine.Observer.
func (unobserved) Observe(engine.Transition, *callback.Record, bool) {}

// Unmatched implements engine.Observer.
func (unobserved) Unmatched() {}
