package main

import (
	"crypto/rand"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/caddy-callback/caddy-callback/examples/internal/example"
)

// works is how long the stand-in takes for a response.
const works = 2 * time.Second

// response is a response as OpenAI's API has it.
type response struct {
	ID         string `json:"id"`
	Object     string `json:"object"`
	CreatedAt  int64  `json:"created_at"`
	Status     string `json:"status"`
	Background bool   `json:"background"`
	Model      string `json:"model"`
	Output     []item `json:"output"`
}

type item struct {
	Type    string `json:"type"`
	ID      string `json:"id"`
	Role    string `json:"role"`
	Status  string `json:"status"`
	Content []text `json:"content"`
}

type text struct {
	Type        string   `json:"type"`
	Text        string   `json:"text"`
	Annotations []string `json:"annotations"`
}

// request is what the body of a request for a response says.
type request struct {
	Model      string `json:"model"`
	Input      string `json:"input"`
	Background bool   `json:"background"`
}

// api is a stand-in of OpenAI's API. It echoes the input; with the model "gpt-fails" the response
// fails.
type api struct {
	*http.ServeMux
	mu        sync.Mutex
	responses map[string]response
}

func newAPI() *api {
	a := &api{ServeMux: http.NewServeMux(), responses: make(map[string]response)}
	a.HandleFunc("POST /v1/responses", a.create)
	a.HandleFunc("GET /v1/responses/{id}", a.get)
	return a
}

func (a *api) create(w http.ResponseWriter, r *http.Request) {
	var req request
	if err := json.NewDecoder(io.LimitReader(r.Body, 1<<20)).Decode(&req); err != nil {
		answer(w, r, http.StatusBadRequest, problem("the body is not understood"))
		return
	}
	res := response{
		ID: "resp_" + strings.ToLower(rand.Text()), Object: "response", CreatedAt: time.Now().Unix(),
		Status: "queued", Background: req.Background, Model: req.Model, Output: []item{},
	}
	if !req.Background {
		answer(w, r, http.StatusOK, a.complete(res, req.Input))
		return
	}
	a.store(res)
	example.Say(res.ID, "queued")
	answer(w, r, http.StatusOK, res)
	go func() {
		time.Sleep(works)
		send(a.complete(res, req.Input))
	}()
}

func (a *api) get(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	res, ok := a.responses[r.PathValue("id")]
	a.mu.Unlock()
	if !ok {
		answer(w, r, http.StatusNotFound, problem("there is no such response"))
		return
	}
	answer(w, r, http.StatusOK, res)
}

// complete ends a response.
func (a *api) complete(res response, input string) response {
	res.Status = "failed"
	if res.Model != "gpt-fails" {
		res.Status = "completed"
		res.Output = []item{{
			Type: "message", ID: "msg_" + strings.ToLower(rand.Text()), Role: "assistant", Status: "completed",
			Content: []text{{Type: "output_text", Text: input, Annotations: []string{}}},
		}}
	}
	a.store(res)
	return res
}

func (a *api) store(res response) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.responses[res.ID] = res
}

// send sends the webhook of a response to the one URL that the account has.
func send(res response) {
	body, err := json.Marshal(map[string]any{
		"object": "event", "id": "evt_" + rand.Text(), "type": "response." + res.Status,
		"created_at": time.Now().Unix(), "data": map[string]string{"id": res.ID},
	})
	if err != nil {
		example.Say(res.ID, "cannot write its webhook")
		return
	}
	status, err := example.SendWebhook("http://"+public.String()+"/cb", os.Getenv(signingVariable), body)
	if err != nil {
		example.Say(res.ID, "could not send the webhook")
		return
	}
	example.Say(res.ID, "%s, sent the webhook, and was answered %s", res.Status, status)
}

func problem(message string) any {
	return map[string]any{"error": map[string]string{"message": message, "type": "invalid_request_error"}}
}

// answer answers whoever has a key of the API.
func answer(w http.ResponseWriter, r *http.Request, status int, body any) {
	if !strings.HasPrefix(r.Header.Get("Authorization"), "Bearer sk-") {
		status, body = http.StatusUnauthorized, problem("there is no API key")
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body)
}
