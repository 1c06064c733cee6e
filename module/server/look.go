package server

import (
	"net/http"
	"regexp"
	"slices"

	"github.com/caddy-callback/caddy-callback/module/answer"
	"github.com/caddy-callback/caddy-callback/module/app"
	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/engine"
)

// looks reports whether a request only looks at a URL. A browser that asks whether
// another site's page may make a request (the CORS protocol) is none: it may not.
func looks(r *http.Request) bool {
	asksForPage := r.Method == http.MethodOptions && r.Header.Get("Origin") != "" && r.Header.Get("Access-Control-Request-Method") != ""
	return slices.Contains(callback.LookMethods, r.Method) && !asksForPage
}

// serveLook answers a request that only looks at a callback URL.
func (s *Server) serveLook(w http.ResponseWriter, r *http.Request, rt *app.Runtime, in engine.Incoming) error {
	answer.LeaveUnread(w, r)
	verdict, policy, err := rt.Engine.Look(r.Context(), in)
	switch {
	case err != nil:
		return failed(rt, err)
	case verdict.Kind != callback.Looked:
		answer.WriteVerdict(w, verdict, policy, in.Call.Caller)
	default:
		writeLook(w, r, policy.Allow())
	}
	return nil
}

// hostName matches the names of hosts.
var hostName = regexp.MustCompile(`^[0-9A-Za-z]([0-9A-Za-z-]{0,61}[0-9A-Za-z])?(\.[0-9A-Za-z]([0-9A-Za-z-]{0,61}[0-9A-Za-z])?)*$`)

const maxHostName = 253

// writeLook says that calls are taken here. To a sender of CloudEvents, which asks first
// whether it may call (HTTP 1.1 Web Hooks for Event Delivery, section 4), it says yes.
func writeLook(w http.ResponseWriter, r *http.Request, allow string) {
	h := w.Header()
	h.Set("Allow", allow)
	if r.Method == http.MethodHead {
		w.WriteHeader(http.StatusOK)
		return
	}
	if origin := allowedOrigin(r); origin != "" {
		h.Set("WebHook-Allowed-Origin", origin)
		h.Set("WebHook-Allowed-Rate", "*")
	}
	w.WriteHeader(http.StatusNoContent)
}

// allowedOrigin returns the name of the host from which a sender of CloudEvents wants to call, ""
// if it names none.
func allowedOrigin(r *http.Request) string {
	origin := r.Header.Values("WebHook-Request-Origin")
	if len(origin) != 1 || len(origin[0]) > maxHostName || !hostName.MatchString(origin[0]) {
		return ""
	}
	return origin[0]
}
