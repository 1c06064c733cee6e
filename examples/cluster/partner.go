package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/caddy-callback/caddy-callback/examples/internal/example"
)

// thinks is how long the partner works on an order.
const thinks = 2 * time.Second

// takeOrder is a typical partner: it accepts an order at once, and reports the
// outcome later, by callback.
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
		callBack(url, correlationID, order)
	}()
}

// callBack sends the answer to the callback URL that came with the order.
func callBack(url, correlationID string, order []byte) {
	if !json.Valid(order) {
		order, _ = json.Marshal(string(order))
	}
	answer := fmt.Appendf(nil, `{"confirmed":true,"order":%s}`+"\n", order)
	res, err := http.Post(url, "application/json", bytes.NewReader(answer))
	if err != nil {
		example.Say(correlationID, "could not call back")
		return
	}
	_ = res.Body.Close()
	example.Say(correlationID, "called back, and node %s answered %s", res.Header.Get("X-Node"), res.Status)
}
