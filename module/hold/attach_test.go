package hold

import (
	"net/http/httptest"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-callback/caddy-callback/module/answer"
	"github.com/caddy-callback/caddy-callback/module/app"
	"github.com/caddy-callback/caddy-callback/module/app/apptest"
	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/engine"
)

// TestKeyOf01BelongsToTheDirectiveThatMadeTheCallback makes a callback as version 0.1 did,
// whose key does not say which directive made it.
func TestKeyOf01BelongsToTheDirectiveThatMadeTheCallback(t *testing.T) {
	e := apptest.NewEngine(t)
	handler := func(config string) *Handler {
		h, err := newHandler(apptest.NewContext(t, apptest.BaseConfig), config)
		if err != nil {
			t.Fatal(err)
		}
		return h
	}
	const plain, named, other = `{"mode":"hold"}`, `{"mode":"hold","name":"orders"}`, `{"mode":"hold","use_body":false}`
	for name, c := range map[string]struct {
		made, asks string
		found      bool
	}{
		"the same policy":                  {plain, plain, true},
		"another policy":                   {other, plain, false},
		"the same name":                    {named, named, true},
		"the same policy and no name here": {named, plain, false},
		"a name and the same policy":       {plain, named, false},
		"the same name, another policy":    {`{"mode":"hold","name":"orders","use_body":false}`, named, true},
	} {
		maker, asker := handler(c.made), handler(c.asks)
		r := httptest.NewRequest("POST", "http://app.test/orders", nil)
		r.Header.Set(callback.IdempotencyKey, name)
		r = caddyhttp.PrepareRequest(r, caddy.NewReplacer(), httptest.NewRecorder(), new(caddyhttp.Server))
		x := &exchange{h: asker, rt: &app.Runtime{Engine: e}, r: r, request: &outgoing{h: asker}}
		var err error
		if x.retry, err = x.retryKeyOf(); err != nil {
			t.Fatal(err)
		}
		cb, err := e.Create(t.Context(), engine.Spec{Policy: maker.policy, Spec: callback.Spec{
			Name: maker.Name, ExpiresIn: time.Minute, Idempotency: callback.IdempotencyAlias(answer.Scope(r, app.User(r)), name),
		}})
		if err != nil {
			t.Fatal(err)
		}
		found, err := x.findOld()
		if err != nil || (found != nil) != c.found || found != nil && found.ID != cb.ID {
			t.Errorf("%s: found %v, error %v", name, found, err)
		}
		// A directive that the request has passed before has made its own callback.
		x.callback = cb
		x.setPlaceholders()
		if found, err := x.findOld(); err != nil || found != nil {
			t.Errorf("%s, passed before: found %v, error %v", name, found, err)
		}
	}
}

func TestRequestThatPassesADirectiveTwiceHasTwoKeys(t *testing.T) {
	h, err := newHandler(apptest.NewContext(t, apptest.BaseConfig), `{"mode":"hold"}`)
	if err != nil {
		t.Fatal(err)
	}
	r := httptest.NewRequest("POST", "http://app.test/orders", nil)
	r = caddyhttp.PrepareRequest(r, caddy.NewReplacer(), httptest.NewRecorder(), new(caddyhttp.Server))
	e := apptest.NewEngine(t)
	for step, s := range map[string]*step{"a request": nil, "a step": {parent: callback.NewUUID()}} {
		keys := make(map[callback.Digest]bool)
		r := r.WithContext(r.Context())
		r.Header.Set(callback.IdempotencyKey, step)
		for range 3 {
			cb, err := e.Create(t.Context(), engine.Spec{Policy: h.policy, Spec: callback.Spec{ExpiresIn: time.Minute}})
			if err != nil {
				t.Fatal(err)
			}
			x := &exchange{h: h, rt: &app.Runtime{Engine: e}, r: r, request: &outgoing{h: h}, step: s, callback: cb}
			retry, err := x.retryKeyOf()
			if err != nil {
				t.Fatal(err)
			}
			if keys[retry.Alias] {
				t.Errorf("%s: the key is one that it had before", step)
			}
			keys[retry.Alias] = true
			x.setPlaceholders()
		}
	}
}
