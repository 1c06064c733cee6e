package main

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/caddy-callback/caddy-callback/examples/internal/example"
)

// thinks is how long a stop works before it calls back.
const thinks = time.Second

// serve is every stop of the itinerary.
func serve(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(io.LimitReader(r.Body, 1<<20))
	if err != nil {
		return
	}
	var answer string
	switch r.URL.Path {
	case "/validate":
		answer = `{"valid":true}`
	case "/enrich":
		answer = fmt.Sprintf(`{"order":%s,"price":12}`, body)
	default:
		// The last stop knows nothing of callbacks.
		w.Header().Set("Content-Type", "application/json")
		_, _ = fmt.Fprintf(w, `{"path":%q,"placed":%s}`+"\n", r.URL.Path, body)
		return
	}
	url, correlationID := r.Header.Get("X-Link-Callback-Url"), r.Header.Get("X-Link-Correlation-Id")
	example.Say(correlationID, "%s accepted %s", r.URL.Path, body)
	w.WriteHeader(http.StatusAccepted)
	go func() {
		time.Sleep(thinks)
		res, err := http.Post(url, "application/json", strings.NewReader(answer))
		if err != nil {
			example.Say(correlationID, "could not call back")
			return
		}
		_ = res.Body.Close()
		example.Say(correlationID, "%s called back, and was answered %s", r.URL.Path, res.Status)
	}()
}
