package answer

import (
	"net/http"
	"time"

	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/problem"
)

// HasBody reports whether a request has, or may have, a body.
func HasBody(r *http.Request) bool { return r.ContentLength != 0 && r.Body != nil }

// LeaveUnread allows a request to be answered before its body has arrived: an HTTP/1
// server first waits for the body, unless the answer closes the connection.
func LeaveUnread(w http.ResponseWriter, r *http.Request) {
	if r.ProtoMajor == 1 && HasBody(r) {
		w.Header().Set("Connection", "close")
	}
}

// ReadWithin is how long the body of a call or of a request to the API may take to
// arrive.
const ReadWithin = 2 * time.Minute

// SetReadDeadline bounds the time in which a request's body must arrive. lift removes the
// limit.
func SetReadDeadline(w http.ResponseWriter, within time.Duration) (lift func()) {
	// Not every connection supports a deadline; without one, Caddy's own limits apply.
	control := http.NewResponseController(w)
	_ = control.SetReadDeadline(time.Now().Add(within))
	return func() { _ = control.SetReadDeadline(time.Time{}) }
}

// maxIdempotencyKey bounds an Idempotency-Key, in bytes.
const maxIdempotencyKey = 255

// IdempotencyKey returns the request's Idempotency-Key, "" if it has none.
func IdempotencyKey(r *http.Request) (string, error) {
	keys := r.Header[callback.IdempotencyKey]
	if len(keys) == 0 {
		return "", nil
	}
	if len(keys) > 1 || keys[0] == "" || len(keys[0]) > maxIdempotencyKey {
		return "", problem.InvalidIdempotencyKey
	}
	return keys[0], nil
}
