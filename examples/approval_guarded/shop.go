package main

import (
	"fmt"
	"io"
	"net/http"

	"github.com/caddy-callback/caddy-callback/examples/internal/example"
)

// serve is the mailer, the shop, and what knows the people who may sign in.
func serve(w http.ResponseWriter, r *http.Request) {
	switch r.URL.Path {
	case "/auth":
		signIn(w, r)
	case "/mail":
		fmt.Printf("Mail to the boss: please decide at %s\n", r.Header.Get("X-Link-Callback-Url"))
		w.WriteHeader(http.StatusAccepted)
	case "/purchases":
		sell(w, r)
	default:
		http.NotFound(w, r)
	}
}

// signIn stands for what guards the site, such as Authelia or oauth2-proxy. It lets Alice in,
// and says who she is.
func signIn(w http.ResponseWriter, r *http.Request) {
	if user, password, ok := r.BasicAuth(); !ok || user != "alice" || password != "wonderland" {
		w.Header().Set("WWW-Authenticate", "Basic")
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	w.Header().Set("Remote-User", "alice")
}

// sell is the shop, which only ever sees what was approved.
func sell(w http.ResponseWriter, r *http.Request) {
	order, err := io.ReadAll(io.LimitReader(r.Body, 1<<20))
	if err != nil {
		return
	}
	by := r.Header.Get("X-Approved-By")
	example.Say(r.Header.Get("X-Link-Correlation-Id"), "sold %s, approved by %s", order, by)
	w.Header().Set("Content-Type", "application/json")
	_, _ = fmt.Fprintf(w, `{"sold":%s,"approvedBy":%q}`+"\n", order, by)
}
