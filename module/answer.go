package module

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strconv"

	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/engine"
	"github.com/caddy-callback/caddy-callback/module/problem"
	"github.com/caddy-callback/caddy-callback/module/store"
)

// writeResult answers with a result that has a body. Errors of the store are
// answered, too, as long as nothing has been sent.
func writeResult(w http.ResponseWriter, r *http.Request, e *engine.Engine, result callback.Result) error {
	body, err := e.OpenBody(context.WithoutCancel(r.Context()), *result.Body)
	if err != nil {
		w.Header().Del("ETag")
		problemOf(err).Write(w)
		return nil
	}
	defer func() { _ = body.Close() }()
	h := w.Header()
	for _, f := range result.Header {
		h.Del(f.Name)
	}
	result.Header.AddTo(h)
	if callback.StatusHasBody(result.Status) {
		h.Set("Content-Length", strconv.FormatInt(result.Body.Size, 10))
	}
	w.WriteHeader(result.Status)
	if r.Method != http.MethodHead && callback.StatusHasBody(result.Status) {
		_, _ = io.Copy(w, body)
	}
	return nil
}

// refuseFailed answers with a failed callback: a problem document, and the same
// in the wire headers.
func (h *Handler) refuseFailed(w http.ResponseWriter, r *http.Request, rec *callback.Record, result callback.Result) error {
	p := failedProblem(rec, result)
	return h.refuse(w, r, p)
}

func failedProblem(r *callback.Record, result callback.Result) problem.Problem {
	p := problem.Failed
	p.Status = result.Status
	p.Detail = "The partner has not said why."
	if r.Failure.ErrorText != "" {
		p.Detail = r.Failure.ErrorText
	}
	p.Header = make(http.Header)
	result.Header.AddTo(p.Header)
	p.Members = []problem.Member{
		{Name: "id", Value: r.ID.String()},
		{Name: "correlationId", Value: r.CorrelationID},
		{Name: "documentStatus", Value: r.Failure.DocumentStatus},
		{Name: "technicalStatus", Value: r.Failure.TechnicalStatus},
		{Name: "errorCode", Value: r.Failure.ErrorCode},
		{Name: "errorText", Value: r.Failure.ErrorText},
	}
	return p
}

// storeProblem returns the error answer to an error of the store.
func storeProblem(err error) problem.Problem {
	if errors.Is(err, store.ErrDamaged) {
		return problem.Damaged
	}
	return problem.StoreUnavailable
}
