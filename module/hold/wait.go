package hold

import (
	"context"
	"errors"
	"time"

	"github.com/caddy-callback/caddy-callback/module/answer"
	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/engine"
	"github.com/caddy-callback/caddy-callback/module/problem"
	"github.com/caddy-callback/caddy-callback/module/store"
	"github.com/caddy-callback/caddy-callback/module/upstream"
)

// wait holds the client until the callback has ended, the client is to get 202, or the
// exchange is cut.
func (x *exchange) wait() error {
	created := x.callback.Commit.Done()
	for x.cut == notCut {
		switch e, n := x.first(x.ended(), created, x.patience); e {
		case noticed:
			return x.answer(n)
		case done:
			created = nil
			if x.callback.Commit.Err() != nil {
				return x.refuse(problem.NotKept)
			}
			if x.streams {
				return x.tellEvents()
			}
		case impatient:
			return x.park()
		}
	}
	return x.waitNoLonger()
}

// waitNoLonger ends the wait of an exchange that was cut, unless the callback has ended.
func (x *exchange) waitNoLonger() error {
	select {
	case n := <-x.ended():
		if n.Record.Phase.Final() {
			return x.answer(n)
		}
		n.Done()
	default:
	}
	return x.leaveCut()
}

// event is what ends a wait of an exchange.
type event uint8

const (
	// noticed: the callback has ended.
	noticed event = iota
	// done: the other channel that the exchange waits for is closed.
	done
	// impatient: the client is to get 202.
	impatient
	// wasCut: the exchange was cut, and cut says why.
	wasCut
)

// first waits for the first event. A nil channel is not waited for.
func (x *exchange) first(ended <-chan engine.Notice, other <-chan struct{}, patience <-chan time.Time) (event, engine.Notice) {
	select {
	case n := <-ended:
		return noticed, n
	case <-other:
		return done, engine.Notice{}
	case <-patience:
		return impatient, engine.Notice{}
	case <-x.timeout.C:
		x.cut = cutByTimeout
	case <-x.rt.Exit:
		x.cut = cutByExit
	case <-x.r.Context().Done():
		x.cut = cutByClient
	}
	return wasCut, engine.Notice{}
}

// isStep reports whether the client's own request goes on after its callback.
func (h *Handler) isStep() bool { return h.Call != nil && h.Mode == modeHold }

// goesOn reports whether the client's own request goes on after a callback that has
// ended like this.
func (x *exchange) goesOn(r *callback.Record) bool {
	return x.h.isStep() && r.Phase == callback.Resolved
}

// leaveCut ends an exchange that was cut.
func (x *exchange) leaveCut() error {
	x.takeBack()
	switch x.cut {
	case cutByTimeout:
		return x.leave(problem.Timeout)
	case cutByExit:
		return x.leave(x.shuttingDown())
	}
	if x.h.isStep() {
		return x.leaveStep(problem.Timeout)
	}
	if x.h.OnDisconnect == "close" && x.waiter.Alone() {
		x.close("the client has left")
	}
	if x.stream == nil {
		x.w.WriteHeader(upstream.StatusClientClosed)
	}
	return nil
}

// leaveStep ends an exchange whose request would have gone on after the callback: the
// callback ends with its client, before the client is told. If a call was accepted in the
// meantime, the request goes on.
func (x *exchange) leaveStep(p problem.Problem) error {
	switch {
	case x.step != nil:
		x.step.leave(x)
	case x.cut == cutByExit && x.retry != nil, !x.waiter.Alone():
		// The client can come back with its key, or is here with another request.
	default:
		if called := x.closeStep(); called != nil {
			return x.answer(engine.Notice{Record: called})
		}
	}
	if x.cut == cutByClient {
		x.w.WriteHeader(upstream.StatusClientClosed)
		return nil
	}
	p.Detail = "The request has not gone on to the handlers that follow."
	p.Members = []problem.Member{
		{Name: "id", Value: x.callback.ID.String()},
		{Name: "correlationId", Value: x.callback.CorrelationID},
	}
	x.preference.Apply(x.w.Header())
	return x.refuse(p)
}

// closeStep closes the callback of a step. It returns the record of a callback that was
// called before, nil for none.
func (x *exchange) closeStep() *callback.Record {
	r, err := x.rt.Engine.CloseCallback(x.lasting(), store.ByID(x.callback.ID), "its client does not wait any more", "")
	if err != nil || r.Call == nil {
		x.phase = callback.Closed
		return nil
	}
	cb, err := x.rt.Engine.FindCommitted(x.lasting(), store.ByID(x.callback.ID))
	if err != nil {
		return nil
	}
	return cb.Record
}

// shuttingDown returns the problem for a client that is not held any longer because Caddy
// exits. A client that gave a key can safely repeat its request.
func (x *exchange) shuttingDown() problem.Problem {
	p := problem.ShuttingDown
	if x.retry != nil {
		p.RetryAfter = 5 * time.Second
	}
	return p
}

// leave ends an exchange whose callback still waits. The problem tells the client the
// status and result URLs; they are not given out before the callback is committed.
func (x *exchange) leave(p problem.Problem) error {
	x.takeBack()
	if x.h.isStep() {
		return x.leaveStep(p)
	}
	ctx, cancel := context.WithTimeout(x.lasting(), commitWithin)
	defer cancel()
	if err := store.Wait(ctx, x.callback.Commit); err != nil {
		return x.refuse(problem.NotKept)
	}
	if x.callback.SecretGone() {
		return x.refuseFor(callback.ErrSecretGone)
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

// answer answers the client, or sends its request on, when its callback has ended.
func (x *exchange) answer(n engine.Notice) error {
	defer n.Done()
	x.takeBack()
	x.letGo()
	x.body.stop(x.w)
	r := n.Record
	x.notice = n
	x.phase = r.Phase
	if r.Ack == nil && x.ack != nil {
		// The call was decided before the ack had come.
		withAck := *r
		withAck.Ack = x.ack
		r = &withAck
		if err := x.storeAck(r.ID); err != nil && !errors.Is(err, store.ErrNotFound) {
			return x.refuse(problem.NotKept)
		}
	}
	if x.goesOn(r) {
		return x.goOn(r)
	}
	return x.show(r)
}

// show answers the client with the result of a callback that has ended.
func (x *exchange) show(r *callback.Record) error {
	if x.streams && (r.Phase == callback.Resolved || r.Phase == callback.Failed) {
		x.openStream()
	}
	switch {
	case r.Phase == callback.Expired:
		return x.refuse(problem.ExpiredResult)
	case r.Phase == callback.Closed && r.Answer == nil:
		return x.refuse(problem.Closed.With(r.Reason))
	}
	result := r.Result(x.callback.Policy)
	if result.Failure != nil {
		return x.refuse(answer.FailedProblem(r, result))
	}
	if result.Gone {
		return x.refuse(problem.ResultGone)
	}
	if x.stream != nil {
		x.tellResult(r, result)
		return nil
	}
	result, content, err := answer.OpenResult(x.r, x.bodies(r), result, x.callback.Policy)
	if errors.Is(err, engine.ErrBusy) {
		// The client cannot come again: it gets the result as it is.
		content, err = x.bodies(r).Result(x.lasting(), result, x.callback.Policy)
	}
	if err != nil {
		return x.refuse(answer.ProblemOf(err))
	}
	h := x.w.Header()
	x.preference.Apply(h)
	if r.Answer == nil {
		// Unless the result has its own Cache-Control, it is for this client only.
		h.Set("Cache-Control", "no-store")
	}
	answer.WriteResult(x.w, x.r, result, content)
	return nil
}

// bodies opens what a record of the exchange's callback holds.
func (x *exchange) bodies(r *callback.Record) engine.Bodies {
	if x.notice.Record != nil {
		return x.rt.Engine.BodiesTold(x.notice)
	}
	return x.rt.Engine.Bodies(r.ID)
}
