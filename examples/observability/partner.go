package main

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// works is how long an order takes.
const works = time.Second

// answers are what the partner calls back with for an order. It never calls for any other.
var answers = map[string]string{
	"book": `{"status":"done","book":"sent"}`,
	"fail": `{"status":"failed"}`,
	"odd":  `{"status":"sideways"}`,
}

// newPartner returns the partner.
func newPartner() *http.ServeMux {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /orders/{what}", order)
	mux.HandleFunc("POST /reports/{what}", func(w http.ResponseWriter, r *http.Request) {
		_, _ = fmt.Fprintf(w, "the report %s", r.PathValue("what"))
	})
	mux.HandleFunc("POST /taken", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("POST /gone", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusGone) })
	return mux
}

// order accepts an order, and calls back when it is done.
func order(w http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, io.LimitReader(r.Body, 1<<20))
	url, what := r.Header.Get("X-Link-Callback-Url"), r.PathValue("what")
	w.WriteHeader(http.StatusAccepted)
	answer, calls := answers[what]
	if !calls {
		return
	}
	time.AfterFunc(works, func() {
		res, err := http.Post(url, "application/json", strings.NewReader(answer))
		if err != nil {
			fmt.Println("the partner could not call back:", err)
			return
		}
		_ = res.Body.Close()
		fmt.Printf("the partner called back for %s, and was answered %s\n", what, res.Status)
	})
}
