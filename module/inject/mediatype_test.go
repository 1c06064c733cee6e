package inject_test

import (
	"testing"

	"github.com/caddy-callback/caddy-callback/module/inject"
)

func TestContentTypes(t *testing.T) {
	for _, c := range []struct {
		contentType string
		json, form  bool
	}{
		{"application/json", true, false},
		{"Application/JSON", true, false},
		{"text/json", true, false},
		{"application/problem+json", true, false},
		{"application/vnd.api+json; charset=utf-8; v=1", true, false},
		{`application/json; charset="UTF-8"`, true, false},
		{"application/json;charset=utf8", true, false},
		{"application/json; charset=utf-16", false, false},
		{"application/json; charset=iso-8859-1", false, false},
		{"application/json; charset=utf-8; charset=utf-16", false, false},
		{"application/json, text/plain", false, false},
		{"application/jsonp", false, false},
		{"application/json-seq", false, false},
		{"thing+json", false, false},
		{"text/plain", false, false},
		{"", false, false},
		{"application/x-www-form-urlencoded", false, true},
		{"application/X-WWW-Form-Urlencoded; charset=utf-8", false, true},
		{"multipart/form-data; boundary=x", false, true},
		{"Multipart/Form-Data", false, true},
		{"multipart/mixed; boundary=x", false, false},
	} {
		if got := inject.IsJSON(c.contentType); got != c.json {
			t.Errorf("IsJSON(%q) = %v", c.contentType, got)
		}
		if got := inject.IsForm(c.contentType); got != c.form {
			t.Errorf("IsForm(%q) = %v", c.contentType, got)
		}
	}
}
