package main

import (
	"encoding/json"
	"net/http"
	"strings"
	"time"
)

// thinks is how long it takes until a ticket is assigned.
const thinks = 2 * time.Second

// openTicket is the ticket system: it opens a ticket at once, and reports later, by
// callback, who takes care of it.
func openTicket(w http.ResponseWriter, r *http.Request) {
	var opened struct {
		CallbackURL string `json:"callbackUrl"`
	}
	if err := json.NewDecoder(r.Body).Decode(&opened); err != nil {
		http.Error(w, "not a ticket", http.StatusBadRequest)
		return
	}
	say("tickets: opened ticket 17")
	w.WriteHeader(http.StatusAccepted)
	go func() {
		time.Sleep(thinks)
		// The key is in the URL already, so no Authorization header is needed.
		for range 2 {
			res, err := http.Post(opened.CallbackURL, "application/json", strings.NewReader(`{"ticket":17,"assignee":"Ada"}`))
			if err != nil {
				say("tickets: could not call back")
				return
			}
			_ = res.Body.Close()
			say("tickets: called back, and was answered %s", res.Status)
		}
		res, err := http.Post(opened.CallbackURL, "application/json", strings.NewReader(`{"ticket":17,"assignee":"Bob"}`))
		if err == nil {
			_ = res.Body.Close()
			say("tickets: called back with something else, and was answered %s", res.Status)
		}
	}()
}
