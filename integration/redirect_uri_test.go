package integration

import (
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/caddy-callback/caddy-callback/integration/harness"
)

const formMedia = "application/x-www-form-urlencoded"

// documentedHold returns the options of the callback hold in docs/directives.md that has
// that line.
func documentedHold(t *testing.T, line string) string {
	t.Helper()
	page, err := os.ReadFile(filepath.Join("..", "docs", "directives.md"))
	if err != nil {
		t.Fatal(err)
	}
	for example := range strings.SplitSeq(string(page), "```caddyfile\n") {
		example, _, _ = strings.Cut(example, "```")
		_, options, _ := strings.Cut(example, "callback hold 10m {\n")
		if options, _, _ = strings.Cut(options, "\n}\n"); strings.Contains(options, line) {
			return options
		}
	}
	t.Fatalf("docs/directives.md has no example with %s", line)
	return ""
}

// An OAuth server takes a request only if its redirect URI is, byte for byte, one that is
// registered, and sends the state back as it came (RFC 6749, sections 3.1.2 and 4.1.2). A
// SAML identity provider sends RelayState back, of at most 80 bytes (SAML Bindings, 3.5.3).
func TestServersTakeTheDocumentedExamples(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		line, registered string
		request          url.Values
		redirectURI      string
		state            string
		answer           url.Values
	}{
		"OAuth": {
			"inject form redirect_uri", harness.BaseURL + "/cbq/state", url.Values{"client_id": {"app"}, "response_type": {"code"}, "state": {"the app's own"}},
			"redirect_uri", "state", url.Values{"code": {"SplxlOBeZQQYbYS6WxSbIA"}},
		},
		"SAML": {
			"inject form RelayState", harness.BaseURL + "/cbq/RelayState", url.Values{"SAMLRequest": {"PHNhbWxwOkF1dGhuUmVxdWVzdC8+"}},
			"", "RelayState", url.Values{"SAMLResponse": {"PHNhbWxwOlJlc3BvbnNlLz4="}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := start(t, harness.Config{Hold: documentedHold(t, test.line)})
			x := s.post(t, formMedia, test.request.Encode())
			asked, err := url.ParseQuery(string(x.received.Body))
			if err != nil {
				t.Fatal(err)
			}
			if uri := asked[test.redirectURI]; test.redirectURI != "" && (len(uri) != 1 || uri[0] != test.registered) {
				t.Fatalf("the server is asked to redirect to %q, and %s is registered", uri, test.registered)
			}
			state := asked[test.state]
			if len(state) != 1 || !wholeUUID.MatchString(state[0]) || strings.Contains(test.registered, state[0]) {
				t.Fatalf("%s is %q", test.state, state)
			}
			s.NeverLog(state[0])
			for field, values := range test.request {
				if field != test.state && asked.Get(field) != values[0] {
					t.Errorf("%s is %q", field, asked[field])
				}
			}
			test.answer.Set(test.state, state[0])
			reply := s.callURL(t, http.MethodPost, test.registered, test.answer.Encode(), "Content-Type", formMedia)
			wantStatus(t, reply, http.StatusSeeOther)
			wantHeader(t, reply.Header, "Location", "https://app.example.com/signed-in")
			test.answer.Del(test.state)
			wantAnswer(t, x.Answer(t), http.StatusOK, test.answer.Encode())
		})
	}
}

// The state goes wherever the callback URL may go, and nowhere else.
func TestStateAndRedirectURIArePlaceholders(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	options := "inject header X-State {http.callback.state}\ninject header X-Uri {http.callback.redirect_uri}\nrespond \"{http.callback.state} {http.callback.redirect_uri}\"\n"
	s.Start(t, harness.Config{Private: harness.Hold("/query/*", "", options+"state_query state") + harness.Hold("/key/*", "", options+"key include") +
		harness.Hold("/path/*", "", options) + "reverse_proxy unix/" + s.Path("partner.sock") + " {\nheader_up X-After {http.callback.state}\n}\n"})
	for path, query := range map[string]string{"/query": "?state=STATE", "/path": "", "/key": "?api_key="} {
		x := s.forward(t, harness.HTTP1, harness.NewRequest(t, http.MethodGet, harness.HTTP1.URL(path+s.path()), "", ""))
		state, uri := x.received.Header.Get("X-State"), x.received.Header.Get("X-Uri")
		if want := uri + strings.ReplaceAll(query, "STATE", state); !strings.HasPrefix(x.url, want) || strings.Contains(uri, "?") || !wholeUUID.MatchString(state) {
			t.Errorf("%s: state %q and redirect URI %q of %s", path, state, uri, x.url)
		}
		wantHeader(t, x.received.Header, "X-After", state)
		wantAnswer(t, x.call(t, "text/plain", "paid"), http.StatusOK, state+" "+uri)
		wantStatus(t, x.Answer(t), http.StatusOK)
	}
}
