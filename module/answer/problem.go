// Package answer writes the HTTP answers that several directives and the admin endpoint
// share: status and result of a callback, the answer to a call, and problems. It also
// reads the headers Prefer, If-None-Match and Idempotency-Key of such requests.
package answer

import (
	"errors"
	"net/http"

	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/engine"
	"github.com/caddy-callback/caddy-callback/module/problem"
	"github.com/caddy-callback/caddy-callback/module/store"
)

// ProblemOf returns the problem that answers an error: one of the engine, or a problem.
func ProblemOf(err error) problem.Problem {
	var p problem.Problem
	switch {
	case errors.As(err, &p):
		return p
	case errors.Is(err, engine.ErrBusy):
		return problem.Busy
	case errors.Is(err, callback.ErrNeeds):
		return problem.LaterRelease
	case errors.Is(err, callback.ErrSecretGone):
		return problem.SecretGone
	case errors.Is(err, callback.ErrCallHeader):
		return problem.HeaderTooLarge
	case errors.Is(err, engine.ErrTooLarge), errors.Is(err, store.ErrTooLarge):
		return problem.TooLarge
	case errors.Is(err, engine.ErrCutShort):
		return problem.CutShort
	case errors.Is(err, engine.ErrTooSlow):
		return problem.TooSlow
	}
	return storeProblem(err)
}

// storeProblem returns the problem that answers an error of the store.
func storeProblem(err error) problem.Problem {
	if errors.Is(err, store.ErrDamaged) {
		return problem.Damaged
	}
	return problem.StoreUnavailable
}

// FailedProblem returns the problem of a callback that has failed. The wire headers of the
// result say the same.
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

// KeyProblem returns the problem of a caller whose key is missing, unknown or without the
// permission.
func KeyProblem(c callback.Caller) problem.Problem {
	switch {
	case c.Known:
		return problem.KeyNotAllowed
	case c.Refused != "":
		return problem.SignatureRefused.With(c.Refused)
	case c.Shown:
		return problem.KeyUnknown
	}
	if c.MaySign {
		return problem.KeyRequired.With("The call bears neither a key nor a signature. " + problem.KeyRequired.Detail)
	}
	return problem.KeyRequired
}
