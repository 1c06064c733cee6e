package api

import (
	"errors"
	"net/http"
	"time"

	"github.com/caddy-callback/caddy-callback/module/answer"
	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/desk"
	"github.com/caddy-callback/caddy-callback/module/engine"
	"github.com/caddy-callback/caddy-callback/module/memory"
	"github.com/caddy-callback/caddy-callback/module/problem"
)

// maxCommonBody bounds the body of a call to all callbacks that match, in bytes: each keeps it.
const maxCommonBody = 64 << 10

// acts are what is done to all callbacks that match, by the resources.
var acts = map[resource]desk.Act{closingAll: desk.Close, resolvingAll: desk.Resolve, redeliveringAll: desk.Redeliver}

// count says how many callbacks match.
func (a *request) count() error {
	values, err := a.query()
	if err != nil {
		return err
	}
	query, err := desk.ParseCount(values, a.engine().Now())
	if err != nil {
		return err
	}
	counted, err := a.desk.Count(a.r.Context(), query)
	if err != nil {
		return err
	}
	answer.WriteJSON(a.w, http.StatusOK, counted)
	return nil
}

// watch tells of changes.
func (a *request) watch() error { return a.desk.ServeChanges(a.w, a.r, a.app.Ended()) }

// order reads what is to be done to all callbacks that match.
func (a *request) order() (desk.Order, error) {
	values, err := a.query()
	if err != nil {
		return desk.Order{}, err
	}
	return desk.ParseOrder(acts[a.at.resource], values, a.engine().Now())
}

// actOnAll does to all callbacks that match what the path says.
func (a *request) actOnAll() error {
	o, err := a.order()
	if err != nil {
		return err
	}
	return a.report(o)
}

// resolveAll takes the request as a call to each callback that matches. Its query says which
// they are, and is not the call's.
func (a *request) resolveAll() error {
	o, err := a.order()
	if err != nil {
		answer.LeaveUnread(a.w, a.r)
		return err
	}
	if o.Call, err = callback.NewCall(a.r.Method, "", "", a.r.Header, callback.At(a.engine().Now())); err != nil {
		return err
	}
	if answer.HasBody(a.r) {
		body, err := a.readBody(memory.OwnerOf(a.scope), min(maxCommonBody, a.app.MaxBodySize))
		if errors.Is(err, engine.ErrTooLarge) {
			err = problem.TooLarge.With("The body of a call to all that match can have 64 KiB.")
		}
		if err != nil {
			return err
		}
		defer body.Release()
		o.Call.Body, o.Lease = callback.NewBody(body.Bytes()), body.Lease()
	}
	return a.report(o)
}

// report carries an order out, and says what has become of it.
func (a *request) report(o desk.Order) error {
	// A server's time to read a request would end it, however long it is answered.
	_ = http.NewResponseController(a.w).SetReadDeadline(time.Time{})
	report, err := a.desk.All(a.r.Context(), o)
	if err != nil {
		return err
	}
	answer.WriteJSON(a.w, http.StatusOK, report)
	return nil
}
