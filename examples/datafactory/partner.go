package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/caddy-callback/caddy-callback/examples/internal/example"
)

// works is how long the app takes for an order.
const works = 2 * time.Second

// serve is the app and, at /activity, the pipeline that waits for it.
func serve(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/activity" {
		report(w, r)
		return
	}
	// An ordinary app: it takes its time, and answers.
	var order struct{ Item string }
	if json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<20)).Decode(&order) != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	time.Sleep(works)
	if order.Item != "book" {
		http.Error(w, fmt.Sprintf("there is no %q", order.Item), http.StatusNotFound)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = fmt.Fprintf(w, `{"confirmed":true,"item":%q}`, order.Item)
}

// callback is the body of a call to a callBackUri, as a webhook activity reads it that has
// reportStatusOnCallBack.
type callback struct {
	// StatusCode is the status of the activity: from 400 on it has failed.
	StatusCode string
	Error      struct{ ErrorCode, Message string }
	Output     json.RawMessage
}

// report does what Azure Data Factory does when a callBackUri is called: it ends the
// activity, as the body says.
func report(w http.ResponseWriter, r *http.Request) {
	id := r.Header.Get("X-Link-Correlation-Id")
	var c callback
	err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<20)).Decode(&c)
	status, notANumber := strconv.Atoi(c.StatusCode)
	switch {
	case err != nil || notANumber != nil:
		w.WriteHeader(http.StatusBadRequest)
	case status >= http.StatusBadRequest:
		example.Say(id, "the activity has failed with %s: %s", c.Error.ErrorCode, c.Error.Message)
	default:
		var output bytes.Buffer
		_ = json.Compact(&output, c.Output)
		example.Say(id, "the activity has succeeded: %s", &output)
	}
}
