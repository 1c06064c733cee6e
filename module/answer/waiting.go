package answer

import (
	"net/http"

	"github.com/caddy-callback/caddy-callback/module/engine"
)

// pollAfter is what Retry-After says to who looks for a result that is not there
// yet, in seconds.
const pollAfter = "5"

// parked is what a client is told that is let go before its callback has come
// (seeds/springbolt-async-callback-actions.txt).
type parked struct {
	Status    string `json:"status"`
	Message   string `json:"message"`
	ID        string `json:"id"`
	StatusURL string `json:"statusUrl"`
	ResultURL string `json:"resultUrl"`
}

// WriteParked answers 202 to a client that is let go before its callback has come.
func WriteParked(w http.ResponseWriter, cb *engine.Callback, message string) {
	h := w.Header()
	h.Set("Location", cb.StatusURL())
	h.Set("Retry-After", pollAfter)
	h.Set("Cache-Control", "no-store")
	WriteJSON(w, http.StatusAccepted, parked{
		Status: "processing", Message: message, ID: cb.ID.String(), StatusURL: cb.StatusURL(), ResultURL: cb.ResultURL(),
	})
}

// writeNotYet answers 202 to a client that asks for a result which is not there yet.
func writeNotYet(w http.ResponseWriter, cb *engine.Callback) {
	w.Header().Set("Retry-After", pollAfter)
	WriteJSON(w, http.StatusAccepted, newStatus(cb))
}
