package hold

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/engine"
	"github.com/caddy-callback/caddy-callback/module/problem"
	"github.com/caddy-callback/caddy-callback/module/store"
	"github.com/caddy-callback/caddy-callback/module/upstream"
)

// callUpstream sends the request upstream while the client waits, and then acts on the
// upstream's answer.
func (x *exchange) callUpstream() error {
	if x.retry != nil {
		land, ok := x.rt.Engine.Depart(x.callback.ID)
		if !ok {
			// Another request for the same callback is already being served.
			return x.attach()
		}
		defer land()
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
	came := x.h.expectAck(x.rt.Engine)
	defer came()
	call := upstream.Start(handler, x.w, x.request.out, x.limits(), func(status int) bool {
		kept := x.accepts(status)
		if !kept {
			came()
		}
		return kept
	})
	x.follow(call)
	if x.h.Call == nil {
		// It is not used any more, and it would take memory while the client is held.
		x.request.buffer.Release()
		x.request = nil
	}
	if outcome := call.Outcome(); outcome == upstream.Answered || outcome == upstream.Unknown {
		x.body.drain()
	}
	settled, err := x.settle(call)
	if settled {
		return err
	}
	came()
	return x.waitOrPark()
}

// expectAck tells the engine that calls can overtake an ack which is to name their
// correlation id, until came is called.
func (h *Handler) expectAck(e *engine.Engine) (came func()) {
	if !h.correlates() {
		return func() {}
	}
	return e.ExpectAck(h.policy.Keys)
}

// limits returns how much of the upstream's answer is kept.
func (x *exchange) limits() upstream.Limits {
	l := upstream.Limits{Kept: -1, Passed: -1}
	fromBody := x.h.CorrelationID.inBody(fromAck)
	if x.h.policy.AckIsResult || fromBody {
		l.Kept = x.h.app.MaxBodySize
	}
	if x.retry != nil {
		l.Passed = x.h.app.MaxBodySize
	}
	return l
}

// accepts decides by its status whether the upstream's answer is kept from the client.
// An answer that is no ack closes the callback and is passed on, unless a call came
// before it: then the call decides, and the answer is kept. After 502 or 504 the upstream
// may have got the request, so the callback stays open.
func (x *exchange) accepts(status int) bool {
	if x.h.accepts(x.r.Method, status) {
		x.acked = true
		return true
	}
	if status == http.StatusBadGateway || status == http.StatusGatewayTimeout {
		return false
	}
	concluding := x.retry != nil && status < http.StatusInternalServerError
	r, err := x.withdraw("the upstream answered "+strconv.Itoa(status), concluding)
	return err == nil && r.Phase != callback.Closed
}

// follow waits until the upstream's answer is there, or has been passed on.
func (x *exchange) follow(call *upstream.Call) {
	defer call.Cancel()
	gone := x.r.Context().Done()
	for {
		select {
		case <-call.Done():
			return
		case <-call.Passing():
			x.pass(call)
			return
		case <-x.timeout.C:
			x.cut = cutByTimeout
			call.Cancel()
		case <-x.rt.Exit:
			x.cut = cutByExit
			call.Cancel()
		case <-gone:
			// The upstream continues without the client, unless the callback is
			// to be closed when the client leaves.
			gone = nil
			if x.h.OnDisconnect == "close" && x.waiter.Alone() {
				x.cut = cutByClient
				call.Cancel()
			}
		}
		if x.cut != notCut {
			<-call.Done()
			return
		}
	}
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
		x.keepAck(call)
		return true, x.answer(n)
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
	if x.answersAtOnce() && x.called() {
		return true, x.park()
	}
	p := problem.UpstreamUnknown
	p.Status = call.GatewayStatus()
	return true, x.leave(p)
}

// called reports whether a call has come already.
func (x *exchange) called() bool {
	cb, err := x.rt.Engine.Find(x.lasting(), store.ByID(x.callback.ID))
	return err == nil && (cb.Call != nil || cb.Phase.Final())
}

// conclude ends an exchange whose answer was passed on. If the request has a key, the
// answer is stored for a repeated request; an answer that is a 5xx, too large or
// incomplete frees the key instead. An error or panic of the handlers is handed on to
// Caddy.
func (x *exchange) conclude(call *upstream.Call) error {
	if x.retry != nil {
		answer := call.Response()
		if answer != nil && answer.Status >= http.StatusInternalServerError {
			answer = nil
		}
		_ = x.rt.Engine.Conclude(x.lasting(), x.callback.ID, answer)
	}
	if call.Panic() != nil {
		panic(call.Panic())
	}
	return call.Err()
}

// acknowledge stores what is needed of the ack: the correlation id in it, the ack itself
// if it is the result, or, for a request with a key, that there was an ack.
func (x *exchange) acknowledge(call *upstream.Call) (settled bool, err error) {
	if x.h.CorrelationID != nil && x.h.CorrelationID.From == fromAck && x.acked {
		if settled, err := x.correlate(call); settled {
			return true, err
		}
	}
	if !x.h.policy.AckIsResult || !x.acked {
		if x.retry != nil {
			return false, x.rt.Engine.Acknowledge(x.lasting(), store.ByID(x.callback.ID), nil)
		}
		return false, nil
	}
	if call.Broken() {
		// The ack is incomplete, so it cannot be the result.
		return true, x.leave(problem.UpstreamUnknown)
	}
	if call.Overflowed() {
		return true, x.refuseAck()
	}
	x.keepAck(call)
	err = x.storeAck(x.callback.ID)
	switch {
	case errors.Is(err, store.ErrTooLarge):
		return true, x.refuseAck()
	case err != nil:
		return true, x.refuse(problem.NotKept)
	}
	return false, nil
}

// correlate gives the callback the correlation id that the ack names.
func (x *exchange) correlate(call *upstream.Call) (settled bool, err error) {
	id, err := x.h.correlationIn(call)
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
func (h *Handler) correlationIn(ack *upstream.Call) (string, error) {
	at, m := h.CorrelationID.Location, ack.Message()
	switch {
	case ack.Broken():
		return "", errors.New("the answer is incomplete")
	case ack.Overflowed():
		return "", errors.New("the answer is larger than allowed")
	}
	value, err := m.Read(at)
	id := value.Text
	switch {
	case err != nil:
		return "", err
	case id == "" || value.IsNull():
		return "", fmt.Errorf("%s is missing", at)
	case !callback.ValidCorrelationID(id):
		return "", fmt.Errorf("%s cannot be used: a correlation id has 1 to 256 printable ASCII characters", at)
	}
	return id, nil
}

// refuseAck ends an exchange whose ack cannot be the result.
func (x *exchange) refuseAck() error {
	x.close("the upstream's answer is too large")
	return x.refuse(problem.AckTooLarge)
}

// keepAck keeps the upstream's ack for the client, if it is the result and complete.
func (x *exchange) keepAck(call *upstream.Call) {
	if x.h.policy.AckIsResult && x.acked {
		x.ack = call.Response()
	}
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

// ackRange is a status, or a class of them.
type ackRange struct{ from, to int }

func parseAck(s string) (ackRange, error) {
	if class, ok := strings.CutSuffix(strings.ToLower(s), "xx"); ok && len(class) == 1 && class[0] >= '2' && class[0] <= '5' {
		from := int(class[0]-'0') * 100
		return ackRange{from, from + 99}, nil
	}
	n, err := strconv.Atoi(s)
	if err != nil || n < 200 || n > 599 {
		return ackRange{}, fmt.Errorf("%q is not a status; write one like 202, or a class like 2xx", s)
	}
	return ackRange{n, n}, nil
}

// accepts reports whether the upstream's status means that it will call back.
func (h *Handler) accepts(method string, status int) bool {
	if len(h.acks) == 0 {
		if isSafe(method) {
			return status == http.StatusAccepted
		}
		return status >= 200 && status <= 299
	}
	return slices.ContainsFunc(h.acks, func(r ackRange) bool { return r.from <= status && status <= r.to })
}
