package main

import (
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/caddy-callback/caddy-callback/examples/internal/example"
)

// works is how long the app takes for an order.
const works = 2 * time.Second

// serve is the app and, at /inbox, the client that receives its results.
func serve(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(io.LimitReader(r.Body, 1<<20))
	if err != nil {
		return
	}
	if r.URL.Path == "/inbox" {
		example.Say(r.Header.Get("X-Link-Correlation-Id"), "its result has come, %s: %s", r.Header.Get("X-Link-Status"), body)
		return
	}
	// An ordinary app: it takes its time, and answers.
	time.Sleep(works)
	w.Header().Set("Content-Type", "application/json")
	_, _ = fmt.Fprintf(w, `{"confirmed":true,"order":%s}`, body)
}
