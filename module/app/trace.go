package app

import (
	"context"

	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/deliver"
	"github.com/caddy-callback/caddy-callback/module/engine"
	"github.com/caddy-callback/caddy-callback/module/span"
)

// beginJob begins the span of an attempt at a job, which is linked to the request from which the
// callback came.
func beginJob(ctx context.Context, cb *engine.Callback) (context.Context, *span.Span) {
	ctx, s := span.Background(ctx, span.Job, cb.Trace.Traceparent())
	if s != nil {
		s.Of(cb.ID, cb.Name)
		s.Set("callback.block", string(cb.Job.Block))
		s.SetInt("callback.attempt", cb.Job.Attempts+1)
	}
	return ctx, s
}

// attempts are what a span says of an attempt at a job.
var attempts = map[callback.AttemptKind]string{
	callback.AttemptAcked: "accepted", callback.AttemptContinued: "continued", callback.AttemptUnknown: "unknown", callback.AttemptRetry: "retried",
	callback.AttemptPolled: "polled", callback.AttemptAnswered: "answered", callback.AttemptFailed: "failed",
}

// endJob ends the span of an attempt. A code is one of ours.
func endJob(s *span.Span, a callback.Attempt) {
	if s == nil {
		return
	}
	s.Set("callback.outcome", attempts[a.Kind])
	if a.Response != nil {
		a.Status = a.Response.Status
	}
	s.SetInt(span.Status, a.Status)
	switch a.Kind {
	case callback.AttemptFailed:
		s.Fail(a.Code, true)
	case callback.AttemptRetry, callback.AttemptUnknown:
		s.Fail(attempts[a.Kind], true)
	}
	s.End()
}

// beginDelivery begins the span of an attempt to deliver a result, linked like that of a job.
func beginDelivery(ctx context.Context, cb *engine.Callback) (context.Context, *span.Span) {
	ctx, s := span.Background(ctx, span.Delivery, cb.Trace.Traceparent())
	if s != nil {
		s.Of(cb.ID, cb.Name)
		s.SetInt("callback.attempt", cb.Delivery.Attempts+1)
	}
	return ctx, s
}

// endDelivery ends the span of a delivery. The error is one of a few.
func endDelivery(s *span.Span, o deliver.Outcome) {
	s.SetInt(span.Status, o.Status)
	if o.Kind != deliver.Delivered {
		s.Fail(o.Error, true)
	}
	s.End()
}
