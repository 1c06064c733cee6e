package answer

import (
	"net/http"

	"github.com/caddy-callback/caddy-callback/module/engine"
)

// pollAfter is the Retry-After, in seconds, of an answer to a client whose result is not
// there yet.
const pollAfter = "5"

// parked tells a client that is answered before its callback has come (docs/wire.md,
// section 202).
type parked struct {
	Status    string `json:"status"`
	Message   string `json:"message"`
	ID        string `json:"id"`
	StatusURL string `json:"statusUrl"`
	ResultURL string `json:"resultUrl"`
}

func newParked(cb *engine.Callback, message string) parked {
	return parked{Status: "processing", Message: message, ID: cb.ID.String(), StatusURL: cb.StatusURL(), ResultURL: cb.ResultURL()}
}

// WriteParked answers 202 to a client before its callback has come.
func WriteParked(w http.ResponseWriter, cb *engine.Callback, message string) {
	h := w.Header()
	h.Set("Location", cb.StatusURL())
	h.Set("Retry-After", pollAfter)
	h.Set("Cache-Control", "no-store")
	WriteJSON(w, http.StatusAccepted, newParked(cb, message))
}

// writeNotYet answers 202 to a client that asks for a result that is not there yet.
func writeNotYet(w http.ResponseWriter, cb *engine.Callback) {
	w.Header().Set("Retry-After", pollAfter)
	WriteJSON(w, http.StatusAccepted, newStatus(cb))
}
