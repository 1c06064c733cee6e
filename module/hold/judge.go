package hold

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"go.uber.org/zap"

	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/engine"
	"github.com/caddy-callback/caddy-callback/module/inject"
	"github.com/caddy-callback/caddy-callback/module/memory"
	"github.com/caddy-callback/caddy-callback/module/upstream"
)

// judge is an exchange that judges the upstream's answer.
type judge exchange

// Head implements upstream.Judge.
func (g *judge) Head(status int, header http.Header) upstream.Fate {
	return g.note((*exchange)(g).look(status, header))
}

// Body implements upstream.Judge.
func (g *judge) Body(a *upstream.Answer) upstream.Fate { return g.note((*exchange)(g).weigh(a)) }

// note notes that there is no ack if the answer is passed on.
func (g *judge) note(fate upstream.Fate) upstream.Fate {
	if fate == upstream.Passed {
		g.came()
	}
	return fate
}

// look decides by status and header whether the upstream's answer is kept from the client.
func (x *exchange) look(status int, header http.Header) upstream.Fate {
	if !x.h.accepts(x.r.Method, status) {
		return x.decline(status)
	}
	says, err := saysAll(&inject.Message{Header: header}, x.h.ackHeader)
	switch {
	case err != nil:
		return x.passUnread(status, err)
	case !says:
		return x.decline(status)
	case len(x.h.ackBody) > 0:
		return x.h.weighs()
	}
	return x.accept(status)
}

// weigh decides by its body whether an answer with the status of an ack is one.
func (x *exchange) weigh(a *upstream.Answer) upstream.Fate {
	switch says, err := x.h.bodySays(a, x.rt.Engine, x.callback.ID); {
	case err != nil:
		return x.passUnread(a.Status, err)
	case !says:
		return x.decline(a.Status)
	}
	return weighed(x.accept(a.Status))
}

// weighs returns the fate of an answer that the body decides on.
func (h *Handler) weighs() upstream.Fate {
	if h.ackBody[0].In == inject.XML {
		return upstream.WeighedXML
	}
	return upstream.Weighed
}

// weighed returns the fate of an ack whose body has been weighed: its value is there.
func weighed(fate upstream.Fate) upstream.Fate {
	if fate == upstream.KeptJSON || fate == upstream.KeptXML {
		return upstream.KeptHead
	}
	return fate
}

// accept keeps an ack with that status from the client, as far as it is needed.
func (x *exchange) accept(status int) upstream.Fate {
	x.acked = true
	x.rt.Engine.Remember(x.callback.ID, callback.Happening{Kind: callback.HappenedAcked, Status: status})
	return x.h.neededOf()
}

// neededOf returns how much of an ack is needed.
func (h *Handler) neededOf() upstream.Fate {
	reads := h.pollsBody()
	if h.CorrelationID.inBody(fromAck) {
		reads = h.CorrelationID.In
	}
	switch {
	case h.needsAck() && reads != "":
		return upstream.KeptRead
	case h.needsAck():
		return upstream.Kept
	case reads == inject.XML:
		return upstream.KeptXML
	case reads != "":
		return upstream.KeptJSON
	case h.correlates(), h.Poll != nil:
		return upstream.KeptHead
	}
	return upstream.KeptStatus
}

// decline decides on an answer that is no ack. It closes the callback and is passed on,
// unless a call came before it: then the call decides, and the answer is kept. After 502 or
// 504 the upstream may have got the request, so the callback stays open.
func (x *exchange) decline(status int) upstream.Fate {
	if status == http.StatusBadGateway || status == http.StatusGatewayTimeout {
		return upstream.Passed
	}
	concluding := x.retry != nil && status < http.StatusInternalServerError
	r, err := x.withdraw("the upstream answered "+strconv.Itoa(status), concluding)
	if err == nil && r.Phase != callback.Closed {
		return upstream.KeptStatus
	}
	return upstream.Passed
}

// passUnread decides on an answer with the status of an ack that could not be read. It may
// be one: it is passed on, unless a call came before it, and the callback goes on waiting.
// A step's callback ends with its client, who has been answered.
func (x *exchange) passUnread(status int, err error) upstream.Fate {
	if x.h.isStep() {
		return x.decline(status)
	}
	x.h.log.Warn("it is not known whether an answer of the upstream is an ack, for it cannot be read; its callback goes on waiting",
		zap.Stringer("id", x.callback.ID), zap.Error(err))
	if x.wasCalled() {
		return upstream.KeptStatus
	}
	x.unread = true
	return upstream.Passed
}

// bodySays reports whether the body of an answer says what an ack does.
func (h *Handler) bodySays(a *upstream.Answer, e *engine.Engine, id callback.UUID) (bool, error) {
	if a.Lost != nil {
		return false, lostAck(a.Lost)
	}
	m := a.Message()
	defer unpacked(m, e, id)()
	return saysAll(m, h.ackBody)
}

// unpacked lets those who read an answer look into its body, should it be packed, until
// release is called.
func unpacked(m *inject.Message, e *engine.Engine, id callback.UUID) (release func()) {
	m.Unpacked = e.Packed(m.Body, e.Memory(memory.OwnerOf(id)))
	return m.Unpacked.Release
}

// lostAck says why an ack could not be looked into.
func lostAck(err error) error {
	if errors.Is(err, memory.ErrBusy) {
		return errors.New("no memory was left to look into the answer")
	}
	return errors.New("the answer is larger than allowed")
}

// saysAll reports whether a message matches all that an ack must. It is an error if it does
// not, as far as it can be read.
func saysAll(m *inject.Message, all []Match) (bool, error) {
	var unread error
	for _, match := range all {
		says, err := m.Match(match.Location, match.Values)
		switch {
		case errors.Is(err, memory.ErrBusy):
			unread = lostAck(err)
		case err != nil:
			unread = err
		case !says:
			return false, nil
		}
	}
	return unread == nil, unread
}

// compileAcks prepares what is judged by.
func (h *Handler) compileAcks() error {
	for _, s := range h.Ack {
		r, err := parseAck(s)
		if err != nil {
			return err
		}
		h.acks = append(h.acks, r)
	}
	h.ackHeader, h.ackBody = byBody(h.AckMatch)
	return nil
}

// checkAcks makes sure that an answer can be an ack. Errors begin with the option.
func (h *Handler) checkAcks() error {
	for _, s := range h.Ack {
		if _, err := parseAck(s); err != nil {
			return fmt.Errorf("ack: %w", err)
		}
	}
	for _, m := range h.AckMatch {
		if err := m.checkAck(); err != nil {
			return fmt.Errorf("ack: %w", err)
		}
	}
	body, err := oneBody(placesOf(h.AckMatch))
	if err != nil {
		return fmt.Errorf("ack: %w", err)
	}
	if polled := h.pollsBody(); polled != "" {
		if body != "" && body != polled {
			return fmt.Errorf("poll: from: %w", twoKinds(body, polled))
		}
		body = polled
	}
	if c := h.CorrelationID; c.inBody(fromAck) && body != "" && body != c.In {
		return fmt.Errorf("ack: with correlation_id ack %s, %w", c.In, twoKinds(body, c.In))
	}
	return nil
}

// ackHas reports whether an ack has a place.
func ackHas(in inject.Place) bool {
	return in == inject.Header || in == inject.JSON || in == inject.XML
}

func (m Match) checkAck() error {
	if !ackHas(m.In) {
		return fmt.Errorf("an ack has no place %s; the places are header, json and xml", m.In)
	}
	if err := m.Validate(); err != nil {
		return fmt.Errorf("%w; choose another place or name", err)
	}
	return m.checkPatterns()
}

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
