package hold

import (
	"encoding/json"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-callback/caddy-callback/module/callback"
)

// Of a URL that somebody else gives, path and query alone are used, and only if it names no
// other host.
func TestReferenceIsAPathOfTheHostThatIsAsked(t *testing.T) {
	s := source{hosts: []string{"api.example.com"}}
	base := &url.URL{Path: "/v1/orders/7"}
	for text, want := range map[string]string{
		"/jobs/7":                            "/jobs/7",
		"jobs/7?a=1&b":                       "/v1/orders/jobs/7?a=1&b",
		"?a=1":                               "/v1/orders/7?a=1",
		"../jobs/7":                          "/v1/jobs/7",
		"../../../../jobs/7":                 "/jobs/7",
		"https://api.example.com/jobs/7#top": "/jobs/7",
		"HTTPS://API.EXAMPLE.COM:8443/a%2Fb": "/a%2Fb",
		"//api.example.com/jobs":             "/jobs",
		"https://user:pass@api.example.com/": "/",
		"https://elsewhere.example.com/jobs": "",
		"//elsewhere.example.com/jobs":       "",
		"///elsewhere.example.com/jobs":      "/elsewhere.example.com/jobs",
		"file:///etc/passwd":                 "",
		"javascript:alert(1)":                "",
		"https:jobs":                         "",
		"/jobs/{env.SECRET}":                 "/jobs/%7Benv.SECRET%7D",
		"\x00":                               "",
	} {
		got, err := s.reference(text, base)
		if got != want || (err != nil) != (want == "") {
			t.Errorf("%q: %q, %v, want %q", text, got, err, want)
		}
	}
}

func FuzzReference(f *testing.F) {
	for _, text := range []string{"/jobs/7", "https://api.example.com/a?b", "//elsewhere/a", "\\\\elsewhere\\a", "http:///a", "/a\r\nHost: b", "/%2e%2e/a"} {
		f.Add(text)
	}
	s := source{hosts: []string{"api.example.com"}}
	f.Fuzz(func(t *testing.T, text string) {
		to, err := s.reference(text, &url.URL{Path: "/v1/orders"})
		if err != nil {
			return
		}
		u, err := url.ParseRequestURI(to)
		switch {
		case err != nil || u.Host != "" || u.Scheme != "" || !strings.HasPrefix(to, "/"):
			t.Errorf("%q has become %q", text, to)
		case strings.ContainsFunc(to, func(c rune) bool { return c <= ' ' || c == 0x7f }):
			t.Errorf("%q has become %q, with a character that no request line can hold", text, to)
		case strings.ContainsAny(u.EscapedPath(), "{}"):
			t.Errorf("%q has become %q, with a placeholder", text, to)
		}
	})
}

func TestTargetEscapesWhatItPutsIn(t *testing.T) {
	r := &callback.Record{CorrelationID: "a/b?c=d&e#f", Name: "jobs"}
	for text, want := range map[target]string{
		"/v1/{http.callback.correlation_id}/x":                         "/v1/a%2Fb%3Fc=d&e%23f/x",
		"/v1?id={http.callback.correlation_id}&n={http.callback.name}": "/v1?id=a%2Fb%3Fc%3Dd%26e%23f&n=jobs",
	} {
		if got, err := text.of(r); err != nil || got != want {
			t.Errorf("%s: %s, want %s", text, got, want)
		}
	}
}

func TestHostsOfProxiesAreFound(t *testing.T) {
	raw := `{"handler":"subroute","routes":[{"handle":[{"handler":"headers"},{"handler":"reverse_proxy","upstreams":[{"dial":"API.example.com:443"},{"dial":"[::1]:80"},{"dial":"unix//a"}]}]}]}`
	got := hostsOf(caddyhttp.RouteList{{HandlersRaw: []json.RawMessage{[]byte(raw)}}})
	if slices.Sort(got); !slices.Equal(got, []string{"::1", "api.example.com"}) {
		t.Errorf("got %v", got)
	}
}
