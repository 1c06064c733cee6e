package main

import (
	"fmt"
	"io"
	"net/http"

	"github.com/caddy-callback/caddy-callback/examples/internal/example"
)

// serve is the mailer and the shop. Neither knows of callbacks.
func serve(w http.ResponseWriter, r *http.Request) {
	switch r.URL.Path {
	case "/mail":
		mail(w, r)
	case "/purchases":
		sell(w, r)
	default:
		http.NotFound(w, r)
	}
}

// mail prints a mail with the link to the page. Whoever has the link can decide.
func mail(w http.ResponseWriter, r *http.Request) {
	fmt.Printf("Mail to the boss: please decide at %s\n", r.Header.Get("X-Link-Callback-Url"))
	w.WriteHeader(http.StatusAccepted)
}

// sell is the shop, which only ever sees what was approved.
func sell(w http.ResponseWriter, r *http.Request) {
	order, err := io.ReadAll(io.LimitReader(r.Body, 1<<20))
	if err != nil {
		return
	}
	example.Say(r.Header.Get("X-Link-Correlation-Id"), "sold %s", order)
	w.Header().Set("Content-Type", "application/json")
	_, _ = fmt.Fprintf(w, `{"sold":%s}`+"\n", order)
}
