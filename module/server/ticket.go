package server

import (
	"errors"
	"net/http"

	"go.uber.org/zap"

	"github.com/caddy-callback/caddy-callback/module/answer"
	"github.com/caddy-callback/caddy-callback/module/app"
	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/engine"
	"github.com/caddy-callback/caddy-callback/module/problem"
	"github.com/caddy-callback/caddy-callback/module/store"
)

// serveTicket shows status or result to the holder of the ticket.
func (s *Server) serveTicket(w http.ResponseWriter, r *http.Request, rt *app.Runtime, at callback.Path) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		problem.NotAllowed(readMethods).Write(w)
		return
	}
	reading := answer.Reading{Engine: rt.Engine, Exit: rt.Exit, Key: store.ByTicket(at.Secret), Document: answer.StatusDocument, Shows: s.shows}
	if at.Resource == callback.ResultPath {
		reading.Document, reading.Chain = answer.ResultDocument, answer.ChainOf(r.URL.RawQuery)
	}
	err := reading.Serve(w, r, func(cb *engine.Callback) error {
		switch {
		case cb.Phase == callback.Waiting && at.Resource == callback.ResultPath && answer.ShowsPage(r, cb) && !cb.SecretGone():
			answer.WriteToPage(w, cb)
			return nil
		case cb.Phase == callback.Waiting && reading.Chain.GoesOn(r) && !rt.Exiting():
			answer.ServeChained(w, cb, reading.Chain)
			return nil
		case at.Resource == callback.ResultPath:
			return answer.ServeResult(w, r, rt.Engine, cb)
		}
		answer.ServeStatus(w, r, rt.Engine, cb)
		return nil
	})
	switch {
	case errors.Is(err, store.ErrNotFound):
		problem.UnknownTicket.Write(w)
	case err != nil:
		rt.Engine.Refused(err, zap.String("request", "status or result"))
		answer.ProblemOf(err).Write(w)
	}
}
