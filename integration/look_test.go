package integration

import (
	"net/http"
	"strings"
	"testing"

	"github.com/caddy-callback/caddy-callback/integration/harness"
)

// look looks at a URL as a sender of CloudEvents does with OPTIONS.
func (s *stage) look(t *testing.T, method, url string, lines ...string) *harness.Response {
	t.Helper()
	return s.callURL(t, method, url, "", append([]string{"WebHook-Request-Origin", "eventgrid.example.net"}, lines...)...)
}

// Partners look at a URL before they use it. That needs no key, and is no call.
func TestURLOfAWaitingCallbackCanBeLookedAt(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.Setenv("CB_KEY", envKey)
	s.Start(t, harness.Config{
		Callback: "key env {env.CB_KEY} send",
		Private: harness.Hold("/plain/*", "", "") + harness.Hold("/keyed/*", "", "key env") + harness.Hold("/own/*", "", "key include") +
			harness.Hold("/post/*", "", "methods POST") + harness.Hold("/once/*", "", "require status\nretryable off") +
			s.HoldAndForward("/query/*", "", "state_query state"),
	})
	for path, allow := range map[string]string{
		"/plain": "POST, PUT, PATCH, DELETE, HEAD, OPTIONS", "/keyed": "POST, PUT, PATCH, DELETE, HEAD, OPTIONS", "/own": "POST, PUT, PATCH, DELETE, HEAD, OPTIONS",
		"/post": "POST, HEAD, OPTIONS", "/once": "POST, PUT, PATCH, DELETE, HEAD, OPTIONS", "/query": "POST, PUT, PATCH, DELETE, HEAD, OPTIONS",
	} {
		t.Run(path, func(t *testing.T) {
			t.Parallel()
			x := s.forward(t, harness.HTTP1, harness.NewRequest(t, http.MethodGet, harness.HTTP1.URL(path+s.path()), "", ""))
			bare, _, _ := strings.Cut(x.url, "?api_key")
			urls := []string{x.url, bare}
			if path != "/query" {
				urls = append(urls, bare+"/failed", strings.Replace(bare, "/cb/", "//CB//", 1))
			}
			for _, url := range urls {
				head := s.look(t, http.MethodHead, url)
				wantAnswer(t, head, http.StatusOK, "")
				wantHeader(t, head.Header, "Allow", allow)
				options := s.look(t, http.MethodOptions, url)
				wantAnswer(t, options, http.StatusNoContent, "")
				for name, value := range map[string]string{"Allow": allow, "Webhook-Allowed-Origin": "eventgrid.example.net", "Webhook-Allowed-Rate": "*", "Cache-Control": "no-store"} {
					wantHeader(t, options.Header, name, value)
				}
			}
			wantStatus(t, x.callWithAll(t, "text/plain", "paid", append(bearer(envKey), statusHeader, "Ok")...), http.StatusOK)
			wantAnswer(t, x.Answer(t), http.StatusOK, "paid")
		})
	}
}

func TestOnlyAHostNameIsAllowedToSend(t *testing.T) {
	t.Parallel()
	s := start(t, harness.Config{})
	x := s.get(t)
	for _, origin := range []string{"*", "https://eventgrid.example.net", "a b", "a,b", "-a.example", "a..b", strings.Repeat("a", 64), "<script>", ""} {
		got := s.callURL(t, http.MethodOptions, x.url, "", "WebHook-Request-Origin", origin)
		wantStatus(t, got, http.StatusNoContent)
		if got.Header.Get("WebHook-Allowed-Origin") != "" || got.Header.Get("WebHook-Allowed-Rate") != "" {
			t.Errorf("%q: %v", origin, got.Header)
		}
	}
	plain := s.callURL(t, http.MethodOptions, x.url, "")
	if plain.Header.Get("WebHook-Allowed-Rate") != "" {
		t.Errorf("%v", plain.Header)
	}
}

// A look tells a stranger no more than a call does.
func TestLookFindsWhatACallFinds(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.Setenv("CB_KEY", envKey)
	s.Start(t, harness.Config{
		Callback: "key env {env.CB_KEY} send",
		Private: harness.Hold("/short/*", "100ms", "expires_in 100ms") + harness.Hold("/keyed/*", "", "key env") +
			harness.Hold("/query/*", "", "state_query state") + s.HoldAndForward("/orders/*", "", ""),
		Sites: s.Site("strict", "callback_server {\n\tkey env\n}"),
	})
	send := func(path string) *exchange {
		return s.forward(t, harness.HTTP1, harness.NewRequest(t, http.MethodGet, harness.HTTP1.URL(path+s.path()), "", ""))
	}
	expired := send("/short")
	_ = expired.Answer(t)
	called, keyed, query := s.get(t), send("/keyed"), send("/query")
	called.resolve(t, "paid")
	wantStatus(t, keyed.callWith(t, "Authorization", "Bearer "+envKey, "paid"), http.StatusOK)
	strict := strings.Replace(s.get(t).url, harness.BaseURL, "http://strict.test", 1)
	for name, c := range map[string]struct {
		url    string
		status int
	}{
		"unknown":                  {harness.BaseURL + "/cb/00000000-0000-4000-8000-000000000000", http.StatusNotFound},
		"malformed":                {harness.BaseURL + "/cb/x", http.StatusNotFound},
		"another spelling":         {harness.BaseURL + "/cb/" + withUpperCase(called.state()), http.StatusNotFound},
		"wrong form":               {harness.BaseURL + "/cb/" + query.state(), http.StatusNotFound},
		"no state":                 {harness.BaseURL + "/cbq/state", http.StatusNotFound},
		"unknown state":            {harness.BaseURL + "/cbq/state?state=00000000-0000-4000-8000-000000000000", http.StatusNotFound},
		"expired":                  {expired.url, http.StatusGone},
		"called":                   {called.url, http.StatusConflict},
		"called, key needed":       {keyed.url, http.StatusUnauthorized},
		"the server needs a key":   {strict, http.StatusUnauthorized},
		"fixed URL":                {fixedURL, http.StatusUnauthorized},
		"fixed URL, key not known": {fixedURL + "?api_key=nobody", http.StatusUnauthorized},
	} {
		post := s.callURL(t, http.MethodPost, c.url, "")
		wantStatus(t, post, c.status)
		for _, method := range []string{http.MethodHead, http.MethodOptions} {
			got := s.look(t, method, c.url)
			wantStatus(t, got, c.status)
			if body := string(got.Body); method == http.MethodOptions && body != string(post.Body) {
				t.Errorf("%s: %s tells %s, a call %s", name, method, body, post.Body)
			}
			if got.Header.Get("WebHook-Allowed-Origin") != "" {
				t.Errorf("%s: %v", name, got.Header)
			}
		}
	}
	for _, url := range []string{strict, fixedURL} {
		wantAnswer(t, s.look(t, http.MethodHead, url, bearer(envKey)...), http.StatusOK, "")
		options := s.look(t, http.MethodOptions, url, bearer(envKey)...)
		wantAnswer(t, options, http.StatusNoContent, "")
		wantHeader(t, options.Header, "WebHook-Allowed-Origin", "eventgrid.example.net")
	}
}

func TestURLOfTheAPICanBeLookedAtInEitherForm(t *testing.T) {
	t.Parallel()
	s := openAPI(t, harness.Config{})
	for _, fields := range []string{`{}`, `{"stateQueryParameter":"state"}`} {
		c := s.create(t, fields)
		wantAnswer(t, s.look(t, http.MethodHead, c.CallbackURL), http.StatusOK, "")
		wantAnswer(t, s.look(t, http.MethodOptions, c.CallbackURL), http.StatusNoContent, "")
		wantStatus(t, s.callURL(t, http.MethodPost, c.CallbackURL, "paid"), http.StatusOK)
	}
}
