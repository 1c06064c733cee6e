package main

import (
	"crypto/rand"
	"encoding/json"
	"html/template"
	"net/http"
	"net/url"
	"sync"

	"golang.org/x/oauth2"
)

// What the app has registered at the authorization server, beside the redirect URI.
const (
	clientID     = "example-app"
	clientSecret = "secret-of-the-example-app"
)

// formPost is the response mode in which the answer comes in a form.
const formPost = "form_post"

// redirectURI returns the registered redirect URI: one address for all sign-ins.
func redirectURI() string { return "http://" + public.String() + "/cbq/state" }

// authorizationServer stands in for a real one. It knows one client and one user, and
// has only those parts of a server that an app and its callback see.
type authorizationServer struct {
	http.ServeMux
	mu sync.Mutex
	// granted holds the challenge of every code that has not been used yet.
	granted map[string]string
	tokens  map[string]bool
}

func newAuthorizationServer() *authorizationServer {
	s := &authorizationServer{granted: make(map[string]string), tokens: make(map[string]bool)}
	s.HandleFunc("GET /authorize", s.ask)
	s.HandleFunc("POST /authorize", s.decide)
	s.HandleFunc("POST /token", s.token)
	s.HandleFunc("GET /me", s.user)
	return s
}

var templates = template.Must(template.New("").Parse(`{{define "ask"}}<!doctype html>
<title>Authorization server</title>
<p>You are Ada. May the example app know your name?</p>
<form method="post" action="/authorize">
{{range $name, $values := .}}{{range $values}}<input type="hidden" name="{{$name}}" value="{{.}}">
{{end}}{{end}}<button name="decision" value="allow">Allow</button>
<button name="decision" value="deny">Deny</button>
</form>
{{end}}
{{define "answer"}}<!doctype html>
<title>Authorization server</title>
<body onload="document.forms[0].submit()">
<form method="post" action="{{.Action}}">
{{range $name, $values := .Answer}}{{range $values}}<input type="hidden" name="{{$name}}" value="{{.}}">
{{end}}{{end}}<noscript><button>Back to the app</button></noscript>
</form>
{{end}}`))

// known reports whether a request comes from the app, and its answer goes back to it.
func known(r *http.Request) bool {
	return r.FormValue("client_id") == clientID && r.FormValue("redirect_uri") == redirectURI() &&
		r.FormValue("response_type") == "code" && r.FormValue("code_challenge_method") == "S256"
}

// ask asks the user whether to allow it.
func (s *authorizationServer) ask(w http.ResponseWriter, r *http.Request) {
	if !known(r) {
		http.Error(w, "This server does not know this client with this redirect_uri.", http.StatusBadRequest)
		return
	}
	_ = templates.ExecuteTemplate(w, "ask", r.Form)
}

// decide takes the user's decision, and sends the browser back with the answer: to
// the registered redirect URI, with the state of the request.
func (s *authorizationServer) decide(w http.ResponseWriter, r *http.Request) {
	if !known(r) {
		http.Error(w, "This server does not know this client with this redirect_uri.", http.StatusBadRequest)
		return
	}
	answer := url.Values{"state": {r.FormValue("state")}}
	if r.FormValue("decision") == "allow" {
		say("authorization server: the user allows it")
		code := rand.Text()
		s.mu.Lock()
		s.granted[code] = r.FormValue("code_challenge")
		s.mu.Unlock()
		answer.Set("code", code)
	} else {
		say("authorization server: the user denies it")
		answer.Set("error", "access_denied")
	}
	if r.FormValue("response_mode") == formPost {
		_ = templates.ExecuteTemplate(w, "answer", map[string]any{"Action": redirectURI(), "Answer": answer})
		return
	}
	http.Redirect(w, r, redirectURI()+"?"+answer.Encode(), http.StatusFound)
}

// token exchanges a code for a token, once, if the client can prove that it asked for
// the code.
func (s *authorizationServer) token(w http.ResponseWriter, r *http.Request) {
	id, secret, _ := r.BasicAuth()
	code := r.FormValue("code")
	s.mu.Lock()
	defer s.mu.Unlock()
	challenge, granted := s.granted[code]
	delete(s.granted, code)
	switch {
	case id != clientID || secret != clientSecret:
		reply(w, http.StatusUnauthorized, map[string]string{"error": "invalid_client"})
	case !granted || r.FormValue("redirect_uri") != redirectURI(),
		oauth2.S256ChallengeFromVerifier(r.FormValue("code_verifier")) != challenge:
		reply(w, http.StatusBadRequest, map[string]string{"error": "invalid_grant"})
	default:
		token := rand.Text()
		s.tokens[token] = true
		reply(w, http.StatusOK, map[string]string{"access_token": token, "token_type": "Bearer"})
	}
}

// user answers with the user's name.
func (s *authorizationServer) user(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for token := range s.tokens {
		if r.Header.Get("Authorization") == "Bearer "+token {
			reply(w, http.StatusOK, map[string]string{"name": "Ada"})
			return
		}
	}
	reply(w, http.StatusUnauthorized, map[string]string{"error": "invalid_token"})
}

func reply(w http.ResponseWriter, status int, answer map[string]string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(answer)
}
