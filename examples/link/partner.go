package main

import (
	"bytes"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/caddy-callback/caddy-callback/examples/internal/example"
)

// thinks is how long the partner works on an order.
const thinks = 2 * time.Second

// takeOrder accepts an order at once, and reports the outcome later, by callback.
func takeOrder(w http.ResponseWriter, r *http.Request) {
	order, err := io.ReadAll(io.LimitReader(r.Body, 1<<20))
	if err != nil {
		return
	}
	url, correlationID := r.Header.Get("X-Link-Callback-Url"), r.Header.Get("X-Link-Correlation-Id")
	example.Say(correlationID, "accepted %s %s", r.Method, r.URL.Path)
	w.WriteHeader(http.StatusAccepted)
	go func() {
		time.Sleep(thinks)
		callBack(url, correlationID, outcome(order))
	}()
}

// outcome decides about an order, and returns the decision as the headers of Link.
func outcome(order []byte) http.Header {
	if !bytes.Contains(order, []byte("unicorn")) {
		return http.Header{"X-Link-Status": {"Ok"}}
	}
	return http.Header{
		"X-Link-Status":          {"Failed"},
		"X-Link-Document-Status": {"Rejected"},
		"X-Link-Error-Code":      {"E17"},
		"X-Link-Error-Text":      {"There are no unicorns."},
	}
}

// callBack sends the outcome to the callback URL that came with the order.
func callBack(url, correlationID string, header http.Header) {
	req, err := http.NewRequest(http.MethodPost, url, strings.NewReader(`{"checked":true}`+"\n"))
	if err != nil {
		example.Say(correlationID, "was given no callback URL")
		return
	}
	req.Header = header
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("X-Link-Correlation-Id", correlationID)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		example.Say(correlationID, "could not call back")
		return
	}
	_ = res.Body.Close()
	example.Say(correlationID, "called back with %s, and was answered %s", header.Get("X-Link-Status"), res.Status)
}
