package server

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/caddy-callback/caddy-callback/module/app"
)

func TestRequestLeadsBackToItself(t *testing.T) {
	t.Parallel()
	for target, want := range map[string]string{
		"/cb/a": "a", "/cb/a/": "./", "/cbq/state?state=a": "state?state=a", "/cb/a?api_key=k": "a?api_key=k", "/cb/a/?x": "./?x",
	} {
		r := httptest.NewRequest(http.MethodPost, "http://app.test"+target, nil)
		if got := itself(r); got != want {
			t.Errorf("%s: %q, want %q", target, got, want)
		}
		if back, err := r.URL.Parse(itself(r)); err != nil || back.String() != r.URL.String() {
			t.Errorf("%s leads to %v, %v", target, back, err)
		}
	}
}

func TestServerKnowsItsNames(t *testing.T) {
	t.Parallel()
	a := new(app.App)
	a.ServeOnlyHere([]string{"gate"})
	for _, test := range []struct {
		names        []string
		name         string
		serve, shown bool
	}{
		{nil, "other", true, true}, {nil, "", true, true}, {nil, "gate", false, true},
		{[]string{"gate"}, "gate", true, true}, {[]string{"gate"}, "other", false, false}, {[]string{"gate"}, "", false, false},
	} {
		s := &Server{Names: test.names, app: a}
		if s.serves(test.name) != test.serve || s.shows(test.name) != test.shown {
			t.Errorf("%+v", test)
		}
	}
}

// Without what guards the site, nobody says who somebody is.
func TestUserIsUnknownOutsideOfCaddy(t *testing.T) {
	t.Parallel()
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	for _, s := range []*Server{{}, {User: "{http.request.header.Remote-User}"}} {
		if user := s.userOf(r); user != "" {
			t.Errorf("%+v: %q", s, user)
		}
	}
}
