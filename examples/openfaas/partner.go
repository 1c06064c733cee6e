package main

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/caddy-callback/caddy-callback/examples/internal/example"
)

// works is how long a function takes.
const works = 2 * time.Second

// function is what a function answers to a body.
type function func(body []byte) (status int, answer []byte)

// functions are those that the stand-in has.
var functions = map[string]function{
	"shout": func(body []byte) (int, []byte) { return http.StatusOK, bytes.ToUpper(body) },
	"fail":  func([]byte) (int, []byte) { return http.StatusInternalServerError, []byte("exit status 1") },
}

// newGateway returns a stand-in of OpenFaaS, its gateway and its queue worker.
func newGateway() *http.ServeMux {
	gateway := http.NewServeMux()
	gateway.HandleFunc("/async-function/{name}", enqueue)
	return gateway
}

// enqueue is what the gateway does. As there, it is the queue worker that finds out whether there
// is such a function.
func enqueue(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(io.LimitReader(r.Body, 1<<20))
	if err != nil {
		return
	}
	name, url, callID := r.PathValue("name"), r.Header.Get("X-Callback-Url"), rand.Text()
	example.Say(callID, "accepted %s", r.URL.Path)
	w.Header().Set("X-Call-Id", callID)
	w.Header().Set("X-Start-Time", strconv.FormatInt(time.Now().UnixNano(), 10))
	w.WriteHeader(http.StatusAccepted)
	go func() {
		started := time.Now()
		time.Sleep(works)
		status, answer := http.StatusNotFound, []byte("there is no function "+name)
		if f := functions[name]; f != nil {
			status, answer = f(body)
		}
		post(url, name, callID, status, answer, time.Since(started))
	}()
}

// post sends the answer of a function to the callback URL, as the queue worker does.
func post(url, name, callID string, status int, answer []byte, took time.Duration) {
	req, err := http.NewRequest(http.MethodPost, url, bytes.NewReader(answer))
	if err != nil {
		example.Say(callID, "has no URL to post its result to")
		return
	}
	req.Header.Set("Content-Type", "text/plain; charset=utf-8")
	req.Header.Set("X-Call-Id", callID)
	req.Header.Set("X-Function-Name", name)
	req.Header.Set("X-Function-Status", strconv.Itoa(status))
	req.Header.Set("X-Duration-Seconds", fmt.Sprintf("%f", took.Seconds()))
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		example.Say(callID, "could not post its result")
		return
	}
	_ = res.Body.Close()
	example.Say(callID, "posted its result, and was answered %s", res.Status)
}
