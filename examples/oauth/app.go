package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"html"
	"net/http"
	"sync"

	"golang.org/x/oauth2"
)

// app is an app whose users sign in with OAuth. It uses an ordinary library for that.
// Unlike other apps it has no page that takes the code.
type app struct {
	http.ServeMux
	mu      sync.Mutex
	signIns map[string]*signIn
}

// signIn is one user's sign-in.
type signIn struct {
	callback
	verifier string
	// finish returns the name of the user who has signed in. A code works only once,
	// so finish exchanges it only once.
	finish func() (name string, err error)
}

func newApp() *app {
	a := &app{signIns: make(map[string]*signIn)}
	a.HandleFunc("GET /{$}", a.welcome)
	a.HandleFunc("GET /sign-in", a.begin)
	a.HandleFunc("GET /signed-in", a.signedIn)
	return a
}

// client returns what the OAuth library needs to know. The redirect URI is the one
// that the API returned.
func client(redirectURI string) *oauth2.Config {
	return &oauth2.Config{
		ClientID:     clientID,
		ClientSecret: clientSecret,
		RedirectURL:  redirectURI,
		Endpoint: oauth2.Endpoint{
			AuthURL:   "http://" + server.String() + "/authorize",
			TokenURL:  "http://" + server.String() + "/token",
			AuthStyle: oauth2.AuthStyleInHeader,
		},
	}
}

func (a *app) welcome(w http.ResponseWriter, _ *http.Request) {
	page(w, http.StatusOK, `<p><a href="/sign-in">Sign in</a></p>
<p><a href="/sign-in?mode=form_post">Sign in, with the answer in a form</a></p>`)
}

// begin asks for a callback, and sends the browser to the authorization server.
func (a *app) begin(w http.ResponseWriter, r *http.Request) {
	c, err := newCallback(r.Context())
	if err != nil {
		say("app: could not ask for a callback: %v", err)
		page(w, http.StatusBadGateway, "<p>Nobody can sign in now.</p>")
		return
	}
	s := &signIn{callback: c, verifier: oauth2.GenerateVerifier()}
	// This context must not end with the request that first calls finish.
	ctx := context.WithoutCancel(r.Context())
	s.finish = sync.OnceValues(func() (string, error) { return s.nameOfUser(ctx) })
	key := rand.Text()
	a.mu.Lock()
	a.signIns[key] = s
	a.mu.Unlock()
	say("app: asked for a callback, and sends the browser to the authorization server")

	// The cookie makes sure that only the browser that began the sign-in can finish
	// it.
	http.SetCookie(w, &http.Cookie{ //nolint:gosec // Not Secure, because the example is served without TLS.
		Name: "sign-in", Value: key, Path: "/", HttpOnly: true, SameSite: http.SameSiteLaxMode,
	})
	options := []oauth2.AuthCodeOption{oauth2.S256ChallengeOption(s.verifier)}
	if r.FormValue("mode") == formPost {
		options = append(options, oauth2.SetAuthURLParam("response_mode", formPost))
	}
	http.Redirect(w, r, client(c.RedirectURI).AuthCodeURL(c.State, options...), http.StatusFound)
}

// signedIn is the page to which Caddy redirects the browser after the call.
func (a *app) signedIn(w http.ResponseWriter, r *http.Request) {
	var s *signIn
	if cookie, err := r.Cookie("sign-in"); err == nil {
		a.mu.Lock()
		s = a.signIns[cookie.Value]
		a.mu.Unlock()
	}
	if s == nil {
		page(w, http.StatusForbidden, `<p>Nobody has begun to sign in here. <a href="/">Begin</a></p>`)
		return
	}
	name, err := s.finish()
	if err != nil {
		page(w, http.StatusForbidden, "<p>Not signed in: "+html.EscapeString(err.Error())+`. <a href="/">Try again</a></p>`)
		return
	}
	page(w, http.StatusOK, "<p>Signed in as "+html.EscapeString(name)+".</p>")
}

// nameOfUser reads the code from the callback, and exchanges it for a token, which
// gets the user's name.
func (s *signIn) nameOfUser(ctx context.Context) (string, error) {
	values, err := awaitCall(ctx, s.ID)
	if err != nil {
		return "", err
	}
	if reason := values.Get("error"); reason != "" {
		say("app: the callback says %s", reason)
		return "", errors.New(reason)
	}
	conf := client(s.RedirectURI)
	token, err := conf.Exchange(ctx, values.Get("code"), oauth2.VerifierOption(s.verifier))
	if err != nil {
		return "", fmt.Errorf("the code was not accepted: %w", err)
	}
	var user struct {
		Name string `json:"name"`
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+server.String()+"/me", nil)
	if err != nil {
		return "", err
	}
	token.SetAuthHeader(req)
	if err := exchange(req, http.StatusOK, &user); err != nil {
		return "", err
	}
	say("app: read the code from the callback, and got a token for it: %s has signed in", user.Name)
	return user.Name, nil
}
