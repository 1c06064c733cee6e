package answer

import (
	"net/http"
	"slices"

	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/problem"
)

// WriteVerdict answers a call with the verdict on it.
func WriteVerdict(w http.ResponseWriter, v callback.Verdict, p *callback.Policy, caller callback.Caller) {
	if refusal, refused := Refusal(v, p, caller); refused {
		refusal.Write(w)
		return
	}
	switch v.Kind {
	case callback.Accepted, callback.Repeated, callback.Returned, callback.Progressed:
		WriteReply(w, v.Reply)
	}
}

// Refusal returns the problem that answers a call with that verdict; false if it has a reply.
func Refusal(v callback.Verdict, p *callback.Policy, caller callback.Caller) (_ problem.Problem, refused bool) {
	switch v.Kind {
	case callback.Conflict:
		return problem.AlreadyResolved, true
	case callback.Gone:
		if v.Closed {
			return problem.Closed, true
		}
		return problem.Expired, true
	case callback.Unattended:
		return problem.NobodyWaits, true
	case callback.WrongMethod:
		return problem.NotAllowed(p.Allow()), true
	case callback.Unauthorized, callback.Forbidden:
		return KeyProblem(caller), true
	case callback.Backlogged:
		return problem.ResultsWaiting(v.RetryAfter), true
	case callback.Refused:
		return problem.Refused(v.Fault.Slug, v.Fault.Detail, v.Fault.Status), true
	}
	return problem.Problem{}, false
}

// WriteReply answers with a reply. Its headers replace ours of the same name, but for Vary, of
// which both are true.
func WriteReply(w http.ResponseWriter, reply *callback.Reply) {
	h := w.Header()
	for _, f := range reply.Header {
		if f.Name != "Vary" {
			h.Del(f.Name)
		}
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
