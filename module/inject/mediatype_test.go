package inject_test

import (
	"testing"

	"github.com/caddy-callback/caddy-callback/module/inject"
)

func TestContentTypes(t *testing.T) {
	for _, c := range []struct {
		contentType string
		json, form  bool
		xml         bool
	}{
		{"application/json", true, false, false},
		{"Application/JSON", true, false, false},
		{"text/json", true, false, false},
		{"application/problem+json", true, false, false},
		{"application/vnd.api+json; charset=utf-8; v=1", true, false, false},
		{`application/json; charset="UTF-8"`, true, false, false},
		{"application/json;charset=utf8", true, false, false},
		{"application/json; charset=utf-16", false, false, false},
		{"application/json; charset=iso-8859-1", false, false, false},
		{"application/json; charset=utf-8; charset=utf-16", false, false, false},
		{"application/json, text/plain", false, false, false},
		{"application/jsonp", false, false, false},
		{"application/json-seq", false, false, false},
		{"thing+json", false, false, false},
		{"text/plain", false, false, false},
		{"", false, false, false},
		{"application/x-www-form-urlencoded", false, true, false},
		{"application/X-WWW-Form-Urlencoded; charset=utf-8", false, true, false},
		{"multipart/form-data; boundary=x", false, true, false},
		{"Multipart/Form-Data", false, true, false},
		{"multipart/mixed; boundary=x", false, false, false},
		{"application/xml", false, false, true},
		{"Text/XML; charset=utf-8", false, false, true},
		{`text/xml; charset="US-ASCII"`, false, false, true},
		{"application/soap+xml; action=x", false, false, true},
		{"application/atom+xml", false, false, true},
		{"text/xml; charset=iso-8859-1", false, false, false},
		{"application/xml-dtd", false, false, false},
		{"application/xhtml", false, false, false},
	} {
		if got := inject.IsJSON(c.contentType); got != c.json {
			t.Errorf("IsJSON(%q) = %v", c.contentType, got)
		}
		if got := inject.IsForm(c.contentType); got != c.form {
			t.Errorf("IsForm(%q) = %v", c.contentType, got)
		}
		if got := inject.IsXML(c.contentType); got != c.xml {
			t.Errorf("IsXML(%q) = %v", c.contentType, got)
		}
	}
}
