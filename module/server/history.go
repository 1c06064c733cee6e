package server

import (
	"net/http"

	"github.com/caddy-callback/caddy-callback/module/answer"
	"github.com/caddy-callback/caddy-callback/module/app"
	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/page"
	"github.com/caddy-callback/caddy-callback/module/problem"
)

// Why a call that changes nothing gets a reply.
const (
	repeated = "repeated"
	returned = "returned"
)

// writeVerdict answers a call with the verdict on it. A call that changes nothing is noted for the
// history of its callback.
func (s *Server) writeVerdict(w http.ResponseWriter, r *http.Request, rt *app.Runtime, v callback.Verdict, p *callback.Policy, call *callback.Call) {
	refusal, refused := answer.Refusal(v, p, call.Caller)
	span := about(r.Context(), rt, v.ID)
	if refused {
		fail(span, refusal)
	}
	switch {
	case refused && (v.Kind != callback.Refused || v.Next == nil):
		remember(rt, v.ID, refusal)
	case v.Kind == callback.Repeated:
		rt.Engine.Remember(v.ID, callback.Happening{Kind: callback.HappenedReplied, Status: v.Reply.Status, Reason: repeated})
	case v.Kind == callback.Returned:
		rt.Engine.Remember(v.ID, callback.Happening{Kind: callback.HappenedReplied, Status: v.Reply.Status, Reason: returned})
	}
	page.Vary(w.Header())
	if !call.Person || !s.answerPerson(w, r, v, p) {
		answer.WriteVerdict(w, v, p, call.Caller)
	}
}

// remember notes that a call to a callback was refused, if it is known which.
func remember(rt *app.Runtime, id callback.UUID, p problem.Problem) {
	if !id.IsZero() {
		rt.Engine.Remember(id, callback.Happening{Kind: callback.HappenedRefused, Status: p.Status, Reason: p.Slug})
	}
}
