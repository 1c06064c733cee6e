package app

import (
	"maps"
	"net/http"
	"slices"
	"testing"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// signpost is a directive with a block.
type signpost struct {
	Block   caddyhttp.RouteList
	place   string
	inBlock int
}

func (*signpost) ServeHTTP(http.ResponseWriter, *http.Request, caddyhttp.Handler) error { return nil }
func (s *signpost) SetPlace(place string, inBlock int)                                  { s.place, s.inBlock = place, inBlock }

func routeTo(handlers ...caddyhttp.MiddlewareHandler) caddyhttp.Route {
	return caddyhttp.Route{Handlers: handlers}
}

// TestPlaceDependsOnTheConfigurationAlone notes the directives in every order in which they
// could be provisioned: their places are always the same.
func TestPlaceDependsOnTheConfigurationAlone(t *testing.T) {
	t.Parallel()
	inner := [3]*signpost{{}, {}, {}}
	outer := &signpost{Block: caddyhttp.RouteList{routeTo(inner[0], inner[1])}}
	first, shop, hidden := &signpost{}, &signpost{}, &signpost{}
	shopRoute := routeTo(shop)
	server := &caddyhttp.Server{
		Routes:      caddyhttp.RouteList{routeTo(first), routeTo(&caddyhttp.Subroute{Routes: caddyhttp.RouteList{routeTo(outer), routeTo(inner[2])}})},
		NamedRoutes: map[string]*caddyhttp.Route{"shop": &shopRoute},
	}
	all := map[*signpost]string{first: "/0", outer: "/1", inner[0]: "/1/0", inner[1]: "/1/1", inner[2]: "/2", shop: "/3", hidden: "elsewhere"}
	for range 20 {
		a := new(App)
		for d := range maps.Keys(all) {
			if d != hidden {
				a.Stands(server, d)
			}
		}
		a.Stands(nil, hidden)
		a.place()
		for d, want := range all {
			if got := d.place; got != want && d != hidden {
				t.Errorf("the place is %q, want %q", got, want)
			}
		}
		places := []string{hidden.place, first.place, outer.place, shop.place}
		slices.Sort(places)
		if len(slices.Compact(places)) != 4 {
			t.Errorf("two directives have one place: %q", places)
		}
	}
	if inner[1].inBlock != 1 || inner[0].inBlock != 0 {
		t.Errorf("in the block they are %d and %d", inner[0].inBlock, inner[1].inBlock)
	}
}

func TestOneNameBelongsToOneDirective(t *testing.T) {
	t.Parallel()
	here, there := new(caddyhttp.Server), new(caddyhttp.Server)
	for name, c := range map[string]struct {
		server *caddyhttp.Server
		name   string
		config any
		taken  bool
	}{
		"another name":                        {here, "other", "a", true},
		"no name":                             {here, "", "a", true},
		"the same on another server":          {there, "orders", "a", true},
		"the same again on the same server":   {here, "orders", "a", false},
		"something else on the same server":   {here, "orders", "b", false},
		"something else under another server": {there, "orders", "b", false},
	} {
		a := new(App)
		if err := a.Claim(here, "orders", "a"); err != nil {
			t.Fatal(err)
		}
		if err := a.Claim(c.server, c.name, c.config); (err == nil) != c.taken {
			t.Errorf("%s: error %v", name, err)
		}
	}
}
