package answer

import (
	"context"
	"io"
	"net/http"
	"strconv"

	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/engine"
)

// WriteResult answers with a result that has a body. If the store cannot open the body,
// it answers with a problem.
func WriteResult(w http.ResponseWriter, r *http.Request, e *engine.Engine, result callback.Result) {
	body, err := e.OpenBody(context.WithoutCancel(r.Context()), *result.Body)
	if err != nil {
		w.Header().Del("ETag")
		ProblemOf(err).Write(w)
		return
	}
	defer func() { _ = body.Close() }()
	h := w.Header()
	for _, f := range result.Header {
		h.Del(f.Name)
	}
	result.Header.AddTo(h)
	if h.Get("Content-Type") == "" {
		// A type that nobody gave is not guessed.
		h["Content-Type"] = nil
	}
	if callback.StatusHasBody(result.Status) {
		h.Set("Content-Length", strconv.FormatInt(result.Body.Size, 10))
	}
	w.WriteHeader(result.Status)
	if r.Method != http.MethodHead && callback.StatusHasBody(result.Status) {
		_, _ = io.Copy(w, body)
	}
}
