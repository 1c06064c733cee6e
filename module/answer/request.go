package answer

import (
	"net/http"

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
