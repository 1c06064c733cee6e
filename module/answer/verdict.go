package answer

import (
	"net/http"
	"slices"

	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/problem"
)

// WriteVerdict answers a call with the verdict on it.
func WriteVerdict(w http.ResponseWriter, v callback.Verdict, p *callback.Policy, caller callback.Caller) {
	switch v.Kind {
	case callback.Accepted, callback.Repeated, callback.Returned, callback.Progressed:
		writeReply(w, v.Reply)
	case callback.Conflict:
		problem.AlreadyResolved.Write(w)
	case callback.Gone:
		gone := problem.Expired
		if v.Closed {
			gone = problem.Closed
		}
		gone.Write(w)
	case callback.Unattended:
		problem.NobodyWaits.Write(w)
	case callback.WrongMethod:
		problem.NotAllowed(p.Allow()).Write(w)
	case callback.Unauthorized, callback.Forbidden:
		KeyProblem(caller).Write(w)
	case callback.Backlogged:
		problem.ResultsWaiting(v.RetryAfter).Write(w)
	case callback.Refused:
		problem.Refused(v.Fault.Slug, v.Fault.Detail, v.Fault.Status).Write(w)
	}
}

// writeReply answers with a reply. Its headers replace ours of the same name.
func writeReply(w http.ResponseWriter, reply *callback.Reply) {
	h := w.Header()
	for _, f := range reply.Header {
		h.Del(f.Name)
	}
	reply.Header.AddTo(h)
	if reply.Body != "" {
		h.Set("X-Content-Type-Options", "nosniff")
		if !slices.ContainsFunc(reply.Header, func(f callback.Field) bool { return f.Name == "Content-Type" }) {
			h.Set("Content-Type", callback.ContentType(reply.Body))
		}
	}
	w.WriteHeader(reply.Status)
	if callback.StatusHasBody(reply.Status) {
		_, _ = w.Write([]byte(reply.Body))
	}
}
