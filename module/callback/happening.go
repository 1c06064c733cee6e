package callback

import (
	"fmt"
	"slices"
)

// Happening is something that happened to a callback. It has nothing of what a client or a
// partner sent.
type Happening struct {
	// At is when it happened.
	At Time `json:"at"`
	// Kind is what happened.
	Kind HappeningKind `json:"kind"`
	// Status is the HTTP status that belongs to it: that of an answer which came, or of the
	// one that a call got; 0 for none.
	Status int `json:"status,omitempty"`
	// Reason says why, or which: words of this module's own, the last part of a problem type,
	// or a name from the configuration. At most maxHistoryText bytes are kept.
	Reason string `json:"reason,omitempty"`
	// By says who did it: the name of a key, or of a user that Caddy has authenticated. At most
	// maxHistoryText bytes are kept.
	By string `json:"by,omitempty"`
}

// HappeningKind is the kind of a Happening.
type HappeningKind uint8

// The kinds. Their numbers are stored and must never change.
const (
	// HappenedCreated: it was made.
	HappenedCreated HappeningKind = 1
	// HappenedSent: the request was sent upstream.
	HappenedSent HappeningKind = 2
	// HappenedAcked: the upstream has accepted the request, with Status.
	HappenedAcked HappeningKind = 3
	// HappenedCorrelated: the ack has named the correlation id.
	HappenedCorrelated HappeningKind = 4
	// HappenedCalled: a call was accepted. Status is that of the reply, which the partner gets
	// when that is committed.
	HappenedCalled HappeningKind = 5
	// HappenedProgressed: a call was taken that is not the answer yet, with the Status of its
	// reply.
	HappenedProgressed HappeningKind = 6
	// HappenedReplied: a call that changes nothing got a reply with Status. Reason says which
	// it is: repeated or returned.
	HappenedReplied HappeningKind = 7
	// HappenedRefused: a call was refused, with Status, because of Reason.
	HappenedRefused HappeningKind = 8
	// HappenedAttempted: the job was attempted.
	HappenedAttempted HappeningKind = 9
	// HappenedPolled: the upstream was asked for the result, and there is none yet.
	HappenedPolled HappeningKind = 10
	// HappenedDecided: a person has decided, with the choice Reason.
	HappenedDecided HappeningKind = 11
	// HappenedResolved, HappenedFailed, HappenedExpired and HappenedClosed: it has ended.
	HappenedResolved HappeningKind = 12
	HappenedFailed   HappeningKind = 13
	HappenedExpired  HappeningKind = 14
	HappenedClosed   HappeningKind = 15
	// HappenedDelivered: a result was delivered.
	HappenedDelivered HappeningKind = 16
	// HappenedDeliveryFailed: it was not, and is to be tried again.
	HappenedDeliveryFailed HappeningKind = 17
	// HappenedDeliveryDead: it was not, and is not tried again.
	HappenedDeliveryDead HappeningKind = 18
	// HappenedRedelivered: the delivery was begun anew.
	HappenedRedelivered HappeningKind = 19
	// HappenedStripped: the bodies were removed.
	HappenedStripped HappeningKind = 20
)

var happeningNames = map[HappeningKind]string{
	HappenedCreated: "created", HappenedSent: "sent", HappenedAcked: "acked", HappenedCorrelated: "correlated", HappenedRefused: "refused", HappenedCalled: "called",
	HappenedProgressed: "progressed", HappenedReplied: "replied", HappenedAttempted: "attempted", HappenedPolled: "polled", HappenedDecided: "decided",
	HappenedResolved: "resolved", HappenedFailed: "failed", HappenedExpired: "expired", HappenedClosed: "closed", HappenedDelivered: "delivered",
	HappenedDeliveryFailed: "deliveryFailed", HappenedDeliveryDead: "deliveryDead", HappenedRedelivered: "redelivered", HappenedStripped: "stripped",
}

// String returns the word for the kind.
func (k HappeningKind) String() string {
	if name, known := happeningNames[k]; known {
		return name
	}
	return fmt.Sprintf("happening(%d)", uint8(k))
}

// MarshalText makes a kind appear as its word in JSON.
func (k HappeningKind) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// fleeting are the kinds that can come in any number, because others cause them. They make
// room first.
func (k HappeningKind) fleeting() bool {
	switch k {
	case HappenedRefused, HappenedReplied, HappenedProgressed, HappenedPolled:
		return true
	}
	return false
}

// endings are the kinds of the ends of a callback.
var endings = [...]HappeningKind{Resolved: HappenedResolved, Failed: HappenedFailed, Expired: HappenedExpired, Closed: HappenedClosed}

// byHand is the reason of what an operator did in place of a partner.
const byHand = "by hand"

// taking says that the record takes a call, which gets a reply.
func (r *Record) taking(kind HappeningKind, p *Policy, c *Call, reply *Reply, now Time) Happening {
	h := Happening{At: now, Kind: kind, By: c.By}
	if c.byHand {
		h.Reason = byHand
		return h
	}
	h.Status = reply.Status
	if h.By == "" {
		h.By = r.keyName(p, c)
	}
	return h
}

// keyName returns the name of the key by which a call was permitted; "" if it has none.
func (r *Record) keyName(p *Policy, c *Call) string {
	if len(p.Keys) == 0 && !p.OwnKey || len(c.Caller.Names) == 0 {
		return ""
	}
	names := c.Caller.at(r.Name).Names
	if at := slices.IndexFunc(names, func(name string) bool { return len(p.Keys) == 0 || slices.Contains(p.Keys, name) }); at >= 0 {
		return names[at]
	}
	return ""
}

// decision says what a person has chosen who made the call: nothing, if none has.
func (c *Call) decision(now Time) Happening {
	if c.Choice == "" {
		return Happening{}
	}
	return Happening{At: now, Kind: HappenedDecided, Reason: c.Choice, By: c.By}
}

// ending says that the call has ended the callback.
func (c *Call) ending(phase Phase, now Time) Happening {
	h := Happening{At: now, Kind: endings[phase]}
	if c.byHand {
		h.By = c.By
	}
	return h
}

// noting returns the record with what an attempt has come to, for what becomes of it then.
func (r *Record) noting(kind HappeningKind, a Attempt, reason string, now Time) *Record {
	next := *r
	next.happened(Happening{At: now, Kind: kind, Status: a.Status, Reason: reason})
	return &next
}

// delivering says what an attempt to deliver has come to, after which nothing more is tried if
// it is dead.
func delivering(sent Sent, dead bool, now Time) Happening {
	h := Happening{At: now, Kind: HappenedDeliveryFailed, Status: sent.Status, Reason: sent.Error}
	switch {
	case sent.OK:
		h.Kind, h.Reason = HappenedDelivered, ""
	case dead:
		h.Kind = HappenedDeliveryDead
	}
	return h
}
