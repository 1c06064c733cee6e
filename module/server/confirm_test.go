package server

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/caddy-callback/caddy-callback/module/app"
)

func TestPageOfAnotherSiteIsKnown(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		site, origin string
		elsewhere    bool
	}{
		"program":                {"", "", false},
		"the page itself":        {"same-origin", "null", false},
		"by hand":                {"none", "", false},
		"another site":           {"cross-site", "https://evil.test", true},
		"another site, hidden":   {"cross-site", "", true},
		"a neighbour":            {"same-site", "https://other.app.test", true},
		"old browser":            {"", "https://app.test", false},
		"old browser, elsewhere": {"", "https://evil.test", true},
		"old browser, hidden":    {"", "null", true},
	} {
		r := httptest.NewRequest(http.MethodPost, "https://app.test/cb/x", nil)
		for header, value := range map[string]string{"Sec-Fetch-Site": test.site, "Origin": test.origin} {
			if value != "" {
				r.Header.Set(header, value)
			}
		}
		if got := fromOtherSite(r); got != test.elsewhere {
			t.Errorf("%s: %v", name, got)
		}
	}
}

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
