// Package routes walks through the handlers of a server whose configuration is complete:
// it says where each handler stands, and which handlers a request can have passed before.
package routes

import (
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// Place is where a handler stands.
type Place struct {
	// Handler is the handler.
	Handler caddyhttp.MiddlewareHandler
	// Parent is the handler in one of whose blocks this one stands; nil for none.
	Parent *Place
	// Route is the route that the handler is part of, and First says that it is the first
	// handler of it.
	Route *caddyhttp.Route
	First bool
	// Aside says that requests come here from places that Before does not tell: the handler
	// stands in error routes or in a named route.
	Aside  bool
	before *way
}

// way is a handler that a request can have passed, after the rest of its way.
type way struct {
	place *Place
	rest  *way
}

// Before yields the places that a request can have passed before this one, the nearest
// first.
func (p *Place) Before(yield func(*Place) bool) {
	for w := p.before; w != nil; w = w.rest {
		if !yield(w.place) {
			return
		}
	}
}

// In reports whether the place is part of a route, in however many blocks.
func (p *Place) In(route *caddyhttp.Route) bool {
	for ; p != nil; p = p.Parent {
		if p.Route == route {
			return true
		}
	}
	return false
}

// Walk visits all handlers of a server in the order of the configuration: those of its
// routes, of its error routes, and of its named routes, which are sorted by their names.
// A handler is visited before those in its blocks.
//
// Blocks are found in the exported fields of a handler, as those of subroute,
// reverse_proxy and intercept are.
func Walk(server *caddyhttp.Server, visit func(*Place)) {
	w := walker{visit: visit, blocks: make(map[reflect.Type]bool), seen: make(map[uintptr]bool)}
	w.list(server.Routes, nil, nil)
	w.aside = true
	if server.Errors != nil {
		w.list(server.Errors.Routes, nil, nil)
	}
	for _, name := range slices.Sorted(maps.Keys(server.NamedRoutes)) {
		w.route(server.NamedRoutes[name], nil, nil)
	}
}

type walker struct {
	visit func(*Place)
	// blocks says which types can hold routes.
	blocks map[reflect.Type]bool
	// seen has the values that were visited, so that a circle of them ends.
	seen map[uintptr]bool
	// aside is Place.Aside of what is visited.
	aside bool
}

// list visits a list of routes. It returns what a request can have passed when it comes to
// what follows the list.
func (w *walker) list(routes caddyhttp.RouteList, parent *Place, before *way) *way {
	// Of the routes in a group, a request passes only one.
	groups := make(map[string]*way)
	for i := range routes {
		route := &routes[i]
		start := before
		if route.Group != "" {
			if _, seen := groups[route.Group]; !seen {
				groups[route.Group] = before
			}
			start = groups[route.Group]
		}
		end := w.route(route, parent, start)
		switch {
		case route.Terminal:
		case route.Group == "":
			before = end
		default:
			before = join(end, start, before)
		}
	}
	return before
}

// join returns a way that leads over what lies between start and end after before.
func join(end, start, before *way) *way {
	if end == start {
		return before
	}
	return &way{end.place, join(end.rest, start, before)}
}

func (w *walker) route(route *caddyhttp.Route, parent *Place, before *way) *way {
	for i, handler := range route.Handlers {
		before = w.handler(&Place{Handler: handler, Parent: parent, Route: route, First: i == 0, Aside: w.aside, before: before})
	}
	return before
}

// handler visits a handler and those in its blocks. It returns what a request has passed
// after it.
func (w *walker) handler(place *Place) *way {
	w.visit(place)
	passed := &way{place, place.before}
	if subroute, ok := place.Handler.(*caddyhttp.Subroute); ok {
		// What follows a subroute is passed after the handlers in it.
		after := w.list(subroute.Routes, place, passed)
		if subroute.Errors != nil {
			w.aside = true
			w.list(subroute.Errors.Routes, place, passed)
			w.aside = place.Aside
		}
		return after
	}
	w.within(reflect.ValueOf(place.Handler), place)
	return passed
}

var (
	routeType   = reflect.TypeFor[caddyhttp.Route]()
	handlerType = reflect.TypeFor[caddyhttp.MiddlewareHandler]()
)

// within visits the handlers in the blocks of a handler.
func (w *walker) within(v reflect.Value, place *Place) {
	if !w.holdsRoutes(v.Type()) {
		return
	}
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() && !w.seen[v.Pointer()] {
			w.seen[v.Pointer()] = true
			w.within(v.Elem(), place)
		}
	case reflect.Interface:
		if !v.IsNil() {
			alone := caddyhttp.Route{Handlers: []caddyhttp.MiddlewareHandler{v.Interface().(caddyhttp.MiddlewareHandler)}}
			w.route(&alone, place, &way{place, place.before})
		}
	case reflect.Slice, reflect.Array:
		if routes, ok := v.Interface().(caddyhttp.RouteList); ok {
			w.list(routes, place, &way{place, place.before})
			return
		}
		for i := range v.Len() {
			w.within(v.Index(i), place)
		}
	case reflect.Map:
		keys := v.MapKeys()
		slices.SortFunc(keys, func(a, b reflect.Value) int { return strings.Compare(a.String(), b.String()) })
		for _, key := range keys {
			w.within(v.MapIndex(key), place)
		}
	case reflect.Struct:
		if v.Type() == routeType {
			route := v.Interface().(caddyhttp.Route)
			w.route(&route, place, &way{place, place.before})
			return
		}
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				w.within(v.Field(i), place)
			}
		}
	}
}

// holdsRoutes reports whether values of a type can hold routes in what is exported of
// them.
func (w *walker) holdsRoutes(t reflect.Type) bool {
	if t == routeType || t == handlerType {
		return true
	}
	if known, ok := w.blocks[t]; ok {
		return known
	}
	// While a type is looked at, it holds none: so a type that refers to itself ends.
	w.blocks[t] = false
	holds := false
	switch t.Kind() {
	case reflect.Pointer, reflect.Slice, reflect.Array:
		holds = w.holdsRoutes(t.Elem())
	case reflect.Map:
		holds = t.Key().Kind() == reflect.String && w.holdsRoutes(t.Elem())
	case reflect.Struct:
		for i := range t.NumField() {
			if f := t.Field(i); f.IsExported() && w.holdsRoutes(f.Type) {
				holds = true
			}
		}
	}
	w.blocks[t] = holds
	return holds
}
