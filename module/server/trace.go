package server

import (
	"context"
	"net/http"
	"strings"

	"github.com/caddy-callback/caddy-callback/module/app"
	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/problem"
	"github.com/caddy-callback/caddy-callback/module/span"
	"github.com/caddy-callback/caddy-callback/module/store"
)

// hideURL takes the secret in a URL of ours out of the span that Caddy has made of the request.
func hideURL(r *http.Request) {
	shown := r.URL.Path
	if first, secret, _ := strings.Cut(strings.TrimLeft(shown, "/"), "/"); secret != "" {
		shown = "/" + first + "/***"
	}
	span.Hide(r, shown)
}

// beginSpan begins the span of a call, where requests are traced. A request that only looks is
// no call.
func beginSpan(r *http.Request) (*http.Request, *span.Span) {
	if looks(r) {
		return r, nil
	}
	return span.Begin(r, span.Call)
}

// about says in the span of a call which callback that is for, and links it to the request from
// which that came. It returns the span, nil if there is none.
func about(ctx context.Context, rt *app.Runtime, id callback.UUID) *span.Span {
	s := span.Current(ctx)
	if s == nil || id.IsZero() {
		return s
	}
	if cb, err := rt.Engine.Find(ctx, store.ByID(id)); err == nil {
		s.Of(cb.ID, cb.Name)
		s.Link(cb.Trace.Traceparent())
		s.Set("callback.phase", cb.Phase.String())
	}
	return s
}

// fail says in the span of a call why it was refused.
func fail(s *span.Span, p problem.Problem) {
	s.Fail(p.Slug, p.Status >= http.StatusInternalServerError)
}
