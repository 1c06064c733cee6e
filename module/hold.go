package module

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/engine"
	"github.com/caddy-callback/caddy-callback/module/problem"
	"github.com/caddy-callback/caddy-callback/module/store"
)

// ServeHTTP makes a callback of the request, sends it upstream, and holds the
// client until the callback has come.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	arrived := time.Now()
	if upgrades(r) {
		return h.refuse(w, r, problem.Upgrade)
	}
	rt, err := h.app.use(r.Context())
	if err != nil || rt.exitingNow() {
		if err == nil {
			rt.release()
		}
		return h.refuse(w, r, problem.Unavailable)
	}
	defer rt.release()

	request, lease, err := h.prepare(rt.engine, r)
	if err != nil {
		return h.refuse(w, r, problemOf(err))
	}
	hold, err := h.begin(rt, r)
	if err != nil {
		lease.Release()
		return h.refuse(w, r, problemOf(err))
	}
	hold.w = w
	defer hold.waiter.Stop()
	if err := request.fill(hold.callback); err != nil {
		lease.Release()
		_, _ = hold.close("nothing could be put into the request")
		return h.refuse(w, r, problemOf(err))
	}
	hold.timer = time.NewTimer(time.Duration(h.Timeout) - time.Since(arrived))
	defer hold.timer.Stop()

	body := trackBody(request.out)
	call := callUpstream(next, w, request.out, hold.keepOfAck(), hold.accepts)
	hold.upstream(call)
	lease.Release()
	settled, err := hold.settle(call)
	if settled {
		return err
	}
	body.drain()
	return hold.wait()
}

// hold is one request that is being held.
type hold struct {
	h        *Handler
	rt       *runtime
	w        http.ResponseWriter
	r        *http.Request
	callback *engine.Callback
	waiter   *engine.Waiter
	timer    *time.Timer
	// cut is why the client will not be held any longer, if it is so.
	cut cut
	// acked says that the upstream has answered with an ack, and ack is that, where
	// it is the result.
	acked bool
	ack   *callback.Response
}

// cut is why a hold ends before its callback has come.
type cut uint8

const (
	notCut cut = iota
	cutByTimeout
	cutByExit
	cutByClient
)

// begin makes the callback and registers the waiter.
func (h *Handler) begin(rt *runtime, r *http.Request) (*hold, error) {
	cb, err := rt.engine.Create(r.Context(), engine.Spec{
		Policy: h.policy,
		Spec:   callback.Spec{Name: h.Name, ExpiresIn: time.Duration(h.ExpiresIn)},
		Held:   true,
	})
	if err != nil {
		return nil, err
	}
	hold := &hold{h: h, rt: rt, r: r, callback: cb}
	// The URL is not given out yet, so nobody can have called in between.
	hold.waiter, err = rt.engine.Await(cb.ID, h.policy.Multiple)
	if err != nil {
		_, _ = hold.close("too many requests are held")
		return nil, err
	}
	h.setPlaceholders(r, cb)
	return hold, nil
}

// setPlaceholders makes {http.callback.*} available to the handlers that follow.
func (h *Handler) setPlaceholders(r *http.Request, cb *engine.Callback) {
	repl, ok := r.Context().Value(caddy.ReplacerCtxKey).(*caddy.Replacer)
	if !ok {
		return
	}
	repl.Map(func(key string) (any, bool) {
		name, ok := strings.CutPrefix(key, callback.PlaceholderPrefix)
		if !ok {
			return nil, false
		}
		value, ok := cb.Placeholder(name)
		return value, ok
	})
}

// keepOfAck returns how many bytes of the ack's body are kept; negative for none.
func (hd *hold) keepOfAck() int64 {
	if hd.h.policy.AckIsResult {
		return hd.h.app.MaxBodySize
	}
	return -1
}

// accepts decides what to do with the upstream's answer. It returns false where
// it is to be passed on to the client, and has then closed the callback. A
// callback that was called before stands, whatever the upstream says later.
func (hd *hold) accepts(status int) bool {
	if hd.h.accepts(hd.r.Method, status) {
		hd.acked = true
		return true
	}
	if status == http.StatusBadGateway || status == http.StatusGatewayTimeout {
		return false
	}
	r, err := hd.close("the upstream answered " + strconv.Itoa(status))
	return err == nil && r.Phase != callback.Closed
}

// close closes the callback, if it still waits.
func (hd *hold) close(reason string) (*callback.Record, error) {
	return hd.rt.engine.CloseCallback(context.WithoutCancel(hd.r.Context()), store.ByID(hd.callback.ID), reason)
}

// upstream waits until the upstream's answer is there, or has been passed on.
func (hd *hold) upstream(call *upstreamCall) {
	defer call.cancel()
	gone := hd.r.Context().Done()
	for {
		select {
		case <-call.done:
			return
		case <-call.passing:
			hd.pass(call)
			return
		case <-hd.timer.C:
			hd.cut = cutByTimeout
			call.cancel()
		case <-hd.rt.exit:
			hd.cut = cutByExit
			call.cancel()
		case <-gone:
			// The upstream goes on without the client, unless nobody wants
			// to know how it ends.
			gone = nil
			if hd.h.OnDisconnect == "close" {
				hd.cut = cutByClient
				call.cancel()
			}
		}
		if hd.cut != notCut {
			<-call.done
			return
		}
	}
}

// pass waits until an answer has been passed on. It takes as long as it takes:
// the callback is closed, and timeout and exit are the business of the proxy.
func (hd *hold) pass(call *upstreamCall) {
	select {
	case <-call.done:
	case <-hd.r.Context().Done():
		call.cancel()
		<-call.done
	}
}

// settle acts on the upstream's answer. It reports whether the request is dealt
// with; if not, the client is to be held.
func (hd *hold) settle(call *upstreamCall) (settled bool, err error) {
	answer := call.answer()
	if answer == answerPassed {
		if call.panic != nil {
			panic(call.panic)
		}
		return true, call.err
	}
	hd.logPanic(call)
	// A call that came before the upstream's answer decides.
	select {
	case n := <-hd.waiter.C:
		hd.keepAck(call)
		return true, hd.answer(n)
	default:
	}
	switch answer {
	case answerAccepted:
		return hd.acknowledge(call)
	case answerRefused:
		_, _ = hd.close("the upstream could not be reached")
		return true, call.err
	case answerNone:
		_, _ = hd.close("nothing answered the request")
		return true, hd.h.refuse(hd.w, hd.r, problem.NoUpstream)
	}
	if hd.cut != notCut {
		return false, nil
	}
	p := problem.UpstreamUnknown
	p.Status = call.status()
	return true, hd.leave(p)
}

// acknowledge keeps the ack, if it will be the result.
func (hd *hold) acknowledge(call *upstreamCall) (settled bool, err error) {
	if !hd.h.policy.AckIsResult || !hd.acked {
		return false, nil
	}
	if call.panic != nil || call.err != nil {
		// The ack broke off on its way, and half of it is no result.
		return true, hd.leave(problem.UpstreamUnknown)
	}
	if call.writer.overflow {
		return true, hd.refuseAck()
	}
	hd.keepAck(call)
	err = hd.storeAck(hd.callback.ID)
	switch {
	case errors.Is(err, store.ErrTooLarge):
		return true, hd.refuseAck()
	case err != nil:
		return true, hd.h.refuse(hd.w, hd.r, problem.NotKept)
	}
	return false, nil
}

// refuseAck ends a hold whose ack cannot be the result.
func (hd *hold) refuseAck() error {
	_, _ = hd.close("the upstream's answer is too large")
	return hd.h.refuse(hd.w, hd.r, problem.AckTooLarge)
}

// keepAck keeps the upstream's ack for the answer, if it is whole.
func (hd *hold) keepAck(call *upstreamCall) {
	if hd.h.policy.AckIsResult && hd.acked && !call.writer.overflow && call.panic == nil && call.err == nil {
		hd.ack = call.writer.ack()
	}
}

// storeAck stores the ack, so that the result that is fetched later is the same.
func (hd *hold) storeAck(id callback.UUID) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(hd.r.Context()), commitWithin)
	defer cancel()
	return hd.rt.engine.Acknowledge(ctx, store.ByID(id), hd.ack)
}

// wait holds the client until the callback has ended, or the hold has.
func (hd *hold) wait() error {
	created := hd.callback.Commit.Done()
	for hd.cut == notCut {
		select {
		case n := <-hd.waiter.C:
			return hd.answer(n)
		case <-created:
			created = nil
			if hd.callback.Commit.Err() != nil {
				return hd.h.refuse(hd.w, hd.r, problem.NotKept)
			}
		case <-hd.timer.C:
			hd.cut = cutByTimeout
		case <-hd.rt.exit:
			hd.cut = cutByExit
		case <-hd.r.Context().Done():
			hd.cut = cutByClient
		}
	}
	select {
	case n := <-hd.waiter.C:
		return hd.answer(n)
	default:
	}
	switch hd.cut {
	case cutByTimeout:
		return hd.leave(problem.Timeout)
	case cutByExit:
		return hd.leave(problem.ShuttingDown)
	}
	if hd.h.OnDisconnect == "close" {
		_, _ = hd.close("the client has left")
	}
	hd.w.WriteHeader(statusClientClosed)
	return nil
}

// commitWithin bounds how long a client that leaves is kept for the commit of its
// callback.
const commitWithin = time.Second

// leave ends a hold whose callback goes on waiting: the client is told where to
// look for the result. No such URL is given out before the callback is committed.
func (hd *hold) leave(p problem.Problem) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(hd.r.Context()), commitWithin)
	defer cancel()
	if err := store.Wait(ctx, hd.callback.Commit); err != nil {
		return hd.h.refuse(hd.w, hd.r, problem.NotKept)
	}
	p.Members = []problem.Member{
		{Name: "id", Value: hd.callback.ID.String()},
		{Name: "correlationId", Value: hd.callback.CorrelationID},
		{Name: "statusUrl", Value: hd.callback.StatusURL()},
		{Name: "resultUrl", Value: hd.callback.ResultURL()},
	}
	return hd.h.refuse(hd.w, hd.r, p)
}

// answer answers the client with how its callback has ended.
func (hd *hold) answer(n engine.Notice) error {
	defer n.Done()
	r := n.Record
	if r.Ack == nil && hd.ack != nil {
		// The call was decided before the ack was there.
		withAck := *r
		withAck.Ack = hd.ack
		r = &withAck
		if err := hd.storeAck(r.ID); err != nil {
			return hd.h.refuse(hd.w, hd.r, problem.NotKept)
		}
	}
	switch r.Phase {
	case callback.Expired:
		return hd.h.refuse(hd.w, hd.r, problem.ExpiredResult)
	case callback.Closed:
		return hd.h.refuse(hd.w, hd.r, problem.Closed.With(r.Reason))
	}
	result := r.Result(hd.h.policy)
	if result.Failure != nil {
		return hd.h.refuseFailed(hd.w, hd.r, r, result)
	}
	return writeResult(hd.w, hd.r, hd.rt.engine, result)
}

// refuse answers with a problem document, or hands the error to Caddy if the
// directive says so.
func (h *Handler) refuse(w http.ResponseWriter, r *http.Request, p problem.Problem) error {
	if h.Errors == "caddy" {
		setErrorPlaceholders(r, p)
		for name, values := range p.Header {
			w.Header()[name] = values
		}
		return caddyhttp.Error(p.Status, errors.New(p.Title))
	}
	p.Write(w)
	return nil
}

// upgrades reports whether the request would turn its connection into something
// else, which cannot be held.
func upgrades(r *http.Request) bool {
	if r.Method == http.MethodConnect {
		return true
	}
	for _, line := range r.Header["Connection"] {
		for option := range strings.SplitSeq(line, ",") {
			if strings.EqualFold(strings.TrimSpace(option), "upgrade") {
				return true
			}
		}
	}
	return false
}
