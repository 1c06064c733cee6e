package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/caddy-callback/caddy-callback/examples/internal/example"
)

// archiveToken is what the archive asks for.
const archiveToken = "a-token-of-the-archive"

// works is how long Gotenberg works on a document.
const works = 2 * time.Second

// serve is Gotenberg and, at /archive and /failures, who gets its documents.
func serve(w http.ResponseWriter, r *http.Request) {
	switch {
	case r.URL.Path == "/archive" || r.URL.Path == "/failures":
		take(w, r)
	case strings.HasPrefix(r.URL.Path, "/forms/"):
		convert(w, r)
	default:
		http.NotFound(w, r)
	}
}

// take is the archive: who has no token puts nothing into it.
func take(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(io.LimitReader(r.Body, 1<<20))
	if err != nil {
		return
	}
	id := r.Header.Get("X-Link-Correlation-Id")
	if r.Method != http.MethodPut || r.Header.Get("Authorization") != "Bearer "+archiveToken {
		example.Say(id, "%s without a token was refused", r.Method)
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	example.Say(id, "%s has come to %s for %s: %s", r.Header.Get("Content-Type"), r.URL.Path, r.Header.Get("X-Tenant"), body)
}

// webhook is where Gotenberg reports a document, as its headers say.
type webhook struct {
	method, url           string
	errorMethod, errorURL string
	extra                 map[string]string
}

// webhookOf reads the headers of a request. Both URLs are required.
func webhookOf(h http.Header) (webhook, bool) {
	hook := webhook{
		method: h.Get("Gotenberg-Webhook-Method"), url: h.Get("Gotenberg-Webhook-Url"),
		errorMethod: h.Get("Gotenberg-Webhook-Error-Method"), errorURL: h.Get("Gotenberg-Webhook-Error-Url"),
	}
	if extra := h.Get("Gotenberg-Webhook-Extra-Http-Headers"); extra != "" && json.Unmarshal([]byte(extra), &hook.extra) != nil {
		return webhook{}, false
	}
	return hook, hook.url != "" && hook.errorURL != ""
}

// convert does what Gotenberg does with its webhook headers: it answers 204 at once, makes
// the document, and sends it to the one URL, or says at the other why there is none.
func convert(w http.ResponseWriter, r *http.Request) {
	hook, ok := webhookOf(r.Header)
	page, id := r.FormValue("url"), r.Header.Get("X-Link-Correlation-Id")
	if !ok || page == "" {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	w.Header().Set("Gotenberg-Trace", id)
	w.WriteHeader(http.StatusNoContent)
	example.Say(id, "makes a document of %s", page)
	go func() {
		time.Sleep(works)
		if strings.HasSuffix(page, ".invalid") {
			hook.fails(id, http.StatusBadRequest, "Chromium cannot load "+page)
			return
		}
		hook.succeeds(id, fmt.Appendf(nil, "%%PDF-1.7 of %s", page))
	}()
}

func (h webhook) succeeds(id string, document []byte) {
	h.send(h.method, h.url, id, document, map[string]string{"Content-Type": "application/pdf", "Content-Disposition": "attachment; filename=document.pdf"})
}

func (h webhook) fails(id string, status int, message string) {
	body, _ := json.Marshal(map[string]any{"status": status, "message": message})
	h.send(h.errorMethod, h.errorURL, id, body, map[string]string{"Content-Type": "application/json; charset=UTF-8"})
}

// send calls one of the URLs.
func (h webhook) send(method, url, id string, body []byte, header map[string]string) {
	if method == "" {
		method = http.MethodPost
	}
	r, err := http.NewRequest(method, url, bytes.NewReader(body))
	if err != nil {
		example.Say(id, "cannot call back")
		return
	}
	r.Header.Set("Gotenberg-Trace", id)
	for _, lines := range []map[string]string{header, h.extra} {
		for name, value := range lines {
			r.Header.Set(name, value)
		}
	}
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		example.Say(id, "could not call back")
		return
	}
	_ = res.Body.Close()
	if res.StatusCode != http.StatusOK {
		example.Say(id, "called back, and was answered %s", res.Status)
	}
}
