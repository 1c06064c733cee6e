package hold

import (
	"errors"
	"fmt"
	"net/http"
	"slices"

	"github.com/caddy-callback/caddy-callback/module/answer"
	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/problem"
	"github.com/caddy-callback/caddy-callback/module/store"
)

const (
	answer202 = "202"
	answerAck = "ack"
)

// answersAck reports whether the client gets the upstream's own ack: to it, the directive is
// not there.
func (h *Handler) answersAck() bool { return h.Answer == answerAck }

// needsAck reports whether the client gets the upstream's ack, at once or in the end.
func (h *Handler) needsAck() bool { return h.policy.AckIsResult || h.answersAck() }

// heedsPrefer reports whether the client's Prefer is meant for us.
func (h *Handler) heedsPrefer() bool {
	if h.Prefer != nil {
		return *h.Prefer
	}
	return !h.answersAck()
}

// takePreferences removes the preferences that are meant for us from what is passed on.
func (h *Handler) takePreferences(header http.Header) {
	if h.heedsPrefer() {
		answer.StripPreferences(header)
	}
}

// passesWithout returns errPasses in place of the error that a request holds no URL to deliver
// to, if such a request is none of ours.
func (h *Handler) passesWithout(err error) error {
	var p problem.Problem
	if h.answersAck() && errors.As(err, &p) && p.Slug == problem.NoDeliveryURL.Slug {
		return errPasses
	}
	return err
}

// checkAnswer makes sure that the client can get what answer says.
func (h *Handler) checkAnswer() error {
	switch {
	case h.Answer == "":
		return nil
	case h.Answer != answer202 && h.Answer != answerAck:
		return fmt.Errorf("answer: %q is not known; write 202 or ack", h.Answer)
	case h.Mode != modePark:
		return errors.New("answer: it says what the client of park gets at once; leave it out, or use callback park")
	case !h.answersAck():
		return nil
	case h.Call != nil:
		return errors.New("answer: with call the request runs in the background, so there is no ack to answer with; leave one of the two out")
	case h.Prefer != nil && *h.Prefer:
		return errors.New("answer: with ack the client's Prefer is for the upstream; leave out prefer on")
	case h.Message != "" && h.Page == nil:
		return errors.New("answer: with ack the client gets no message; leave one of the two out")
	}
	return nil
}

// passAck answers the client with the upstream's ack. It says where the status is, which no
// client has to know.
func (x *exchange) passAck() error {
	cb, err := x.rt.Engine.FindCommitted(x.lasting(), store.ByID(x.callback.ID))
	if err != nil {
		return x.refuse(problem.NotKept)
	}
	if cb.Ack == nil {
		// The process ended between the ack and its commit, and the callback came.
		answer.WriteParked(x.w, x.callback, messagePickUp)
		return nil
	}
	if cb.Stripped() {
		return x.refuse(problem.ResultGone)
	}
	link := callback.Field{Name: "Link", Value: "<" + x.callback.StatusURL() + `>; rel="status"`}
	ack := callback.Result{Status: cb.Ack.Status, Header: append(slices.Clone(cb.Ack.Header), link), Body: &cb.Ack.Body}
	ack, content, err := answer.OpenResult(x.r, x.rt.Engine.Bodies(cb.ID), ack, cb.Policy)
	if err != nil {
		return x.refuse(answer.ProblemOf(err))
	}
	answer.WriteResult(x.w, x.r, ack, content)
	return nil
}
