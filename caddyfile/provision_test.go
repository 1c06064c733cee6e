package caddyfile

import (
	"encoding/json"
	"testing"

	"github.com/caddyserver/caddy/v2"
)

// provision loads the plugin's modules of a configuration, as the server does
// before it starts.
func provision(t *testing.T, config string) {
	t.Helper()
	var c struct {
		Apps struct {
			Callback json.RawMessage `json:"callback"`
			HTTP     any             `json:"http"`
		} `json:"apps"`
	}
	if err := json.Unmarshal([]byte(config), &c); err != nil {
		t.Fatal(err)
	}
	ctx := newContext(t, c.Apps.Callback)
	for _, handler := range handlers(c.Apps.HTTP) {
		if err := load(ctx, handler); err != nil {
			t.Error(err)
		}
	}
}

// newContext returns a context with the app, whose configuration may be nil.
func newContext(t testing.TB, app json.RawMessage) caddy.Context {
	t.Helper()
	config := &caddy.Config{AppsRaw: caddy.ModuleMap{}}
	base, err := caddy.ProvisionContext(config)
	if err != nil {
		t.Fatal(err)
	}
	if app != nil {
		config.AppsRaw["callback"] = app
	}
	ctx, cancel := caddy.NewContext(base)
	t.Cleanup(cancel)
	if _, err := ctx.App("callback"); err != nil {
		t.Fatal(err)
	}
	return ctx
}

// load provisions a handler and cleans it up again.
func load(base caddy.Context, handler map[string]any) error {
	ctx, cancel := caddy.NewContext(base)
	defer cancel()
	name := handler["handler"].(string)
	delete(handler, "handler")
	raw, err := json.Marshal(handler)
	if err != nil {
		return err
	}
	_, err = ctx.LoadModuleByID("http.handlers."+name, raw)
	return err
}

// handlers returns the plugin's handlers, wherever they are in a configuration.
func handlers(config any) []map[string]any {
	var found []map[string]any
	switch config := config.(type) {
	case []any:
		for _, element := range config {
			found = append(found, handlers(element)...)
		}
	case map[string]any:
		if name := config["handler"]; name == "callback" || name == "callback_server" || name == "callback_api" {
			return []map[string]any{config}
		}
		for _, member := range config {
			found = append(found, handlers(member)...)
		}
	}
	return found
}
