package app

import (
	"cmp"
	"slices"
	"strconv"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-callback/caddy-callback/module/routes"
)

// Placed is a directive that is known by its place in the configuration, as long as it
// has no name.
type Placed interface {
	caddyhttp.MiddlewareHandler
	// SetPlace tells the directive its place among all directives, and its number among
	// those in the same block. Both are the same in each process with the same
	// configuration.
	SetPlace(place string, inBlock int)
}

// stands is a directive, and the server whose configuration it is part of; nil for none.
type stands struct {
	server    *caddyhttp.Server
	directive Placed
}

// Stands notes a directive, which learns its place when the app starts.
func (a *App) Stands(server *caddyhttp.Server, d Placed) {
	a.placed = append(a.placed, stands{server, d})
}

// place tells all directives their places. Servers are provisioned in any order, so their
// names and the order of their routes count.
func (a *App) place() {
	var servers []*caddyhttp.Server
	for _, s := range a.placed {
		if s.server != nil && !slices.Contains(servers, s.server) {
			servers = append(servers, s.server)
		}
	}
	slices.SortFunc(servers, func(x, y *caddyhttp.Server) int { return cmp.Compare(x.Name(), y.Name()) })
	found := make(map[Placed]bool)
	for _, server := range servers {
		p := placing{server: server.Name(), count: make(map[Placed]int), place: make(map[Placed]string), found: found}
		routes.Walk(server, p.visit)
	}
	// A block that the walk does not know keeps the order of its provisioning.
	for i, s := range a.placed {
		if !found[s.directive] {
			s.directive.SetPlace("elsewhere "+strconv.Itoa(i), i)
		}
	}
}

// placing counts the directives of one server.
type placing struct {
	server string
	// count has the number of directives seen in the blocks of each directive; under nil
	// those that stand in no block of another.
	count map[Placed]int
	place map[Placed]string
	found map[Placed]bool
}

func (p *placing) visit(at *routes.Place) {
	d, ok := at.Handler.(Placed)
	if !ok || p.found[d] {
		return
	}
	var around Placed
	for parent := at.Parent; parent != nil && around == nil; parent = parent.Parent {
		around, _ = parent.Handler.(Placed)
	}
	place, inBlock := cmp.Or(p.place[around], p.server), p.count[around]
	p.count[around]++
	p.place[d] = place + "/" + strconv.Itoa(inBlock)
	p.found[d] = true
	d.SetPlace(p.place[d], inBlock)
}
