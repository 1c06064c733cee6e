package oauth

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"

	"golang.org/x/oauth2"

	"github.com/caddy-callback/caddy-callback/integration/harness"
)

// app signs its users in at the provider. It serves no redirect URI of its own: it
// asks the API for a callback, and waits for the call.
type app struct {
	stage    *stage
	provider *provider
	// address is where Caddy finds the app.
	address string
	ctx     context.Context

	mu sync.Mutex
	// signIns are those that have begun, by the value of the cookie.
	signIns map[string]*signIn
}

// signIn is one user's way in.
type signIn struct {
	created
	client   oauth2.Config
	verifier string

	// done is closed when the call has come, and the rest is known.
	done   chan struct{}
	status status
	name   string
	err    error
}

// told waits until the sign-in is done, and returns what the API told of its callback.
func (s *signIn) told() status {
	<-s.done
	return s.status
}

// cookieName is the name of the app's cookie: it binds a sign-in to the browser in
// which it began.
const cookieName = "sign-in"

func newApp(t *testing.T, s *stage, p *provider) *app {
	t.Helper()
	a := &app{stage: s, provider: p, ctx: t.Context(), signIns: make(map[string]*signIn)}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /sign-in", a.begin)
	mux.HandleFunc("GET "+signedIn, a.welcome)
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	a.address = server.Listener.Addr().String()
	return a
}

// begin asks for a callback and sends the browser to the provider, which is to
// answer in the mode that the query names.
func (a *app) begin(w http.ResponseWriter, r *http.Request) {
	callback, err := a.stage.api.create(r.Context(), "state")
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	a.stage.NeverLog(callback.State)
	s := &signIn{created: callback, client: a.provider.client(), verifier: oauth2.GenerateVerifier(), done: make(chan struct{})}
	s.client.RedirectURL = callback.RedirectURI
	go a.finish(s)
	key := rand.Text()
	a.mu.Lock()
	a.signIns[key] = s
	a.mu.Unlock()

	http.SetCookie(w, &http.Cookie{Name: cookieName, Value: key, Path: "/", HttpOnly: true, SameSite: http.SameSiteLaxMode})
	http.Redirect(w, r, s.client.AuthCodeURL(callback.State,
		oauth2.S256ChallengeOption(s.verifier),
		oauth2.SetAuthURLParam("response_mode", r.FormValue("mode")),
	), http.StatusFound)
}

// finish waits for the call, and learns from it who has signed in.
func (a *app) finish(s *signIn) {
	defer close(s.done)
	if s.status, s.err = a.stage.api.wait(a.ctx, s.ID); s.err != nil {
		return
	}
	if s.status.LatestCall == nil {
		s.err = fmt.Errorf("no call has come, the phase is %s", s.status.Phase)
		return
	}
	values, err := s.status.LatestCall.values()
	switch {
	case err != nil:
		s.err = err
	case values.Get("error") != "":
		s.err = fmt.Errorf("the provider says %s: %s", values.Get("error"), values.Get("error_description"))
	default:
		a.stage.NeverLog(values.Get("code"))
		s.name, s.err = a.nameOf(s, values.Get("code"))
	}
}

// nameOf exchanges the code for a token, and asks the provider with it.
func (a *app) nameOf(s *signIn, code string) (string, error) {
	token, err := s.client.Exchange(a.ctx, code, oauth2.VerifierOption(s.verifier))
	if err != nil {
		return "", err
	}
	resp, err := s.client.Client(a.ctx, token).Get(a.provider.userInfo())
	if err != nil {
		return "", err
	}
	defer func() { _ = resp.Body.Close() }()
	var user struct {
		Name string `json:"name"`
	}
	err = json.NewDecoder(resp.Body).Decode(&user)
	return user.Name, err
}

// welcome is the page to which the browser comes back.
func (a *app) welcome(w http.ResponseWriter, r *http.Request) {
	cookie, err := r.Cookie(cookieName)
	if err != nil {
		http.Error(w, "Nobody has begun to sign in here.", http.StatusForbidden)
		return
	}
	s := a.find(cookie.Value)
	if s == nil {
		http.Error(w, "This sign-in is not known.", http.StatusForbidden)
		return
	}
	select {
	case <-s.done:
	case <-r.Context().Done():
		return
	}
	if s.err != nil {
		http.Error(w, "Not signed in: "+s.err.Error(), http.StatusForbidden)
		return
	}
	_, _ = fmt.Fprintf(w, "Signed in as %s.", s.name)
}

// find returns the sign-in that a cookie is of, nil if there is none.
func (a *app) find(key string) *signIn {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.signIns[key]
}

// signInOf returns the sign-in that has begun in a browser.
func (a *app) signInOf(b *browser) *signIn {
	site := &url.URL{Scheme: "http", Host: strings.TrimPrefix(harness.BaseURL, "http://"), Path: "/"}
	for _, cookie := range b.client.Jar.Cookies(site) {
		if cookie.Name == cookieName {
			return a.find(cookie.Value)
		}
	}
	return nil
}
