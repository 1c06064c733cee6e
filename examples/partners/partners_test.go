package partners

import (
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/caddy-callback/caddy-callback/integration/harness"
)

func TestMain(m *testing.M) { os.Exit(harness.Main(m)) }

const (
	jsonType = "application/json"
	formType = "application/x-www-form-urlencoded"
	fixedURL = harness.BaseURL + "/cb"
)

// api stands in for the provider's API.
type api struct {
	*httptest.Server
	answer func(r *http.Request, body string) (status int, header http.Header, answer string)

	mu  sync.Mutex
	got []request
}

type request struct {
	path, authorization, body string
	header                    http.Header
}

func newAPI(t *testing.T, answer func(*http.Request, string) (int, http.Header, string)) *api {
	t.Helper()
	a := &api{answer: answer}
	a.Server = httptest.NewServer(a)
	t.Cleanup(a.Close)
	return a
}

func (a *api) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	a.mu.Lock()
	a.got = append(a.got, request{r.URL.Path, r.Header.Get("Authorization"), string(body), r.Header.Clone()})
	a.mu.Unlock()
	status, header, answer := a.answer(r, string(body))
	for name, values := range header {
		w.Header()[name] = values
	}
	if w.Header().Get("Content-Type") == "" {
		w.Header().Set("Content-Type", jsonType)
	}
	w.WriteHeader(status)
	_, _ = io.WriteString(w, answer)
}

// requests waits until there were that many, and returns them.
func (a *api) requests(t *testing.T, n int) (got []request) {
	t.Helper()
	harness.Eventually(t, "the provider gets the request", func() bool {
		a.mu.Lock()
		defer a.mu.Unlock()
		got = append(got[:0], a.got...)
		return len(got) >= n
	})
	return got
}

// stage is a server with a provider behind it.
type stage struct {
	*harness.Caddy
	api *api
}

// start runs a server whose private site holds requests, as the options of callback say.
func start(t *testing.T, a *api, env map[string]string, global, server, options string) *stage {
	t.Helper()
	s := &stage{harness.New(t), a}
	for name, value := range env {
		s.Setenv(name, value)
		if strings.Contains(name, "SECRET") || strings.Contains(name, "TOKEN") || strings.Contains(name, "KEY") {
			s.NeverLog(value)
		}
	}
	beside(t, s.Caddy)
	s.Start(t, harness.Config{
		Callback: global,
		Public:   "callback_server {\n" + server + "\n}\nrespond 404\n",
		Private:  "callback hold 1m {\nname job\n" + options + "\n}\nreverse_proxy " + a.URL + "\n",
	})
	return s
}

// beside puts the files where a user has them: beside the Caddyfile.
func beside(t *testing.T, c *harness.Caddy) {
	t.Helper()
	here, err := os.Getwd()
	if err == nil {
		err = os.Symlink(here, c.Path("partners"))
	}
	if err != nil {
		t.Fatal(err)
	}
}

// ask sends the client's request.
func (s *stage) ask(t *testing.T, path, contentType, body string) *harness.Pending {
	t.Helper()
	return harness.Send(s.Client(t, harness.HTTP1), harness.NewRequest(t, http.MethodPost, harness.HTTP1.URL(path), contentType, body))
}

// call calls a URL as the provider does.
func (s *stage) call(t *testing.T, url, contentType, body string, sign signer, secret string) *harness.Response {
	t.Helper()
	req := harness.NewRequest(t, http.MethodPost, url, contentType, body)
	sign(req.Header, secret, url, body)
	return harness.Do(t, s.Client(t, harness.HTTP1), req)
}

// waits checks that a request is not answered yet.
func waits(t *testing.T, x *harness.Pending, after string) {
	t.Helper()
	select {
	case <-x.Done():
		got, err := x.Outcome()
		t.Fatalf("after %s the client got %v, %v", after, got, err)
	default:
	}
}

// event is a call of a provider.
type event struct{ what, body string }

// provider is one that calls back.
type provider struct {
	global, server, options    string
	secret                     string
	sign                       signer
	path, contentType, request string
	// ack is what the API answers; ID in it is the number of the request, as in the events.
	ackStatus int
	ack       string
	// url returns the callback URL that a request to the API bears. Without it calls go to the
	// fixed URL.
	url func(t *testing.T, r request) string
	// sends is the type of the events.
	sends string
	// pending say nothing that ends it, nobodys are about something else.
	pending, nobodys []event
	success, failed  string
	// errorIs is the error code of failed.
	errorIs string
	// The result is fetched from there, if anything is.
	fetchedFrom, fetchedWith, fetchedBody string
}

// number is what stands for ID in the n-th exchange.
func number(text string, n int) string {
	return strings.ReplaceAll(text, "ID", []string{"1001", "1002", "1003"}[n])
}

func TestProvidersCallBack(t *testing.T) {
	t.Parallel()
	for name, p := range providers {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p.run(t)
		})
	}
}

func (p provider) run(t *testing.T) {
	var made int
	var mu sync.Mutex
	a := newAPI(t, func(r *http.Request, _ string) (int, http.Header, string) {
		if r.Method == http.MethodGet {
			return http.StatusOK, nil, p.fetchedBody
		}
		mu.Lock()
		defer mu.Unlock()
		made++
		return p.ackStatus, nil, number(p.ack, made-1)
	})
	env := map[string]string{secretName(t, p.global): p.secret, "OPENAI_API": a.URL, "MOLLIE_API": a.URL, "REPLICATE_API": a.URL,
		"OPENAI_API_KEY": "sk-of-the-sidecar", "MOLLIE_API_KEY": "live-of-the-sidecar", "REPLICATE_API_TOKEN": "r8-of-the-sidecar"}
	s := start(t, a, env, p.global, p.server, p.options)
	p.exchange(t, s, 0, p.success, true)
	p.exchange(t, s, 1, p.failed, false)
}

// secretName returns the variable that the secret comes from, of the file that is imported.
func secretName(t *testing.T, imported string) string {
	t.Helper()
	content, err := os.ReadFile(strings.TrimPrefix(imported, "import partners/"))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(content), ":{env.")
	name, _, _ := strings.Cut(rest, "}")
	return name
}

// exchange lets a client wait, and the provider send everything that is no answer before it
// sends the last event.
func (p provider) exchange(t *testing.T, s *stage, n int, last string, ok bool) {
	t.Helper()
	before := len(s.api.requests(t, 0))
	x := s.ask(t, p.path, p.contentType, p.request)
	sent := s.api.requests(t, before+1)[before]
	url := fixedURL
	if p.url != nil {
		url = p.url(t, sent)
	}
	if sent.header.Get("X-Link-Callback-Url") != "" {
		t.Error("the provider gets headers that it does not know")
	}
	for _, e := range append(p.nobodys, p.pending...) {
		wantStatus(t, e.what, s.call(t, url, p.sends, number(e.body, n), p.sign, p.secret), http.StatusOK)
		waits(t, x, e.what)
	}
	wantStatus(t, "a wrong signature", s.call(t, url, p.sends, number(last, n), p.sign, otherSecret(p.secret)), http.StatusUnauthorized)
	wantStatus(t, "no signature", s.call(t, url, p.sends, number(last, n), unsigned, ""), http.StatusUnauthorized)
	waits(t, x, "calls of a stranger")
	wantStatus(t, "the last event", s.call(t, url, p.sends, number(last, n), p.sign, p.secret), http.StatusOK)
	got := x.Answer(t)
	if !ok {
		wantStatus(t, "the client", got, http.StatusFailedDependency)
		if want := `"errorCode":"` + p.errorIs + `"`; p.errorIs != "" && !strings.Contains(string(got.Body), want) {
			t.Errorf("the client got %s, without %s", got.Body, want)
		}
	} else {
		wantStatus(t, "the client", got, http.StatusOK)
		want := number(last, n)
		if p.fetchedBody != "" {
			want = p.fetchedBody
			fetched := s.api.requests(t, before+2)[before+1]
			if fetched.path != number(p.fetchedFrom, n) || fetched.authorization != p.fetchedWith {
				t.Errorf("the result was fetched from %s with %s", fetched.path, fetched.authorization)
			}
		}
		if string(got.Body) != want {
			t.Errorf("the client got %s", got.Body)
		}
	}
	// What comes later is neither an error nor anybody's.
	for _, e := range p.pending {
		wantStatus(t, "later: "+e.what, s.call(t, url, p.sends, number(e.body, n), p.sign, p.secret), http.StatusOK)
	}
	wantStatus(t, "the last event again", s.call(t, url, p.sends, number(last, n), p.sign, p.secret), http.StatusOK)
}

func wantStatus(t *testing.T, what string, got *harness.Response, status int) {
	t.Helper()
	if got.Status != status {
		t.Fatalf("%s: got %d %s, want %d", what, got.Status, got.Body, status)
	}
}

// TestFilesAreFormattedAndUsed makes sure that caddy fmt has nothing to change, and that
// each file is in a Caddyfile of the README, which are checked with all of the docs.
func TestFilesAreFormattedAndUsed(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("*.caddy")
	if err != nil || len(files) == 0 {
		t.Fatalf("there are no files: %v", err)
	}
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if formatted := caddyfile.Format(content); string(formatted) != string(content) {
			t.Errorf("%s should be:\n%s", file, formatted)
		}
		if !strings.Contains(string(readme), "import partners/"+file) {
			t.Errorf("README.md does not say how %s is used", file)
		}
	}
}
