package module

import (
	"encoding/json"
	"net/http"

	"go.uber.org/zap"

	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/engine"
	"github.com/caddy-callback/caddy-callback/module/problem"
	"github.com/caddy-callback/caddy-callback/module/store"
)

// pollAfter is what Retry-After says to who looks for a result that is not there
// yet, in seconds.
const pollAfter = "5"

// status is the status of a callback as its ticket shows it.
type status struct {
	ID              callback.UUID  `json:"id"`
	Phase           callback.Phase `json:"phase"`
	CorrelationID   string         `json:"correlationId"`
	Name            string         `json:"name,omitempty"`
	CreatedAt       callback.Time  `json:"createdAt"`
	ExpiresAt       callback.Time  `json:"expiresAt"`
	FinishedAt      *callback.Time `json:"finishedAt,omitempty"`
	DocumentStatus  string         `json:"documentStatus,omitempty"`
	TechnicalStatus string         `json:"technicalStatus,omitempty"`
	ErrorCode       string         `json:"errorCode,omitempty"`
	ErrorText       string         `json:"errorText,omitempty"`
	ResultURL       string         `json:"resultUrl"`
}

func newStatus(cb *engine.Callback) status {
	s := status{
		ID:            cb.ID,
		Phase:         cb.Phase,
		CorrelationID: cb.CorrelationID,
		Name:          cb.Name,
		CreatedAt:     cb.CreatedAt,
		ExpiresAt:     cb.ExpiresAt,
		ResultURL:     cb.ResultURL(),
	}
	if cb.FinishedAt != 0 {
		s.FinishedAt = &cb.FinishedAt
	}
	if f := cb.Failure; f != nil {
		s.DocumentStatus, s.TechnicalStatus = f.DocumentStatus, f.TechnicalStatus
		s.ErrorCode, s.ErrorText = f.ErrorCode, f.ErrorText
	}
	return s
}

// serveTicket shows status or result to whoever has the ticket.
func (s *Server) serveTicket(w http.ResponseWriter, r *http.Request, rt *runtime, at location) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		writeNotAllowed(w, "GET, HEAD")
		return
	}
	cb, err := rt.engine.Find(r.Context(), store.ByTicket(at.secret))
	if isNotFound(err) {
		problem.UnknownTicket.Write(w)
		return
	}
	if err == nil {
		// What a crash could still undo is not shown.
		err = store.Wait(r.Context(), cb.Commit)
	}
	if err != nil {
		s.log.Error("a callback could not be read", zap.Error(err))
		storeProblem(err).Write(w)
		return
	}
	if at.resource == resultPath {
		serveResult(w, r, rt.engine, cb)
		return
	}
	writeJSON(w, http.StatusOK, newStatus(cb))
}

// serveResult shows what a held client would have got. Since a browser may show it,
// it comes with headers that keep what is in it from doing anything.
func serveResult(w http.ResponseWriter, r *http.Request, e *engine.Engine, cb *engine.Callback) {
	switch cb.Phase {
	case callback.Waiting:
		w.Header().Set("Retry-After", pollAfter)
		writeJSON(w, http.StatusAccepted, newStatus(cb))
		return
	case callback.Expired:
		problem.ExpiredResult.Write(w)
		return
	case callback.Closed:
		problem.Closed.With(cb.Reason).Write(w)
		return
	}
	h := w.Header()
	h.Set("Content-Security-Policy", "sandbox; default-src 'none'")
	h.Set("X-Content-Type-Options", "nosniff")
	result := cb.Result(cb.Policy)
	if result.Failure != nil {
		failedProblem(cb.Record, result).Write(w)
		return
	}
	if result.Header.Get("Content-Disposition") == "" {
		h.Set("Content-Disposition", "attachment")
	}
	_ = writeResult(w, r, e, result)
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	b, err := json.Marshal(v)
	if err != nil {
		problem.Damaged.Write(w)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_, _ = w.Write(append(b, '\n'))
}
