package hold

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"go.uber.org/zap"

	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/engine"
	"github.com/caddy-callback/caddy-callback/module/memory"
	"github.com/caddy-callback/caddy-callback/module/problem"
	"github.com/caddy-callback/caddy-callback/module/span"
	"github.com/caddy-callback/caddy-callback/module/store"
	"github.com/caddy-callback/caddy-callback/module/upstream"
)

// callUpstream sends the request upstream while the client waits, and then acts on the
// upstream's answer.
func (x *exchange) callUpstream() error {
	if x.retry != nil {
		land, ok, err := x.rt.Engine.Depart(x.lasting(), x.callback)
		switch {
		case err != nil:
			return x.refuseFor(err)
		case !ok:
			// Another request for the same callback is already being served.
			return x.attach()
		}
		x.departed = true
		defer land()
	}
	if !x.h.isStep() {
		// Only a request that goes on after its callback needs it.
		x.request.dropOwn()
	}
	if err := x.request.fill(x.callback); err != nil {
		_, _ = x.withdraw("nothing could be put into the request", false)
		return x.refuseFor(err)
	}
	handler := x.next
	if x.h.Call != nil {
		handler = upstream.Handler(x.h.Call)
	}
	x.body = x.h.trackBody(x.request.out)
	x.came = x.h.expectAck(x.rt.Engine, x.callback.ID)
	defer x.came()
	defer x.watch()()
	x.rt.Engine.Remember(x.callback.ID, callback.Happening{Kind: callback.HappenedSent})
	out, traced := span.Begin(x.request.out, span.Upstream)
	x.call = upstream.Start(handler, x.w, out, x.room(), (*judge)(x), x.request.retain())
	x.follow(x.call)
	endUpstream(traced, x.call)
	// What was sent is not used any more, and it would take memory while the client is held.
	x.request.dropBody()
	if !x.h.isStep() {
		x.request = nil
	}
	if outcome := x.call.Outcome(); outcome == upstream.Answered || outcome == upstream.Unknown {
		x.body.drain()
	}
	settled, err := x.settle(x.call)
	if settled {
		return err
	}
	x.letGo()
	x.came()
	return x.waitOrPark()
}

// letGo lets go of what was kept of the upstream's answer, unless the client gets it: it would
// take memory for as long as the client is held.
func (x *exchange) letGo() {
	if x.call != nil && x.ack == nil {
		x.call.Close()
	}
}

// expectAck tells the engine that calls can overtake an ack which is to name their
// correlation id, until came is called.
func (h *Handler) expectAck(e *engine.Engine, id callback.UUID) (came func()) {
	if !h.correlates() {
		return func() {}
	}
	return e.ExpectAck(id, h.policy.Keys)
}

// room returns how much of the upstream's answer is kept.
func (x *exchange) room() upstream.Room {
	room := upstream.Room{Kept: -1, Passed: -1, Drained: x.h.app.MaxBodySize}
	if x.h.needsAck() || x.h.CorrelationID.inBody(fromAck) || x.h.pollsBody() != "" || len(x.h.ackBody) > 0 {
		room.Kept = x.h.app.MaxBodySize
	}
	if x.retry != nil {
		room.Passed = x.h.app.MaxBodySize
	}
	if room.Kept >= 0 || room.Passed >= 0 {
		furnish(&room, x.rt.Engine, x.callback.ID)
	}
	return room
}

// sureBytes is how much of an answer can be looked into even if no memory is left.
const sureBytes = 64 << 10

// furnish puts what is kept of an answer where what belongs to a callback is kept.
func furnish(room *upstream.Room, e *engine.Engine, id callback.UUID) {
	room.Space = e.Memory(memory.OwnerOf(id)).Sure(sureBytes)
	room.Spool = func() upstream.Spool { return e.NewSpool(id) }
}

// follow waits until what is needed of the upstream's answer is there, until it has been
// passed on, or until a call has come and no ack is needed any more.
func (x *exchange) follow(call *upstream.Call) {
	gone, ended, called, ready := x.r.Context().Done(), x.ended(), x.called(), call.Ready()
	var read <-chan struct{}
	for {
		select {
		case <-call.Done():
			return
		case <-call.Passing():
			x.pass(call)
			return
		case <-ready:
			// While the client sends its request, the upstream may still read it.
			ready, read = nil, x.body.read()
		case <-read:
			return
		case n := <-ended:
			ended = nil
			if x.remember(n); x.decides(n.Record) && x.takeBack() {
				return
			}
		case n := <-called:
			if n.Done(); x.decides(n.Record) && x.takeBack() {
				return
			}
		case <-x.timeout.C:
			x.cut = cutByTimeout
		case <-x.rt.Exit:
			x.cut = cutByExit
		case <-gone:
			// The upstream continues without the client, unless the callback is
			// to be closed when the client leaves.
			gone = nil
			if x.h.OnDisconnect == "close" && x.waiter.Alone() {
				x.cut = cutByClient
			}
		}
		if x.cut != notCut {
			x.leaveUpstream(call)
			return
		}
	}
}

// leaveUpstream ends a call that is not waited for any longer. One whose ack is there is let
// go on for a while.
func (x *exchange) leaveUpstream(call *upstream.Call) {
	if call.IsReady() {
		return
	}
	call.Cancel()
	<-call.Done()
}

// decides reports whether a call that has come decides what the client gets, whatever the
// upstream answers.
func (x *exchange) decides(r *callback.Record) bool {
	return (r.Phase == callback.Resolved || r.Phase == callback.Failed) && !x.h.needsAck()
}

// remember keeps a notice for ended.
func (x *exchange) remember(n engine.Notice) {
	x.early = make(chan engine.Notice, 1)
	x.early <- n
}

// watch looks out for calls on behalf of a client that gets 202 and does not wait for them:
// it need not wait for the ack either. Where too many wait, it does.
func (x *exchange) watch() (stop func()) {
	if !x.answersAtOnce() || x.waiter != nil {
		return func() {}
	}
	w, err := x.rt.Engine.AwaitChange(x.callback.ID)
	if err != nil {
		return func() {}
	}
	x.watcher = w
	return w.Stop
}

// called returns the channel on which the notice of a change of the callback comes; nil
// without a watcher.
func (x *exchange) called() <-chan engine.Notice {
	if x.watcher == nil {
		return nil
	}
	return x.watcher.C
}

// pass waits until an answer has been passed on. It applies neither timeout nor exit:
// the callback has ended, and the proxy handles both.
func (x *exchange) pass(call *upstream.Call) {
	select {
	case <-call.Done():
	case <-x.r.Context().Done():
		call.Cancel()
		<-call.Done()
	}
}

// takeBack makes sure that the upstream's handlers touch nothing of the request any more:
// the client is about to be answered, whatever they still do. It reports false if they are
// passing an answer on.
func (x *exchange) takeBack() bool {
	switch {
	case x.call == nil:
		return true
	case !x.call.Over():
		x.body.await(x.call.Done())
	}
	if !x.call.TakeBack() {
		return false
	}
	if !x.call.Over() {
		x.body.drain()
	}
	return true
}

// settle acts on the upstream's answer. It reports whether the exchange is finished;
// if not, the upstream has accepted the request.
func (x *exchange) settle(call *upstream.Call) (settled bool, err error) {
	outcome := call.Outcome()
	if outcome == upstream.PassedOn {
		return true, x.conclude(call)
	}
	if crash := call.Crash(); crash != nil {
		// Do not panic again: the client still needs an answer.
		x.h.log.Error("a handler after callback panicked", zap.Any("panic", crash), zap.Stringer("id", x.callback.ID))
	}
	// If a call came before the upstream's answer, the call decides.
	select {
	case n := <-x.ended():
		return true, x.answerWithAck(n, call)
	default:
	}
	switch outcome {
	case upstream.Answered:
		return x.acknowledge(call)
	case upstream.Refused:
		_, _ = x.withdraw("the upstream could not be reached", false)
		return true, call.Err()
	case upstream.Unhandled:
		_, _ = x.withdraw("nothing answered the request", false)
		return true, x.refuse(problem.NoUpstream)
	}
	if x.cut != notCut {
		return true, x.leaveCut()
	}
	if x.answersAtOnce() && !x.h.answersAck() && (outcome == upstream.Underway || x.wasCalled()) {
		return true, x.park()
	}
	p := problem.UpstreamUnknown
	p.Status = call.GatewayStatus()
	return true, x.leave(p)
}

// wasCalled reports whether a call has come already.
func (x *exchange) wasCalled() bool {
	cb, err := x.rt.Engine.Find(x.lasting(), store.ByID(x.callback.ID))
	return err == nil && (cb.Call != nil || cb.Phase.Final())
}

// conclude ends an exchange whose answer was passed on. If the request has a key, the
// answer is stored for a repeated request; an answer that is a 5xx, too large or
// incomplete frees the key instead. One that could not be read leaves the key with the
// callback, which goes on waiting. An error or panic of the handlers is handed on to
// Caddy.
func (x *exchange) conclude(call *upstream.Call) error {
	if x.retry != nil && !x.unread {
		var answer *callback.Response
		if call.Status() < http.StatusInternalServerError {
			// What could not be kept is nil.
			answer, _ = call.Response()
		}
		_ = x.rt.Engine.Conclude(x.lasting(), x.callback.ID, answer)
	}
	if call.Panic() != nil {
		panic(call.Panic())
	}
	return call.Err()
}

// acknowledge stores what is needed of the ack: the correlation id in it, the ack itself
// if the client gets it, or, for a request with a key, that there was an ack.
func (x *exchange) acknowledge(call *upstream.Call) (settled bool, err error) {
	if x.h.CorrelationID != nil && x.h.CorrelationID.From == fromAck && x.acked {
		if settled, err := x.correlate(call); settled {
			return true, err
		}
	}
	if x.acked {
		if err := x.beginPolling(call); err != nil {
			return true, x.refuse(problem.NotKept)
		}
	}
	if !x.h.needsAck() || !x.acked {
		if x.retry != nil {
			return false, x.rt.Engine.Acknowledge(x.lasting(), store.ByID(x.callback.ID), nil)
		}
		return false, nil
	}
	switch err := x.keepAck(call); {
	case errors.Is(err, upstream.ErrIncomplete):
		// The ack is incomplete, so it cannot be the result.
		return true, x.leave(problem.UpstreamUnknown)
	case errors.Is(err, engine.ErrTooLarge):
		return true, x.refuseAck()
	case err != nil:
		return true, x.refuse(problem.NotKept)
	}
	err = x.storeAck(x.callback.ID)
	switch {
	case errors.Is(err, store.ErrTooLarge):
		return true, x.refuseAck()
	case err != nil:
		return true, x.refuse(problem.NotKept)
	}
	return false, nil
}

// beginPolling notes that the upstream is asked for the result, if it is. A client that gets
// 202 gets it when that is committed, too: perhaps the upstream makes no call.
func (x *exchange) beginPolling(call *upstream.Call) error {
	job := x.h.pollAfterAck(call, x.rt.Engine, x.callback.Record, x.r.URL)
	if job == nil {
		return nil
	}
	commit, err := x.rt.Engine.BeginPolling(x.lasting(), x.callback.ID, *job)
	if err != nil {
		return err
	}
	cb := *x.callback
	cb.Commit = commit
	x.callback = &cb
	return nil
}

// correlate gives the callback the correlation id that the ack names.
func (x *exchange) correlate(call *upstream.Call) (settled bool, err error) {
	id, err := x.h.correlationIn(call, x.rt.Engine, x.callback.ID)
	if err != nil {
		return true, x.leave(problem.NoCorrelationID.With("In the upstream's answer: " + err.Error() + ". " + problem.NoCorrelationID.Detail))
	}
	_, err = x.rt.Engine.Correlate(x.lasting(), x.callback.ID, id)
	switch {
	case errors.Is(err, store.ErrExists):
		_, _ = x.withdraw("its correlation id belongs to another callback", false)
		return true, x.refuse(problem.CorrelationTaken)
	case err != nil:
		return true, x.refuse(problem.NotKept)
	}
	cb, err := x.rt.Engine.FindCommitted(x.lasting(), store.ByID(x.callback.ID))
	if err != nil {
		return true, x.refuse(problem.NotKept)
	}
	x.callback = cb
	return false, nil
}

// correlationIn returns the correlation id that an ack names. The error says why there is
// none that can be used.
func (h *Handler) correlationIn(ack *upstream.Call, e *engine.Engine, id callback.UUID) (string, error) {
	at, m := h.CorrelationID.Location, ack.Message()
	defer unpacked(m, e, id)()
	switch {
	case ack.Broken():
		return "", upstream.ErrIncomplete
	case ack.Lost() != nil:
		return "", lostAck(ack.Lost())
	}
	value, err := m.Read(at)
	given := value.Text
	switch {
	case errors.Is(err, memory.ErrBusy):
		return "", lostAck(err)
	case err != nil:
		return "", err
	case given == "" || value.IsNull():
		return "", fmt.Errorf("%s is missing", at)
	case !callback.ValidCorrelationID(given):
		return "", fmt.Errorf("%s cannot be used: a correlation id has 1 to 256 printable ASCII characters", at)
	}
	return given, nil
}

// refuseAck ends an exchange whose ack cannot be the result.
func (x *exchange) refuseAck() error {
	x.close("the upstream's answer is too large")
	return x.refuse(problem.AckTooLarge)
}

// keepAck keeps the upstream's ack for the client, if it is the result or what the client gets
// at once. The errors are those
// of upstream.Call.Response.
func (x *exchange) keepAck(call *upstream.Call) (err error) {
	if x.h.needsAck() && x.acked {
		x.ack, err = call.Response()
	}
	return err
}

// answerWithAck answers the client of a callback that ended before the ack had come. An ack
// that is incomplete or too large is not the result then.
func (x *exchange) answerWithAck(n engine.Notice, call *upstream.Call) error {
	err := x.keepAck(call)
	if err == nil || errors.Is(err, upstream.ErrIncomplete) || errors.Is(err, engine.ErrTooLarge) {
		return x.answer(n)
	}
	n.Done()
	return x.refuse(problem.NotKept)
}

// storeAck stores the ack, so that a result fetched later is the same.
func (x *exchange) storeAck(id callback.UUID) error {
	ctx, cancel := context.WithTimeout(x.lasting(), commitWithin)
	defer cancel()
	return x.rt.Engine.Acknowledge(ctx, store.ByID(id), x.ack)
}

// commitWithin is how long an answer to the client may be delayed by a commit of the
// callback or its ack.
const commitWithin = time.Second
