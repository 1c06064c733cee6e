package hold

import (
	"cmp"

	"github.com/caddy-callback/caddy-callback/module/answer"
	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/problem"
	"github.com/caddy-callback/caddy-callback/module/store"
)

// The default messages to a client that gets 202.
const (
	messageDeliver = "The resolution has started. We will send the result to the callback URL you provided on completion."
	messagePickUp  = "The request was accepted. Look for its result at statusUrl."
)

// parksAtTimeout reports whether a held client is told where to look when its time is over,
// and does not get an error.
func (h *Handler) parksAtTimeout() bool {
	return h.OnTimeout == onTimeoutPark || h.OnTimeout == onTimeoutRedirect
}

// park answers the client with 202, or with 303 to its result or, if it is a person, to the
// page. The URLs in it are not given out before the callback is committed.
func (x *exchange) park() error {
	x.takeBack()
	if err := store.Wait(x.lasting(), x.callback.Commit); err != nil {
		return x.refuse(problem.NotKept)
	}
	if x.callback.SecretGone() {
		return x.refuseFor(callback.ErrSecretGone)
	}
	if x.step != nil {
		x.step.next = x.callback.ID
	}
	x.varyPage(x.w.Header())
	switch {
	case x.toPage():
		answer.WriteToPage(x.w, x.callback)
		return nil
	case x.h.answersAck():
		return x.passAck()
	}
	message := x.h.Message
	if message == "" && x.callback.Delivery != nil {
		message = messageDeliver
	}
	message = cmp.Or(message, messagePickUp)
	if x.stream != nil {
		x.tellParked(message)
		return nil
	}
	x.preference.Apply(x.w.Header())
	if x.chain.Wait > 0 {
		answer.WriteChained(x.w, x.callback, x.chain, message)
		return nil
	}
	answer.WriteParked(x.w, x.callback, message)
	return nil
}
