package app

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddy-callback/caddy-callback/module/store"
)

// configured is what a configuration says of the store.
type configured struct {
	// StoreRaw is the store's own configuration. Default: badger.
	StoreRaw json.RawMessage `json:"store,omitempty" caddy:"namespace=callback.stores inline_key=store"`
}

// Opener returns the store of a configuration in JSON, without anything else of it.
func Opener(config []byte) (store.Opener, error) {
	var c struct {
		Apps struct {
			Callback configured `json:"callback"`
		} `json:"apps"`
	}
	if err := json.Unmarshal(config, &c); err != nil {
		return nil, fmt.Errorf("the configuration: %w", err)
	}
	ctx, cancel := caddy.NewContext(caddy.Context{Context: context.Background()})
	defer cancel()
	return c.Apps.Callback.load(ctx)
}

// load loads the module of the store.
func (c *configured) load(ctx caddy.Context) (store.Opener, error) {
	var loaded any
	var err error
	if c.StoreRaw != nil {
		loaded, err = ctx.LoadModule(c, "StoreRaw")
	} else {
		loaded, err = ctx.LoadModuleByID("callback.stores."+DefaultStore, nil)
	}
	if err != nil {
		return nil, fmt.Errorf("the callback store: %w", err)
	}
	opener, ok := loaded.(store.Opener)
	if !ok {
		return nil, fmt.Errorf("%T is not a callback store", loaded)
	}
	return opener, nil
}
