package main

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/caddy-callback/caddy-callback/examples/internal/example"
)

// works is how long the agent takes for each half of a task.
const works = time.Second

// notifiedHeader is where a notification has the token of whoever gets it.
const notifiedHeader = "X-A2A-Notification-Token"

// rpc is a request of JSON-RPC, with what the agent reads of A2A's parameters.
type rpc struct {
	ID     json.RawMessage `json:"id"`
	Method string          `json:"method"`
	Params struct {
		ID            string  `json:"id"`
		Message       message `json:"message"`
		Configuration struct {
			Notify struct {
				URL   string `json:"url"`
				Token string `json:"token"`
			} `json:"pushNotificationConfig"`
		} `json:"configuration"`
	} `json:"params"`
}

type message struct {
	Parts []part `json:"parts"`
}

type part struct {
	Kind string `json:"kind"`
	Text string `json:"text"`
}

// task is a task as A2A has it.
type task struct {
	Kind      string     `json:"kind"`
	ID        string     `json:"id"`
	ContextID string     `json:"contextId"`
	Status    status     `json:"status"`
	Artifacts []artifact `json:"artifacts,omitempty"`
}

type status struct {
	State     string    `json:"state"`
	Timestamp time.Time `json:"timestamp"`
}

type artifact struct {
	ID    string `json:"artifactId"`
	Parts []part `json:"parts"`
}

// agent is an agent that echoes messages. A message "fail" fails.
type agent struct {
	*http.ServeMux
	mu    sync.Mutex
	tasks map[string]task
}

// newAgent returns an agent and, at /inbox, an app that gets its notifications.
func newAgent() *agent {
	a := &agent{ServeMux: http.NewServeMux(), tasks: make(map[string]task)}
	a.HandleFunc("POST /{$}", a.answer)
	a.HandleFunc("POST /inbox", receive)
	return a
}

func (a *agent) answer(w http.ResponseWriter, r *http.Request) {
	var req rpc
	if err := json.NewDecoder(io.LimitReader(r.Body, 1<<20)).Decode(&req); err != nil {
		reply(w, nil, "error", map[string]any{"code": -32700, "message": "Parse error"})
		return
	}
	switch req.Method {
	case "message/send":
		t := a.become(task{Kind: "task", ID: rand.Text(), ContextID: rand.Text()}, "submitted")
		example.Say(t.ID, "submitted")
		reply(w, req.ID, "result", t)
		go a.work(t, req)
	case "tasks/get":
		a.mu.Lock()
		t, ok := a.tasks[req.Params.ID]
		a.mu.Unlock()
		if !ok {
			reply(w, req.ID, "error", map[string]any{"code": -32001, "message": "Task not found"})
			return
		}
		reply(w, req.ID, "result", t)
	default:
		reply(w, req.ID, "error", map[string]any{"code": -32601, "message": "Method not found"})
	}
}

// become puts a task into a state.
func (a *agent) become(t task, state string) task {
	t.Status = status{State: state, Timestamp: time.Now().UTC()}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.tasks[t.ID] = t
	return t
}

// work carries a task out, and notifies of each state.
func (a *agent) work(t task, req rpc) {
	notify := func(t task) { notify(req.Params.Configuration.Notify.URL, req.Params.Configuration.Notify.Token, t) }
	time.Sleep(works)
	t = a.become(t, "working")
	notify(t)
	time.Sleep(works)
	if parts := req.Params.Message.Parts; len(parts) == 1 && parts[0].Text == "fail" {
		notify(a.become(t, "failed"))
		return
	}
	t.Artifacts = []artifact{{ID: rand.Text(), Parts: req.Params.Message.Parts}}
	notify(a.become(t, "completed"))
}

// notify sends a push notification to whoever has asked for that.
func notify(url, token string, t task) {
	if url == "" {
		return
	}
	body, err := json.Marshal(t)
	if err != nil {
		example.Say(t.ID, "cannot write a notification")
		return
	}
	req, err := http.NewRequest(http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		example.Say(t.ID, "has no right URL to notify")
		return
	}
	req.Header.Set("Content-Type", "application/json")
	if token != "" {
		req.Header.Set(notifiedHeader, token)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		example.Say(t.ID, "could not notify")
		return
	}
	_ = res.Body.Close()
	example.Say(t.ID, "%s, has notified of it, and was answered %s", t.Status.State, res.Status)
}

// receive is the app that takes notifications.
func receive(_ http.ResponseWriter, r *http.Request) {
	var t task
	if err := json.NewDecoder(io.LimitReader(r.Body, 1<<20)).Decode(&t); err != nil {
		return
	}
	example.Say(t.ID, "its app was notified with the token %s: %s", r.Header.Get(notifiedHeader), t.Status.State)
}

// reply answers with a result or an error of JSON-RPC.
func reply(w http.ResponseWriter, id json.RawMessage, name string, value any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(map[string]any{"jsonrpc": "2.0", "id": id, name: value})
}
