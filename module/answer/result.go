package answer

import (
	"errors"
	"io"
	"net/http"
	"strconv"

	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/engine"
	"github.com/caddy-callback/caddy-callback/module/store"
	"github.com/caddy-callback/caddy-callback/module/unpack"
)

// WriteResult answers with a result and its content, which it closes. If the store cannot
// read that to its end, the connection ends before the answer does.
func WriteResult(w http.ResponseWriter, r *http.Request, result callback.Result, content engine.Content) {
	defer func() { _ = content.Close() }()
	h := w.Header()
	for _, f := range result.Header {
		h.Del(f.Name)
	}
	result.Header.AddTo(h)
	if content.Varies {
		addVary(h)
	}
	if h.Get("Content-Type") == "" {
		// A type that nobody gave is not guessed.
		h["Content-Type"] = nil
	}
	if callback.StatusHasBody(result.Status) {
		h.Set("Content-Length", strconv.FormatInt(content.Size, 10))
	}
	w.WriteHeader(result.Status)
	if r.Method == http.MethodHead || !callback.StatusHasBody(result.Status) {
		return
	}
	_, err := io.Copy(w, content.ReadCloser)
	breakOff(err)
}

// breakOff ends the connection if the error is one of reading a body: an answer that ends
// in order looks complete.
func breakOff(err error) {
	if errors.Is(err, store.ErrDamaged) || errors.Is(err, store.ErrFailed) || errors.Is(err, unpack.ErrUnreadable) {
		panic(http.ErrAbortHandler)
	}
}
