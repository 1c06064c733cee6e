package server

import (
	"net/http"
	"time"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-callback/caddy-callback/module/app"
	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/verify"
)

// signed is a caller with the signatures that its call bears. They are about the body, which
// is read only if the call would be taken with all of them.
type signed struct {
	app.Signatures
	// caller is the caller by the keys that it has shown otherwise.
	caller  callback.Caller
	message verify.Message
	now     time.Time
}

// signedBy returns a caller with the signatures of its call.
func (s *Server) signedBy(r *http.Request, caller callback.Caller, now time.Time) signed {
	by := signed{Signatures: s.app.SignaturesOf(r.Header), caller: caller, now: now}
	if !by.None() {
		by.message = verify.Message{Method: r.Method, Header: r.Header, URLs: s.publicURLs(r)}
	}
	return by
}

// assumed returns the caller as it is if all signatures are right.
func (s signed) assumed() callback.Caller { return s.Assumed(s.caller) }

// proved returns the caller with the keys that it has shown by signing this body, as it came.
func (s signed) proved(body []byte) callback.Caller {
	s.message.Body = body
	return s.Proved(s.caller, s.message, s.now)
}

// publicURLs returns the URLs that a request may have come to: the path as it came to Caddy,
// or as it is here, at each base URL.
func (s *Server) publicURLs(r *http.Request) []string {
	uris := []string{r.URL.RequestURI()}
	if original, ok := r.Context().Value(caddyhttp.OriginalRequestCtxKey).(http.Request); ok && original.URL != nil {
		if uri := original.URL.RequestURI(); uri != uris[0] {
			uris = append(uris, uri)
		}
	}
	return s.app.PublicURLs(uris)
}
