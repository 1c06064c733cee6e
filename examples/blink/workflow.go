package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
)

// runWorkflow is a workflow of three steps: generate a callback URL, open a ticket
// with it, and wait until the ticket is assigned.
func runWorkflow(w http.ResponseWriter, r *http.Request) {
	request, err := io.ReadAll(io.LimitReader(r.Body, 1<<20))
	if err != nil {
		return
	}
	assigned, err := triage(request)
	if err != nil {
		say("workflow: %v", err)
		http.Error(w, "the workflow has failed", http.StatusBadGateway)
		return
	}
	say("workflow: goes on, the ticket is assigned to %s", assigned.Assignee)
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(assigned)
}

// ticket is what the ticket system sends.
type ticket struct {
	Ticket   int    `json:"ticket"`
	Assignee string `json:"assignee"`
}

func triage(request []byte) (t ticket, err error) {
	// Generate Callback URL, with "Include API Key".
	var generated struct {
		ID          string `json:"id"`
		CallbackURL string `json:"callbackUrl"`
	}
	err = exchange(http.MethodPost, "http://"+api.String()+"/callbacks", `{"includeApiKey":true,"methods":["POST"]}`, http.StatusCreated, &generated)
	if err != nil {
		return t, fmt.Errorf("no callback URL was generated: %w", err)
	}
	say("workflow: generated a callback URL, and opens a ticket with it")

	opened, err := json.Marshal(map[string]any{"request": json.RawMessage(request), "callbackUrl": generated.CallbackURL})
	if err != nil {
		return t, err
	}
	if err := exchange(http.MethodPost, "http://"+tickets.String()+"/tickets", string(opened), http.StatusAccepted, nil); err != nil {
		return t, fmt.Errorf("no ticket was opened: %w", err)
	}

	// Wait, for up to a minute. A workflow that takes longer asks again.
	say("workflow: waits")
	err = exchange(http.MethodGet, "http://"+api.String()+"/callbacks/"+generated.ID+"/result", "", http.StatusOK, &t)
	return t, err
}

// exchange sends a request, and reads the JSON in its answer.
func exchange(method, url, body string, want int, answer any) error {
	req, err := http.NewRequest(method, url, strings.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Prefer", "wait=60")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = res.Body.Close() }()
	got, err := io.ReadAll(res.Body)
	switch {
	case err != nil:
		return err
	case res.StatusCode != want:
		return fmt.Errorf("%s: %s", res.Status, bytes.TrimSpace(got))
	case answer == nil:
		return nil
	}
	return json.Unmarshal(got, answer)
}
