package hold

import (
	"encoding/json"
	"net/url"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-callback/caddy-callback/module/callback"
)

// sourceTo returns a source whose route asks one host, and that allows another.
func sourceTo(t *testing.T) *source {
	t.Helper()
	routes := caddyhttp.RouteList{{HandlersRaw: []json.RawMessage{json.RawMessage(
		`{"handler":"reverse_proxy","upstreams":[{"dial":"API.example.com:443"},{"dial":"[2001:db8::1]:80"},{"dial":"unix//run/app.sock"}]}`)}}}
	return &source{hosts: append(hostsOf(routes), allowed([]string{"Jobs.Example.com"})...)}
}

func TestOfAURLPathAndQueryAloneAreAsked(t *testing.T) {
	t.Parallel()
	s, long := sourceTo(t), strings.Repeat("a", maxTarget)
	for text, want := range map[string]string{
		"/jobs/7?a=1#part":                       "/jobs/7?a=1",
		" /jobs/7 ":                              "/jobs/7",
		"7":                                      "/orders/7",
		"../7":                                   "/7",
		"../../../7":                             "/7",
		"?a=1":                                   "/orders/1?a=1",
		"?":                                      "/orders/1?",
		"":                                       "/orders/1",
		"https://api.example.com":                "/",
		"https://api.example.com:8443/7":         "/7",
		"HTTP://API.EXAMPLE.COM/7":               "/7",
		"https://jobs.example.com/7":             "/7",
		"https://JOBS.example.com/7":             "/7",
		"http://[2001:db8::1]:8080/7":            "/7",
		"https://user:secret@api.example.com/7":  "/7",
		"https://api.example.com@evil.example/":  "",
		"https://evil.example\\@api.example.com": "",
		"//api.example.com/7":                    "/7",
		"//evil.example/7":                       "",
		"///evil.example/7":                      "/evil.example/7",
		"////evil.example/7":                     "/evil.example/7",
		"http:/evil.example/7":                   "/evil.example/7",
		"http:evil.example":                      "",
		"\\\\evil.example\\7":                    "/orders/%5C%5Cevil.example%5C7",
		"/\\evil.example/7":                      "/%5Cevil.example/7",
		"https://api.example.com.evil.example/":  "",
		"https://api.example.com%2eevil/":        "",
		"https://аpi.example.com/":               "",
		"https://[2001:db8::2]/7":                "",
		"http://127.0.0.1/7":                     "",
		"javascript:alert(1)":                    "",
		"file:///etc/passwd":                     "",
		"unix//run/app.sock":                     "/orders/unix//run/app.sock",
		"/a%2f..%2f/%2e%2e/b":                    "/a%2f..%2f/%2e%2e/b",
		"/a/../b/./c":                            "/b/c",
		"/{env.HOME}?k={env.HOME}":               "/%7Benv.HOME%7D?k={env.HOME}",
		"/a b?c d HTTP/1.1":                      "/a%20b?c%20d%20HTTP/1.1",
		"/a?ä=\u2028b":                           "/a?%C3%A4=%E2%80%A8b",
		"/a\r\nHost: evil":                       "",
		"/a%0d%0aHost:%20evil":                   "/a%0d%0aHost:%20evil",
		"/%zz":                                   "",
		"/" + long:                               "",
		"/?" + long:                              "",
	} {
		got, err := s.reference(text, &url.URL{Path: "/orders/1"})
		if got != want || (err == nil) != (want != "") {
			t.Errorf("%.60q asks %.80q, want %q: %v", text, got, want, err)
		}
		if err == nil {
			if _, err := url.ParseRequestURI(got); err != nil {
				t.Errorf("%.60q: %v", text, err)
			}
		}
		if err != nil && strings.Contains(err.Error(), "evil") {
			t.Errorf("%.60q is in the log: %v", text, err)
		}
	}
}

func TestPathIsLedNowhereElseByACorrelationID(t *testing.T) {
	t.Parallel()
	r := &callback.Record{Name: "jobs"}
	for id, want := range map[string]string{
		"7":                    "/jobs/7/result?id=7",
		"a/../b":               "/jobs/a%2F..%2Fb/result?id=a%2F..%2Fb",
		"?a=1&b#c":             "/jobs/%3Fa=1&b%23c/result?id=%3Fa%3D1%26b%23c",
		"%2e%2e":               "/jobs/%252e%252e/result?id=%252e%252e",
		"{http.callback.name}": "/jobs/%7Bhttp.callback.name%7D/result?id=%7Bhttp.callback.name%7D",
		"..":                   "",
		".":                    "",
	} {
		r.CorrelationID = id
		got, err := target("/jobs/{http.callback.correlation_id}/result?id={http.callback.correlation_id}").of(r)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("%s asks %s, want %s: %v", id, got, want, err)
		}
	}
}

func TestTargetIsAPath(t *testing.T) {
	t.Parallel()
	for text, ok := range map[string]bool{
		"/jobs/{http.callback.id}": true, "/": true, "/a?b=c": true, "jobs": false, "https://api.example.com/": false, "/a#b": false,
		"/a b": false, "/a?b c": false, "/a?b\n": false, "/jobs/../{http.callback.id}": false, "/{env.X}": false, "/%zz": false,
	} {
		if err := target(text).check(); (err == nil) != ok {
			t.Errorf("%q: %v", text, err)
		}
	}
}
