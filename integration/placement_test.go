package integration

import (
	"net/http"
	"strings"
	"testing"

	"github.com/caddy-callback/caddy-callback/integration/harness"
)

// passwordHash is that of the password "secret", at the lowest cost there is.
const passwordHash = "$2a$04$GWf89kpBAejyN7Lb5hftle7ny//Xn.cStxAdb22fgicBpcyfesTwO"

func TestNeitherAppNorLoginSwallowsACall(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.WriteFile(t, "www/index.html", []byte("the app"))
	s.Start(t, harness.Config{Timeout: "500ms", Public: `
basic_auth {
	app ` + passwordHash + `
}
redir /old /new
rewrite /cb/* /index.html
root * ` + s.Path("www") + `
encode gzip
try_files {path} /index.html
file_server
callback_server`})

	wantStatus(t, s.fetch(t, harness.BaseURL+"/anything"), http.StatusUnauthorized)
	req := harness.NewRequest(t, http.MethodGet, harness.BaseURL+"/anything", "", "")
	req.SetBasicAuth("app", "secret")
	wantAnswer(t, s.public(t, req), http.StatusOK, "the app")

	x, p := s.timedOut(t)
	x.resolve(t, "paid")
	wantAnswer(t, s.fetch(t, p.ResultURL), http.StatusOK, "paid")
	unknown := s.partner.Call(t, http.MethodPost, harness.BaseURL+"/cb/00000000-0000-4000-8000-000000000000", "", "")
	wantProblem(t, unknown, http.StatusNotFound, "unknown-state")
}

func TestOtherPathsAreLeftToTheSite(t *testing.T) {
	t.Parallel()
	s := start(t, harness.Config{Public: "callback_server\nrespond \"the app\""})
	for _, path := range []string{"/", "/cbx", "/cbqx/state", "/cbrs", "/app/cb/x", "/CB/catalogue", "//cb/readme", "/CB/00000000-0000-4000-8000-000000000000/more"} {
		wantAnswer(t, s.fetch(t, harness.BaseURL+path), http.StatusOK, "the app")
	}
}

// URLs are joined and shown by software that doubles slashes or likes capitals. Neither a
// single-page app nor Caddy itself may take such a call and say 200.
func TestOtherSpellingsOfAPathAreTaken(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.Start(t, harness.Config{
		Public:  "callback_server\nrespond \"the app\"",
		Private: harness.Hold("/orders/*", "500ms", "") + s.HoldAndForward("/query/*", "", "state_query State"),
	})
	for name, spell := range map[string]func(string) string{
		"a slash before":     func(path string) string { return "/" + path },
		"slashes within":     func(path string) string { return strings.ReplaceAll(path, "/", "//") },
		"slashes at its end": func(path string) string { return path + "//" },
		"capitals": func(path string) string {
			return strings.NewReplacer("/cb/", "/CB/", "/cbr/", "/Cbr/", "/result", "/RESULT", "/failed", "/Failed").Replace(path)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			at := func(url string) string { return harness.BaseURL + spell(strings.TrimPrefix(url, harness.BaseURL)) }
			x, p := s.timedOut(t)
			wantAnswer(t, s.partner.Call(t, http.MethodPost, at(x.url), "text/plain", "paid"), http.StatusOK, "")
			wantStatus(t, s.fetch(t, at(p.StatusURL)), http.StatusOK)
			wantAnswer(t, s.fetch(t, at(p.ResultURL)), http.StatusOK, "paid")
			failed, _ := s.timedOut(t)
			wantAnswer(t, s.partner.Call(t, http.MethodPost, at(failed.url+"/failed"), "", ""), http.StatusOK, "")
			wantUnauthorized(t, s.partner.Call(t, http.MethodPost, at(harness.BaseURL+"/cb"), "", ""), "key-required")
		})
	}
	x := s.forward(t, harness.HTTP1, harness.NewRequest(t, http.MethodGet, harness.HTTP1.URL("/query"+s.path()), "", ""))
	wantAnswer(t, s.partner.Call(t, http.MethodPost, strings.Replace(x.url, "/cbq/State", "//CBQ//State/", 1), "text/plain", "paid"), http.StatusOK, "")
	wantAnswer(t, x.Answer(t), http.StatusOK, "paid")
}

func TestServerCanBeMountedDeeper(t *testing.T) {
	t.Parallel()
	s := start(t, harness.Config{
		Timeout: "500ms",
		BaseURL: harness.BaseURL + "/hooks/in/",
		Public:  "handle_path /hooks/in/* {\n\tcallback_server\n}\nhandle {\n\trespond \"the app\"\n}",
	})
	x := s.get(t)
	if x.url != harness.BaseURL+"/hooks/in/cb/"+x.state() {
		t.Fatalf("%s is %q", callbackHeader, x.url)
	}
	p := wantProblem(t, x.Answer(t), http.StatusGatewayTimeout, "timeout")
	if !strings.HasPrefix(p.StatusURL, harness.BaseURL+"/hooks/in/cbr/") {
		t.Errorf("statusUrl is %q", p.StatusURL)
	}
	x.resolve(t, "paid")
	wantAnswer(t, s.fetch(t, p.ResultURL), http.StatusOK, "paid")
	wantAnswer(t, s.fetch(t, harness.BaseURL+"/cb/"+x.state()), http.StatusOK, "the app")
}

func TestAnySiteMayTakeTheCalls(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.Start(t, harness.Config{Sites: s.Site("second", "callback_server /cb/*\nrespond \"the app\"")})
	x := s.get(t)
	second := strings.Replace(x.url, harness.BaseURL, "http://second.test", 1)
	wantStatus(t, s.partner.Call(t, http.MethodPost, second, "text/plain", "at the second"), http.StatusOK)
	wantAnswer(t, x.Answer(t), http.StatusOK, "at the second")
	wantAnswer(t, s.fetch(t, "http://second.test/cbr/x"), http.StatusOK, "the app")
}

func TestAnswerIsEncodedAsTheSiteSays(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.Start(t, harness.Config{Private: "encode gzip\n" + s.HoldAndForward("", "", "")})
	req := harness.NewRequest(t, http.MethodGet, harness.HTTP1.URL(s.path()), "", "")
	req.Header.Set("Accept-Encoding", "gzip")
	x := s.forward(t, harness.HTTP1, req)
	x.resolve(t, strings.Repeat("much of the same ", 1000))
	answer := x.Answer(t)
	wantStatus(t, answer, http.StatusOK)
	wantHeader(t, answer.Header, "Content-Encoding", "gzip")
}
