package routes_test

import (
	"encoding/json"
	"net/http"
	"slices"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"

	"github.com/caddy-callback/caddy-callback/module/routes"
)

// leaf is a handler with a name and with blocks in fields of several kinds.
type leaf struct {
	Name   string
	Block  caddyhttp.RouteList
	ByName map[string]*caddyhttp.Route
	Self   *leaf
	hidden caddyhttp.RouteList
}

func (*leaf) ServeHTTP(http.ResponseWriter, *http.Request, caddyhttp.Handler) error { return nil }

func route(handlers ...caddyhttp.MiddlewareHandler) caddyhttp.Route {
	return caddyhttp.Route{Handlers: handlers}
}

func named(name string) *leaf { return &leaf{Name: name} }

// visited returns the names of the handlers in the order of a walk, and for each the names
// of those that a request can have passed before.
func visited(server *caddyhttp.Server) (order []string, before map[string][]string) {
	before = make(map[string][]string)
	routes.Walk(server, func(p *routes.Place) {
		l, ok := p.Handler.(*leaf)
		if !ok {
			return
		}
		order = append(order, l.Name)
		for b := range p.Before {
			if passed, ok := b.Handler.(*leaf); ok {
				before[l.Name] = append(before[l.Name], passed.Name)
			}
		}
	})
	return order, before
}

func TestWalkFollowsTheConfiguration(t *testing.T) {
	t.Parallel()
	block := named("block")
	block.Self = block
	block.Block = caddyhttp.RouteList{route(named("in block"))}
	block.hidden = caddyhttp.RouteList{route(named("hidden"))}
	inB, inA := route(named("in b")), route(named("in a"))
	block.ByName = map[string]*caddyhttp.Route{"b": &inB, "a": &inA}
	shop := route(named("shop"))
	server := &caddyhttp.Server{
		Routes: caddyhttp.RouteList{
			route(named("first"), named("second")),
			route(&caddyhttp.Subroute{Routes: caddyhttp.RouteList{route(named("inside"))}}),
			route(block),
			route(&reverseproxy.Handler{HandleResponse: []caddyhttp.ResponseHandler{{Routes: caddyhttp.RouteList{route(named("response"))}}}}),
			route(named("last")),
		},
		Errors:      &caddyhttp.HTTPErrorConfig{Routes: caddyhttp.RouteList{route(named("error"))}},
		NamedRoutes: map[string]*caddyhttp.Route{"shop": &shop},
	}
	order, before := visited(server)
	want := []string{"first", "second", "inside", "block", "in block", "in a", "in b", "response", "last", "error", "shop"}
	if !slices.Equal(order, want) {
		t.Errorf("the order is %q, want %q", order, want)
	}
	for name, want := range map[string][]string{
		"first":    nil,
		"inside":   {"second", "first"},
		"in block": {"block", "inside", "second", "first"},
		"last":     {"block", "inside", "second", "first"},
		"error":    nil,
		"shop":     nil,
	} {
		if !slices.Equal(before[name], want) {
			t.Errorf("before %s a request passes %q, want %q", name, before[name], want)
		}
	}
}

func TestRequestPassesOneRouteOfAGroupAndNothingAfterATerminalOne(t *testing.T) {
	t.Parallel()
	server := &caddyhttp.Server{Routes: caddyhttp.RouteList{
		{Handlers: []caddyhttp.MiddlewareHandler{named("terminal")}, Terminal: true},
		{Handlers: []caddyhttp.MiddlewareHandler{named("one")}, Group: "g"},
		{Handlers: []caddyhttp.MiddlewareHandler{named("other")}, Group: "g"},
		route(named("last")),
	}}
	_, before := visited(server)
	if got := before["one"]; got != nil {
		t.Errorf("before one: %q", got)
	}
	if got := before["other"]; got != nil {
		t.Errorf("before other: %q", got)
	}
	if got := before["last"]; !slices.Equal(got, []string{"other", "one"}) {
		t.Errorf("before last: %q", got)
	}
}

// TestWalkFindsHandlersThatCaddyProvisions walks through routes as Caddy loads them.
func TestWalkFindsHandlersThatCaddyProvisions(t *testing.T) {
	t.Parallel()
	ctx, cancel := caddy.NewContext(caddy.Context{Context: t.Context()})
	defer cancel()
	var list caddyhttp.RouteList
	config := `[{"handle":[{"handler":"subroute","routes":[{"handle":[{"handler":"static_response"}]}]}]}]`
	if err := json.Unmarshal([]byte(config), &list); err != nil {
		t.Fatal(err)
	}
	if err := list.Provision(ctx); err != nil {
		t.Fatal(err)
	}
	found := 0
	routes.Walk(&caddyhttp.Server{Routes: list}, func(p *routes.Place) {
		if _, ok := p.Handler.(*caddyhttp.StaticResponse); ok && p.Parent != nil {
			found++
		}
	})
	if found != 1 {
		t.Errorf("found %d times", found)
	}
}

func TestPlaceTellsItsRouteAndWhenMoreCanHaveComeBefore(t *testing.T) {
	t.Parallel()
	shop := route(named("shop"))
	inner := &caddyhttp.Subroute{
		Routes: caddyhttp.RouteList{route(named("first"), named("second"))},
		Errors: &caddyhttp.HTTPErrorConfig{Routes: caddyhttp.RouteList{route(named("inner error"))}},
	}
	server := &caddyhttp.Server{
		Routes:      caddyhttp.RouteList{route(inner), route(named("last"))},
		Errors:      &caddyhttp.HTTPErrorConfig{Routes: caddyhttp.RouteList{route(named("error"))}},
		NamedRoutes: map[string]*caddyhttp.Route{"shop": &shop},
	}
	places := make(map[string]*routes.Place)
	routes.Walk(server, func(p *routes.Place) {
		if l, ok := p.Handler.(*leaf); ok {
			places[l.Name] = p
		}
	})
	for name, aside := range map[string]bool{"first": false, "second": false, "inner error": true, "last": false, "error": true, "shop": true} {
		if got := places[name].Aside; got != aside {
			t.Errorf("%s stands aside: %t", name, got)
		}
		if got := places[name].First; got != (name != "second") {
			t.Errorf("%s is the first of its route: %t", name, got)
		}
	}
	for name, in := range map[string]bool{"first": true, "inner error": true, "last": false} {
		if got := places[name].In(&server.Routes[0]); got != in {
			t.Errorf("%s is in the first route: %t", name, got)
		}
	}
	if !places["second"].In(&inner.Routes[0]) || places["second"].In(&server.Routes[1]) {
		t.Error("the second handler is not in its own route, or in another")
	}
}
