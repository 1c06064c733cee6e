package answer

import (
	"crypto/tls"
	"net/http"
	"net/http/httptest"
	"testing"
)

func TestEarlyDataIsKnown(t *testing.T) {
	t.Parallel()
	begun, complete := &tls.ConnectionState{}, &tls.ConnectionState{HandshakeComplete: true}
	for name, c := range map[string]struct {
		method string
		state  *tls.ConnectionState
		header http.Header
		want   bool
	}{
		"no TLS":                  {http.MethodPost, nil, nil, false},
		"complete":                {http.MethodPost, complete, nil, false},
		"begun":                   {http.MethodPost, begun, nil, true},
		"begun, a read":           {http.MethodGet, begun, nil, false},
		"said by a proxy":         {http.MethodDelete, complete, http.Header{"Early-Data": {"1"}}, true},
		"said by a proxy, a read": {"QUERY", nil, http.Header{"Early-Data": {"1"}}, false},
		"said twice":              {http.MethodPost, nil, http.Header{"Early-Data": {"1, 1"}}, true},
		"in two lines":            {http.MethodPost, nil, http.Header{"Early-Data": {"0", "1"}}, true},
		"another value":           {http.MethodPost, nil, http.Header{"Early-Data": {"0"}}, true},
		"no value":                {http.MethodPost, nil, http.Header{"Early-Data": {""}}, true},
		"another value, a read":   {http.MethodHead, nil, http.Header{"Early-Data": {"true"}}, false},
	} {
		if got := TooEarly(&http.Request{Method: c.method, TLS: c.state, Header: c.header}); got != c.want {
			t.Errorf("%s: %t", name, got)
		}
	}
}

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
		if got := !FromOwnPage(r); got != test.elsewhere {
			t.Errorf("%s: %v", name, got)
		}
	}
}
