package module

import (
	"errors"
	"net/http"

	"go.uber.org/zap"

	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/problem"
	"github.com/caddy-callback/caddy-callback/module/store"
)

// serveTicket shows status or result to whoever has the ticket.
func (s *Server) serveTicket(w http.ResponseWriter, r *http.Request, rt *Runtime, at callback.Path) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		writeNotAllowed(w, "GET, HEAD")
		return
	}
	preference := preferenceOf(r.Header, maxPreferredWait)
	reading := reading{r: r, engine: rt.Engine, exit: rt.Exit, key: store.ByTicket(at.Secret), tag: statusTag}
	if at.Resource == callback.ResultPath {
		reading.tag, reading.ended = resultTag, true
	}
	cb, err := reading.await(preference.wait)
	if errors.Is(err, store.ErrNotFound) {
		problem.UnknownTicket.Write(w)
		return
	}
	if err != nil {
		s.log.Error("a callback could not be read", zap.Error(err))
		problemOf(err).Write(w)
		return
	}
	preference.async = false
	preference.apply(w.Header())
	known, err := reading.answered(w, cb)
	switch {
	case err != nil:
		problemOf(err).Write(w)
		return
	case known:
		return
	}
	if at.Resource == callback.ResultPath {
		serveResult(w, r, rt.Engine, cb)
		return
	}
	st := newStatus(cb)
	st.Step.named(r.Context(), rt.Engine)
	writeJSON(w, http.StatusOK, st)
}
