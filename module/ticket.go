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
		problem.NotAllowed("GET, HEAD").Write(w)
		return
	}
	reading := Reading{Engine: rt.Engine, Exit: rt.Exit, Key: store.ByTicket(at.Secret), Document: StatusDocument}
	if at.Resource == callback.ResultPath {
		reading.Document = ResultDocument
	}
	cb, err := reading.Await(w, r)
	switch {
	case errors.Is(err, store.ErrNotFound):
		problem.UnknownTicket.Write(w)
	case err != nil:
		s.log.Error("a callback could not be read", zap.Error(err))
		problemOf(err).Write(w)
	case cb == nil:
	case at.Resource == callback.ResultPath:
		serveResult(w, r, rt.Engine, cb)
	default:
		serveStatus(w, r, rt.Engine, cb)
	}
}
