package main

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/caddy-callback/caddy-callback/examples/internal/example"
)

// works is how long the stand-in takes for each half of a prediction.
const works = time.Second

// prediction is a prediction as Replicate's API has it.
type prediction struct {
	ID          string            `json:"id"`
	Model       string            `json:"model"`
	Version     string            `json:"version"`
	Input       map[string]any    `json:"input"`
	Output      any               `json:"output"`
	Error       any               `json:"error"`
	Logs        string            `json:"logs"`
	Status      string            `json:"status"`
	CreatedAt   time.Time         `json:"created_at"`
	CompletedAt *time.Time        `json:"completed_at,omitempty"`
	URLs        map[string]string `json:"urls"`
	// Webhook is where the client wants its events.
	Webhook string `json:"webhook,omitempty"`
}

// request is what the body of a request for a prediction says.
type request struct {
	Version string         `json:"version"`
	Input   map[string]any `json:"input"`
	Webhook string         `json:"webhook"`
	// Filter is the kinds of events that the client wants.
	Filter []string `json:"webhook_events_filter"`
}

// api is a stand-in of Replicate's API. It echoes the input's text. An input with "fail" fails, and
// one with "silent" sends no webhook.
type api struct {
	*http.ServeMux
	mu          sync.Mutex
	predictions map[string]prediction
}

func newAPI() *api {
	a := &api{ServeMux: http.NewServeMux(), predictions: make(map[string]prediction)}
	a.HandleFunc("POST /v1/predictions", a.create)
	a.HandleFunc("POST /v1/models/{owner}/{name}/predictions", a.create)
	a.HandleFunc("GET /v1/predictions/{id}", a.get)
	a.HandleFunc("GET /v1/webhooks/default/secret", func(w http.ResponseWriter, r *http.Request) {
		answer(w, r, http.StatusOK, map[string]string{"key": os.Getenv(signingVariable)})
	})
	return a
}

func (a *api) create(w http.ResponseWriter, r *http.Request) {
	var req request
	if err := json.NewDecoder(io.LimitReader(r.Body, 1<<20)).Decode(&req); err != nil {
		answer(w, r, http.StatusUnprocessableEntity, map[string]string{"detail": "the body is not understood"})
		return
	}
	p := prediction{
		ID: strings.ToLower(rand.Text()), Version: req.Version, Input: req.Input, Status: "starting", CreatedAt: time.Now().UTC(), Webhook: req.Webhook,
	}
	if r.PathValue("owner") != "" {
		p.Model = r.PathValue("owner") + "/" + r.PathValue("name")
	}
	p.URLs = map[string]string{"get": "http://" + partner.String() + "/v1/predictions/" + p.ID}
	a.store(p)
	example.Say(p.ID, "accepted %s, with a webhook: %v", r.URL.Path, p.Webhook != "")
	if strings.HasPrefix(r.Header.Get("Prefer"), "wait") {
		answer(w, r, http.StatusCreated, a.predict(p, req.Filter))
		return
	}
	answer(w, r, http.StatusCreated, p)
	go a.predict(p, req.Filter)
}

func (a *api) get(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	p, ok := a.predictions[r.PathValue("id")]
	a.mu.Unlock()
	if !ok {
		answer(w, r, http.StatusNotFound, map[string]string{"detail": "Not found."})
		return
	}
	answer(w, r, http.StatusOK, p)
}

func (a *api) store(p prediction) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.predictions[p.ID] = p
}

// predict carries a prediction out.
func (a *api) predict(p prediction, filter []string) prediction {
	p.Status = "processing"
	a.store(p)
	send(p, "start", filter)
	time.Sleep(works)
	p.Logs = "half of it is done\n"
	p.Output = []any{p.Input["text"]}
	a.store(p)
	send(p, "output", filter)
	time.Sleep(works)
	completed := time.Now().UTC()
	p.Status, p.CompletedAt = "succeeded", &completed
	if p.Input["fail"] != nil {
		p.Status, p.Output, p.Error = "failed", nil, "the model has failed"
	}
	a.store(p)
	send(p, "completed", filter)
	return p
}

// send sends the webhook of an event, if the client wants it.
func send(p prediction, event string, filter []string) {
	if p.Webhook == "" || len(filter) > 0 && !slices.Contains(filter, event) || p.Input["silent"] != nil {
		return
	}
	body, err := json.Marshal(p)
	if err != nil {
		example.Say(p.ID, "cannot write its webhook")
		return
	}
	status, err := example.SendWebhook(p.Webhook, os.Getenv(signingVariable), body)
	if err != nil {
		example.Say(p.ID, "could not send the event %s", event)
		return
	}
	example.Say(p.ID, "sent the event %s, and was answered %s", event, status)
}

// answer answers whoever has a token of Replicate's.
func answer(w http.ResponseWriter, r *http.Request, status int, body any) {
	if !strings.HasPrefix(r.Header.Get("Authorization"), "Bearer r8_") {
		status, body = http.StatusUnauthorized, map[string]string{"detail": "You did not pass a valid authentication token"}
	}
	text, err := json.Marshal(body)
	if err != nil {
		status, text = http.StatusInternalServerError, []byte(`{"detail":"no answer"}`)
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = fmt.Fprintf(w, "%s\n", text)
}
