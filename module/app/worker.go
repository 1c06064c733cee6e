package app

import (
	"context"
	"math/rand/v2"
	"time"

	"go.uber.org/zap"

	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/deliver"
	"github.com/caddy-callback/caddy-callback/module/engine"
)

// worker does the background work of a runtime, as the newest configuration says.
type worker struct{ rt *Runtime }

// failureRouteGone is the error code of a job whose directive or block is no longer in
// the configuration.
const failureRouteGone = "route-gone"

// CanAttempt implements engine.Worker.
func (wk worker) CanAttempt(r *callback.Record) bool {
	directive := wk.rt.directive(r.Name)
	return directive != nil && directive.Has(r.Job.Block)
}

// CanDeliver implements engine.Worker.
func (wk worker) CanDeliver(r *callback.Record) bool {
	d, _ := wk.deliverer(r)
	return d != nil && (wk.rt.directive(r.Name) != nil || r.Name == "" || r.Sender.Is(callback.OnlyGlobal))
}

// Attempt implements engine.Worker.
func (wk worker) Attempt(ctx context.Context, cb *engine.Callback) callback.Attempt {
	ctx, traced := beginJob(ctx, cb)
	attempt := wk.attempt(ctx, cb)
	endJob(traced, attempt)
	return attempt
}

func (wk worker) attempt(ctx context.Context, cb *engine.Callback) callback.Attempt {
	if directive := wk.rt.directive(cb.Name); directive != nil {
		if attempt, ok := directive.Attempt(ctx, wk.rt, cb); ok {
			return attempt
		}
	}
	if cb.Job.Block == callback.PollBlock {
		return wk.waitToPoll(cb)
	}
	wk.rt.Log().Error("a job has failed because its route is gone from the configuration",
		zap.String("name", cb.Name), zap.String("block", string(cb.Job.Block)), zap.Stringer("id", cb.ID))
	return callback.Attempt{Kind: callback.AttemptFailed, Code: failureRouteGone,
		Error: "The server is not set up to carry this request out any more."}
}

const whyNoPoll = "the configuration does not say any more how the upstream is asked for the result"

// waitToPoll returns the outcome of asking an upstream that nobody may ask as it is
// configured: its callback goes on waiting for the call. It is logged once.
func (wk worker) waitToPoll(cb *engine.Callback) callback.Attempt {
	if cb.Job.Error != whyNoPoll {
		wk.rt.Log().Warn("an upstream is not asked for the result any more; its callback goes on waiting for the call",
			zap.Stringer("id", cb.ID), zap.String("name", cb.Name), zap.String("reason", whyNoPoll))
	}
	return callback.Attempt{Kind: callback.AttemptRetry, RetryAt: callback.At(wk.rt.Engine.Now().Add(lookAgainLast)), Error: whyNoPoll}
}

// How long it takes until a delivery is looked at again that nobody may make as it is
// configured: the longer, the longer it has been waiting.
const (
	lookAgainFirst = time.Second
	lookAgainLast  = time.Minute
)

// Why nobody may make a delivery.
const (
	whyNoConfig    = "no configuration"
	whyNoDirective = "the directive that signs it is gone from the configuration"
	whyNoHeaders   = "the directive whose headers it has is gone from the configuration"
	whyUnsigned    = "nothing signs it any more"
)

// Deliver implements engine.Worker: it sends a result to the client's URL.
func (wk worker) Deliver(ctx context.Context, cb *engine.Callback, number int) callback.Sent {
	d, why := wk.deliverer(cb.Record)
	if d == nil {
		return wk.wait(cb, why)
	}
	ctx, traced := beginDelivery(ctx, cb)
	m := wk.message(cb, d, number)
	traced.Carry(m.Header)
	outcome := d.client.Send(ctx, m)
	endDelivery(traced, outcome)
	sent := callback.Sent{Status: outcome.Status, Error: outcome.Error}
	switch outcome.Kind {
	case deliver.Delivered:
		sent.OK = true
		return sent
	case deliver.Gone:
		sent.Dead = true
		return sent
	}
	wk.rt.Log().Info("a result could not be delivered",
		zap.Stringer("id", cb.ID), zap.Int("attempt", cb.Delivery.Attempts+1), zap.String("reason", outcome.Error), zap.Error(outcome.Cause))
	wait, more := deliver.Next(d.retry, cb.Delivery.Attempts+1, outcome.RetryAfter, rand.Float64)
	sent.Dead = !more
	sent.RetryAt = callback.At(wk.rt.Engine.Now().Add(wait))
	return sent
}

// wait returns the outcome of a delivery that nobody may make. It counts as no attempt, and
// is logged once.
func (wk worker) wait(cb *engine.Callback, why string) callback.Sent {
	now := wk.rt.Engine.Now()
	if cb.Delivery.Error != why && why != whyNoConfig {
		wk.rt.Log().Warn("a delivery waits until the configuration says again how it is made",
			zap.Stringer("id", cb.ID), zap.String("name", cb.Name), zap.String("reason", why))
	}
	after := min(max(now.Sub(cb.FinishedAt.Time())/4, lookAgainFirst), lookAgainLast)
	return callback.Sent{Waits: true, RetryAt: callback.At(now.Add(after)), Error: why}
}

// deliverer returns the Deliverer for the results of a callback; nil if there is none, and
// why.
func (wk worker) deliverer(r *callback.Record) (d *Deliverer, why string) {
	a := wk.rt.current()
	if a == nil {
		return nil, whyNoConfig
	}
	d = a.deliverer
	if directive := a.directives[r.Name]; directive != nil && directive.Deliverer() != nil && !r.Sender.Is(callback.OnlyGlobal) {
		d = directive.Deliverer()
	} else if r.Sender.Is(callback.OnlyDirective) {
		if !r.Sender.Is(callback.OnlySigned) {
			return nil, whyNoHeaders
		}
		return nil, whyNoDirective
	}
	if r.Sender.Is(callback.OnlySigned) && len(d.secrets) == 0 {
		return nil, whyUnsigned
	}
	return d, ""
}
