package hold

import (
	"bytes"
	"crypto/subtle"
	"errors"
	"io"
	"net/http"
	"time"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-callback/caddy-callback/module/answer"
	"github.com/caddy-callback/caddy-callback/module/app"
	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/engine"
	"github.com/caddy-callback/caddy-callback/module/memory"
	"github.com/caddy-callback/caddy-callback/module/problem"
	"github.com/caddy-callback/caddy-callback/module/store"
)

// The events that a held client gets.
const (
	eventProgress = "progress"
	eventResult   = "result"
	eventFailed   = "failed"
	// eventParked tells where to look for the result, after the timeout.
	eventParked = "parked"
)

// takesEvents reports whether the client gets events once the upstream has acked.
func (x *exchange) takesEvents() bool {
	return x.h.Mode == modeHold && !x.h.isStep() && x.step == nil && !x.preference.Async &&
		x.r.Method != http.MethodHead && answer.TakesEvents(x.r.Header)
}

// openStream begins the client's stream, unless it has begun.
func (x *exchange) openStream() {
	if x.stream != nil {
		return
	}
	x.takeBack()
	x.letGo()
	x.body.stop(x.w)
	x.preference.Apply(x.w.Header())
	x.w.Header().Add("Vary", "Accept")
	x.stream = app.NewStream(x.w, x.r, x.rt.Exit)
	x.stream.Mark(x.eventID(false).String())
}

// eventID returns the id of an event after which the stream goes on, or with which it ends.
func (x *exchange) eventID(ended bool) answer.EventID {
	id := answer.EventID{Callback: x.callback.ID, Ended: ended || x.callback.SecretGone()}
	if !id.Ended {
		id.Calls, id.Proof = x.calls, x.callback.Proof(x.reader())
	}
	return id
}

// reader says who the client is, to whom alone an event's id opens the stream again.
func (x *exchange) reader() string {
	scope, _, err := x.scope()
	if err != nil {
		scope = answer.Scope(x.r, app.User(x.r))
	}
	return scope
}

// tellEvents tells the client what happens until the callback has ended, or the exchange is
// cut. Of progress that comes faster than the client takes it, it is told the latest.
func (x *exchange) tellEvents() error {
	x.waiter.Follow()
	cb, err := x.rt.Engine.FindCommitted(x.lasting(), store.ByID(x.callback.ID))
	if err != nil {
		return x.refuseFor(err)
	}
	x.openStream()
	if cb.Phase.Final() {
		return x.tellEnd(cb.Record)
	}
	x.tellProgress(engine.Notice{Record: cb.Record})
	ping := time.NewTicker(answer.PingEvery)
	defer ping.Stop()
	for x.cut == notCut {
		select {
		case n := <-x.ended():
			if n.Record.Phase.Final() {
				return x.answer(n)
			}
			x.tellProgress(n)
		case <-ping.C:
			x.stream.Ping()
		case <-x.patience:
			return x.park()
		case <-x.timeout.C:
			x.cut = cutByTimeout
		case <-x.rt.Exit:
			x.cut = cutByExit
		case <-x.r.Context().Done():
			x.cut = cutByClient
		}
		if x.stream.Broken() {
			x.cut = cutByClient
		}
	}
	return x.waitNoLonger()
}

// tellEnd tells the client the end of a callback that had ended already. Of several results it
// gets the one that the waiter was told of, if there was time for that.
func (x *exchange) tellEnd(r *callback.Record) error {
	select {
	case n := <-x.ended():
		if n.Record.Phase.Final() {
			return x.answer(n)
		}
		n.Done()
	default:
	}
	return x.answer(engine.Notice{Record: r})
}

// tellProgress tells the client of a call that was not the answer, unless it knows of it. What
// cannot be told for want of memory is told when the callback is looked at again.
func (x *exchange) tellProgress(n engine.Notice) {
	defer func() { n.Done() }()
	r := n.Record
	if r.Calls <= x.calls {
		return
	}
	if lean := r.Lean(); lean != r {
		// A client that is slow must not keep what is in a file.
		n.Done()
		r, n = lean, engine.Notice{}
	}
	result, told := r.Progress(x.callback.Policy)
	if !told {
		return
	}
	before := x.calls
	x.calls = r.Calls
	space := x.rt.Engine.Memory(memory.OwnerOf(r.ID))
	if err := x.tellBody(eventProgress, x.eventID(false), x.rt.Engine.Bodies(r.ID), space, result); err != nil {
		x.calls = before
	}
}

// tellResult tells the client the result, which ends the stream.
func (x *exchange) tellResult(r *callback.Record, result callback.Result) {
	name := eventResult
	if r.Phase == callback.Failed {
		name = eventFailed
	}
	space := x.rt.Engine.Memory(memory.OwnerOf(r.ID)).Forced()
	if err := x.tellBody(name, x.eventID(true), x.bodies(r), space, result); err != nil {
		x.tellProblem(answer.ProblemOf(err))
	}
}

// tellBody tells the client an event with the body of a result. After an error, nothing was
// told.
func (x *exchange) tellBody(name string, id answer.EventID, b engine.Bodies, space memory.Space, result callback.Result) error {
	piece, err := space.Make(int(min(answer.LargePiece, answer.SmallPiece+2*result.Body.Size)))
	if err != nil {
		return err
	}
	defer piece.Release()
	return x.stream.Body(name, id.String(), piece.Bytes(), func() (io.ReadCloser, error) {
		return answer.OpenForEvent(x.lasting(), b, result, x.callback.Policy)
	})
}

// tellProblem tells the client that there is no result, which ends the stream. If it is worth
// that, the client can come back.
func (x *exchange) tellProblem(p problem.Problem) {
	p.Note()
	back := x.cut == cutByExit || p.RetryAfter > 0
	x.stream.Event(eventFailed, x.eventID(!back).String(), bytes.TrimSpace(p.Document()))
}

// tellParked tells the client where to look for the result, which ends the stream.
func (x *exchange) tellParked(message string) {
	x.stream.Event(eventParked, x.eventID(true).String(), answer.ParkedDocument(x.callback, x.chain, message))
}

// comesBack reports whether the client was cut off while it was told of events, and with
// which id it comes back.
func (x *exchange) comesBack() (answer.EventID, bool) {
	if len(x.r.Header[answer.LastEventID]) == 0 || !x.takesEvents() {
		return answer.EventID{}, false
	}
	return answer.EventIDOf(x.r.Header)
}

// resume goes on with the stream of a client that comes back. What it has asked for is under
// way, or has ended: it is never begun anew.
func (x *exchange) resume(id answer.EventID, arrived time.Time) error {
	if id.Ended {
		return x.endReading()
	}
	x.resumes = true
	// The id opens the stream, and access logs hold the headers of requests.
	caddyhttp.SetVar(x.r.Context(), caddyhttp.LogSkipVar, true)
	cb, err := x.rt.Engine.FindCommitted(x.lasting(), store.ByID(id.Callback))
	switch {
	case errors.Is(err, store.ErrNotFound):
		return x.endReading()
	case err != nil:
		return x.refuseFor(err)
	case !x.proves(cb, id):
		return x.endReading()
	}
	_ = x.found(cb, nil)
	x.trim()
	x.calls = id.Calls
	x.beginTime(arrived)
	if err := x.await(); err != nil {
		return x.refuseFor(err)
	}
	out := x.r.WithContext(x.r.Context())
	x.body = x.h.trackBody(out)
	x.body.drain()
	return x.wait()
}

// proves reports whether the client shows that it was told of the callback.
func (x *exchange) proves(cb *engine.Callback, id answer.EventID) bool {
	proof := cb.Proof(x.reader())
	return !cb.SecretGone() && subtle.ConstantTimeCompare(proof[:], id.Proof[:]) == 1
}

// endReading tells a client that comes back that there is nothing more: a browser then does
// not come again.
func (x *exchange) endReading() error {
	x.w.Header().Set("Cache-Control", "no-store")
	x.w.WriteHeader(http.StatusNoContent)
	return nil
}
