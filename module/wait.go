package module

import (
	"cmp"
	"context"
	"time"

	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/engine"
	"github.com/caddy-callback/caddy-callback/module/problem"
	"github.com/caddy-callback/caddy-callback/module/store"
	"github.com/caddy-callback/caddy-callback/module/upstream"
)

// wait holds the client until the callback has ended, or the hold has.
func (x *exchange) wait() error {
	created := x.callback.Commit.Done()
	for x.cut == notCut {
		select {
		case n := <-x.ended():
			return x.answer(n)
		case <-created:
			created = nil
			if x.callback.Commit.Err() != nil {
				return x.refuse(problem.NotKept)
			}
		case <-x.patience:
			return x.park()
		case <-x.timeout.C:
			x.cut = cutByTimeout
		case <-x.rt.Exit:
			x.cut = cutByExit
		case <-x.r.Context().Done():
			x.cut = cutByClient
		}
	}
	select {
	case n := <-x.ended():
		return x.answer(n)
	default:
	}
	return x.leaveCut()
}

// leaveCut ends an exchange that was cut.
func (x *exchange) leaveCut() error {
	switch x.cut {
	case cutByTimeout:
		return x.leave(problem.Timeout)
	case cutByExit:
		return x.leave(x.shuttingDown())
	}
	if x.h.OnDisconnect == "close" {
		x.close("the client has left")
	}
	x.w.WriteHeader(upstream.StatusClientClosed)
	return nil
}

// shuttingDown is what a client is told that is let go because Caddy exits. One that
// has given a key can ask again without doing anything twice.
func (x *exchange) shuttingDown() problem.Problem {
	p := problem.ShuttingDown
	if x.retry != nil {
		p.RetryAfter = 5 * time.Second
	}
	return p
}

// leave ends a hold whose callback goes on waiting: the client is told where to
// look for the result. No such URL is given out before the callback is committed.
func (x *exchange) leave(p problem.Problem) error {
	ctx, cancel := context.WithTimeout(x.lasting(), commitWithin)
	defer cancel()
	if err := store.Wait(ctx, x.callback.Commit); err != nil {
		return x.refuse(problem.NotKept)
	}
	p.Members = []problem.Member{
		{Name: "id", Value: x.callback.ID.String()},
		{Name: "correlationId", Value: x.callback.CorrelationID},
		{Name: "statusUrl", Value: x.callback.StatusURL()},
		{Name: "resultUrl", Value: x.callback.ResultURL()},
	}
	x.preference.Apply(x.w.Header())
	return x.refuse(p)
}

// answer answers the client with how its callback has ended.
func (x *exchange) answer(n engine.Notice) error {
	defer n.Done()
	x.body.stop(x.w)
	r := n.Record
	x.phase = r.Phase
	if r.Ack == nil && x.ack != nil {
		// The call was decided before the ack was there.
		withAck := *r
		withAck.Ack = x.ack
		r = &withAck
		if err := x.storeAck(r.ID); err != nil {
			return x.refuse(problem.NotKept)
		}
	}
	if x.h.Call != nil && x.h.Mode == modeHold && r.Phase == callback.Resolved {
		return x.goOn(r)
	}
	return x.show(r)
}

// show answers the client with a callback that has ended.
func (x *exchange) show(r *callback.Record) error {
	switch {
	case r.Phase == callback.Expired:
		return x.refuse(problem.ExpiredResult)
	case r.Phase == callback.Closed && r.Answer == nil:
		return x.refuse(problem.Closed.With(r.Reason))
	}
	result := r.Result(x.callback.Policy)
	if result.Failure != nil {
		return x.refuse(failedProblem(r, result))
	}
	h := x.w.Header()
	x.preference.Apply(h)
	if r.Answer == nil {
		// Unless the result says otherwise, it is meant for this client alone.
		h.Set("Cache-Control", "no-store")
	}
	return writeResult(x.w, x.r, x.rt.Engine, result)
}

// The default messages to a client that is let go.
const (
	messageDeliver = "The resolution has started. We will send the result to the callback URL you provided on completion."
	messagePickUp  = "The request was accepted. Look for its result at statusUrl."
)

// park lets the client go. No URL is given out before the callback is committed.
func (x *exchange) park() error {
	if err := store.Wait(x.lasting(), x.callback.Commit); err != nil {
		return x.refuse(problem.NotKept)
	}
	if x.step != nil {
		x.step.next = x.callback.ID
	}
	message := x.h.Message
	if message == "" && x.callback.Delivery != nil {
		message = messageDeliver
	}
	x.preference.Apply(x.w.Header())
	writeParked(x.w, x.callback, cmp.Or(message, messagePickUp))
	return nil
}
