package server

import (
	"net/http/httptest"
	"testing"

	"github.com/caddy-callback/caddy-callback/module/callback"
)

func TestWhoIsAPerson(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		method   string
		header   map[string]string
		resource callback.Resource
		person   bool
	}{
		"navigation":                            {"GET", map[string]string{"Sec-Fetch-Mode": "navigate"}, callback.CallPath, true},
		"script":                                {"GET", map[string]string{"Sec-Fetch-Mode": "cors", "Accept": "text/html"}, callback.CallPath, false},
		"HTML among others":                     {"GET", map[string]string{"Accept": "application/xhtml+xml, text/html;q=0.9"}, callback.CallPath, true},
		"anything":                              {"GET", map[string]string{"Accept": "*/*"}, callback.CallPath, false},
		"nothing said":                          {"POST", nil, callback.CallPath, false},
		"form at a URL registered in advance":   {"POST", map[string]string{"Content-Type": "application/x-www-form-urlencoded"}, callback.QueryPath, true},
		"upload at a URL registered in advance": {"POST", map[string]string{"Content-Type": "multipart/form-data; boundary=b"}, callback.QueryPath, true},
		"form at another URL":                   {"POST", map[string]string{"Content-Type": "application/x-www-form-urlencoded"}, callback.CallPath, false},
		"JSON at a URL registered in advance":   {"POST", map[string]string{"Content-Type": "application/json"}, callback.QueryPath, false},
	} {
		r := httptest.NewRequest(c.method, "http://app.test/cb", nil)
		for field, value := range c.header {
			r.Header.Set(field, value)
		}
		if got := isPerson(r, callback.Path{Resource: c.resource}); got != c.person {
			t.Errorf("%s: %v", name, got)
		}
	}
}
