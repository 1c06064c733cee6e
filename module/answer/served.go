package answer

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/engine"
	"github.com/caddy-callback/caddy-callback/module/problem"
	"github.com/caddy-callback/caddy-callback/module/store"
)

// ServeStatus answers the holder of the ticket with the status, or with the page if it is one
// who sees that.
func ServeStatus(w http.ResponseWriter, r *http.Request, e *engine.Engine, cb *engine.Callback) {
	if ShowsPage(r, cb) {
		servePage(w, r, e, cb)
		return
	}
	s := newStatus(cb)
	s.Step.named(r.Context(), e)
	WriteJSON(w, http.StatusOK, s)
}

// ServeResult answers with what a held client would have got. A browser may show it, so
// headers put it into a sandbox, in which it can run and load nothing. After
// store.ErrRemoved nothing is answered; there is no other error.
func ServeResult(w http.ResponseWriter, r *http.Request, e *engine.Engine, cb *engine.Callback) error {
	switch cb.Phase {
	case callback.Waiting:
		writeNotYet(w, cb)
		return nil
	case callback.Expired:
		problem.ExpiredResult.Write(w)
		return nil
	case callback.Closed:
		problem.Closed.With(cb.Reason).Write(w)
		return nil
	}
	h := w.Header()
	h.Set("Content-Security-Policy", "sandbox; default-src 'none'")
	h.Set("X-Content-Type-Options", "nosniff")
	result := cb.Result(cb.Policy)
	if result.Failure != nil {
		FailedProblem(cb.Record, result).Write(w)
		return nil
	}
	if result.Gone {
		problem.ResultGone.Write(w)
		return nil
	}
	if loadsAsPart(r, result.Header.Get("Content-Type")) {
		h.Del("ETag")
		problem.PartOfPage.Write(w)
		return nil
	}
	result, content, err := OpenResult(r, e.Bodies(cb.ID), result, cb.Policy)
	switch {
	case errors.Is(err, store.ErrRemoved):
		return err
	case err != nil:
		h.Del("ETag")
		ProblemOf(err).Write(w)
		return nil
	}
	if result.Header.Get("Content-Disposition") == "" {
		h.Set("Content-Disposition", "attachment")
	}
	tagged := h.Get("ETag") != ""
	result.Header = slices.DeleteFunc(result.Header, func(f callback.Field) bool {
		return isNeverServed(f.Name) || tagged && f.Name == "Etag"
	})
	WriteResult(w, r, result, content)
	return nil
}

// neverServed are headers of an upstream's ack that a result fetched by URL must not
// have: they would lift the sandbox that the result is served in, or affect the whole
// site. neverServedFamilies are the beginnings of further ones.
var (
	neverServed = []string{
		"Accept-Ch", "Cache-Control", "Clear-Site-Data", "Critical-Ch", "Document-Policy", "Expect-Ct", "Expires", "Nel", "Origin-Agent-Cluster",
		"Permissions-Policy", "Pragma", "Referrer-Policy", "Refresh", "Report-To", "Reporting-Endpoints", "Service-Worker-Allowed", "Set-Cookie",
		"Set-Cookie2", "Strict-Transport-Security", "Timing-Allow-Origin", "Vary", "Www-Authenticate", "X-Content-Type-Options", "X-Frame-Options",
	}
	neverServedFamilies = []string{"Access-Control-", "Content-Security-Policy", "Cross-Origin-", "Public-Key-Pins"}
)

func isNeverServed(name string) bool {
	return slices.Contains(neverServed, name) ||
		slices.ContainsFunc(neverServedFamilies, func(family string) bool { return strings.HasPrefix(name, family) })
}

// WriteDocument answers with a JSON document, and closes it. If that cannot be read to its
// end, the connection ends before the answer does.
func WriteDocument(w http.ResponseWriter, status int, d engine.Content) {
	defer func() { _ = d.Close() }()
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Header().Set("Content-Length", strconv.FormatInt(d.Size+int64(len(newline)), 10))
	w.WriteHeader(status)
	if _, err := io.Copy(w, d.ReadCloser); err != nil {
		panic(http.ErrAbortHandler)
	}
	_, _ = io.WriteString(w, newline)
}

// newline ends a JSON document.
const newline = "\n"

// WriteJSON answers with a JSON document.
func WriteJSON(w http.ResponseWriter, status int, v any) {
	b, err := json.Marshal(v)
	if err != nil {
		problem.Damaged.Write(w)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_, _ = w.Write(append(b, newline...))
}
