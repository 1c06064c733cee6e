package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"time"
)

// thinks is how long the partner takes for an order.
const thinks = 2 * time.Second

// servePartner is a partner as many are: it accepts an order at once, and says
// only later, by callback, what became of it.
func servePartner(l net.Listener) {
	server := &http.Server{Handler: http.HandlerFunc(takeOrder), ReadHeaderTimeout: time.Minute}
	fmt.Fprintln(os.Stderr, "Error: the partner has ended:", server.Serve(l))
}

func takeOrder(w http.ResponseWriter, r *http.Request) {
	order, err := io.ReadAll(io.LimitReader(r.Body, 1<<20))
	if err != nil {
		return
	}
	url, correlationID := r.Header.Get("X-Link-Callback-Url"), r.Header.Get("X-Link-Correlation-Id")
	say(correlationID, "accepted %s %s", r.Method, r.URL.Path)
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
		say(correlationID, "could not call back")
		return
	}
	_ = res.Body.Close()
	say(correlationID, "called back, and was answered %s", res.Status)
}

// say tells what the partner does. The callback URL is a secret, and not told.
func say(correlationID, format string, args ...any) {
	fmt.Printf("%s  partner, order %.8s: %s\n", time.Now().Format(time.TimeOnly), correlationID, fmt.Sprintf(format, args...))
}
