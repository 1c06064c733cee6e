// Package answer has what is answered over HTTP, whoever asks: status and result of a
// callback, what a call comes to, and problems. It also reads what such a request
// says of itself: what it prefers, what it has already, and its keys.
package answer

import (
	"errors"
	"net/http"

	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/engine"
	"github.com/caddy-callback/caddy-callback/module/problem"
	"github.com/caddy-callback/caddy-callback/module/store"
)

// ProblemOf returns the error answer to an error of the engine's or of ours.
func ProblemOf(err error) problem.Problem {
	var p problem.Problem
	switch {
	case errors.As(err, &p):
		return p
	case errors.Is(err, engine.ErrBusy):
		return problem.Busy
	case errors.Is(err, callback.ErrCallHeader):
		return problem.HeaderTooLarge
	case errors.Is(err, engine.ErrTooLarge), errors.Is(err, store.ErrTooLarge):
		return problem.TooLarge
	case errors.Is(err, engine.ErrCutShort):
		return problem.CutShort
	}
	return storeProblem(err)
}

// storeProblem returns the error answer to an error of the store.
func storeProblem(err error) problem.Problem {
	if errors.Is(err, store.ErrDamaged) {
		return problem.Damaged
	}
	return problem.StoreUnavailable
}

// FailedProblem returns the answer to a callback that has failed: the same is in the wire
// headers of the result.
func FailedProblem(r *callback.Record, result callback.Result) problem.Problem {
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

// KeyProblem returns the answer to a caller whose key is not enough.
func KeyProblem(c callback.Caller) problem.Problem {
	switch {
	case c.Known:
		return problem.KeyNotAllowed
	case c.Shown:
		return problem.KeyUnknown
	}
	return problem.KeyRequired
}
