// Package callback is the heart of the product: what a callback is, and what
// becomes of it. Everything in it is pure. It reads no clock, does no input or
// output, and knows neither Caddy nor any store: a decision takes a record and
// a time, and returns the next record.
package callback

import (
	"fmt"
	"time"
)

// Phase is where a callback stands. Waiting is the only phase that can change.
type Phase uint8

// The phases. Their numbers are stored and must never change.
const (
	Waiting  Phase = 1
	Resolved Phase = 2
	Failed   Phase = 3
	Expired  Phase = 4
	Closed   Phase = 5
)

var phaseNames = [...]string{Waiting: "waiting", Resolved: "resolved", Failed: "failed", Expired: "expired", Closed: "closed"}

// String returns the word that status, logs and messages use.
func (p Phase) String() string {
	if p < Waiting || p > Closed {
		return fmt.Sprintf("phase(%d)", uint8(p))
	}
	return phaseNames[p]
}

// MarshalText makes a phase appear as its word in JSON and in logs.
func (p Phase) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// Final reports whether the phase is an end.
func (p Phase) Final() bool { return p != Waiting }

// Time is a moment in milliseconds since the Unix epoch. Zero stands for never.
type Time int64

// At returns the moment t.
func At(t time.Time) Time { return Time(t.UnixMilli()) }

// Add returns the moment d later, or earlier if d is negative.
func (t Time) Add(d time.Duration) Time { return t + Time(d.Milliseconds()) }

// Time returns the moment in UTC.
func (t Time) Time() time.Time { return time.UnixMilli(int64(t)).UTC() }

// MarshalText writes the moment as RFC 3339 with milliseconds.
func (t Time) MarshalText() ([]byte, error) {
	return []byte(t.Time().Format("2006-01-02T15:04:05.000Z07:00")), nil
}

// Record is a callback: one awaited answer. A record is never changed once it
// has been handed to a store; decisions return a changed copy.
type Record struct {
	// ID is the public handle. It opens nothing.
	ID UUID `cbor:"1,keyasint"`
	// Phase is where the callback stands.
	Phase Phase `cbor:"2,keyasint"`
	// State is the digest of the secret in the callback URL.
	State Digest `cbor:"3,keyasint"`
	// Ticket is the digest of the secret in the status and result URLs.
	Ticket Digest `cbor:"4,keyasint"`
	// Policy is the hash of what calls are judged by.
	Policy Digest `cbor:"5,keyasint"`
	// Name is the name that the directive gave, for people and metrics.
	Name string `cbor:"6,keyasint,omitempty"`
	// CorrelationID ties request and call for people and headers.
	CorrelationID string `cbor:"7,keyasint"`
	// CreatedAt is when the request that made the callback arrived.
	CreatedAt Time `cbor:"8,keyasint"`
	// ExpiresAt is when calls stop being accepted.
	ExpiresAt Time `cbor:"9,keyasint"`
	// FinishedAt is when the phase became final.
	FinishedAt Time `cbor:"10,keyasint,omitempty"`
	// KeepUntil is when a finished callback may be forgotten.
	KeepUntil Time `cbor:"11,keyasint,omitempty"`
	// Ack is the upstream's answer, kept only where it is the result.
	Ack *Ack `cbor:"12,keyasint,omitempty"`
	// Call is the call that was accepted.
	Call *Call `cbor:"13,keyasint,omitempty"`
	// Payload is the digest of the accepted call's payload.
	Payload Digest `cbor:"14,keyasint,omitzero"`
	// Reply is what the partner was answered, kept for when it calls again.
	Reply *Reply `cbor:"15,keyasint,omitempty"`
	// Failure is what a call that means Failed said of it.
	Failure *Failure `cbor:"16,keyasint,omitempty"`
	// Reason says why a callback was closed.
	Reason string `cbor:"17,keyasint,omitempty"`
	// Latest is the last call that was not the answer yet.
	Latest *Call `cbor:"18,keyasint,omitempty"`
	// Calls counts the calls that were taken, progress included.
	Calls int `cbor:"19,keyasint,omitempty"`
	// Seen are marks of the calls that named themselves, where many are taken.
	Seen []uint64 `cbor:"20,keyasint,omitempty"`
	// ShutAt is when a callback that takes many calls was closed.
	ShutAt Time `cbor:"21,keyasint,omitempty"`
}

// Ack is the upstream's immediate answer.
type Ack struct {
	Status int    `cbor:"1,keyasint"`
	Header Header `cbor:"2,keyasint,omitempty"`
	Body   Body   `cbor:"3,keyasint"`
}

// Failure is what a partner said of a failure, in the wire headers of a call
// with status Failed.
type Failure struct {
	// DocumentStatus is one of the policy's document statuses, or "Failed".
	DocumentStatus string `cbor:"1,keyasint,omitempty"`
	// TechnicalStatus is a document status that the policy does not know.
	TechnicalStatus string `cbor:"2,keyasint,omitempty"`
	// ErrorCode is the partner's own code.
	ErrorCode string `cbor:"3,keyasint,omitempty"`
	// ErrorText is the partner's own text.
	ErrorText string `cbor:"4,keyasint,omitempty"`
}

// New returns a waiting callback with a fresh id, its state and ticket derived
// from the secret. An empty correlation id becomes a UUID of its own.
func New(secret *Secret, p *Policy, name, correlationID string, now Time, expiresIn time.Duration) *Record {
	id := NewUUID()
	if correlationID == "" {
		correlationID = NewUUID().String()
	}
	return &Record{
		ID:            id,
		Phase:         Waiting,
		State:         secret.State(id).Digest(),
		Ticket:        secret.Ticket(id).Digest(),
		Policy:        p.Hash(),
		Name:          name,
		CorrelationID: correlationID,
		CreatedAt:     now,
		ExpiresAt:     now.Add(expiresIn),
	}
}

// Due is when a timer must next act on the callback: at its expiry while it
// waits, after that when it may be forgotten.
func (r *Record) Due() Time {
	if r.Phase == Waiting {
		return r.ExpiresAt
	}
	return r.KeepUntil
}

// Forgettable reports whether the callback is finished and past its retention.
func (r *Record) Forgettable(now Time) bool {
	return r.Phase.Final() && now >= r.KeepUntil
}

// Size returns about how many bytes the record takes where it is stored.
func (r *Record) Size() int {
	size := len(r.Name) + len(r.CorrelationID) + len(r.Reason) + 8*len(r.Seen)
	for _, c := range [...]*Call{r.Call, r.Latest} {
		if c != nil {
			size += len(c.Suffix) + len(c.Query) + c.Header.size() + c.Body.size()
		}
	}
	if r.Ack != nil {
		size += r.Ack.Header.size() + r.Ack.Body.size()
	}
	if r.Reply != nil {
		size += r.Reply.Header.size() + len(r.Reply.Body)
	}
	const rest = 1 << 10
	return size + rest
}

// Bodies returns the bodies that the record refers to.
func (r *Record) Bodies() []*Body {
	var bodies []*Body
	if r.Call != nil {
		bodies = append(bodies, &r.Call.Body)
	}
	if r.Ack != nil {
		bodies = append(bodies, &r.Ack.Body)
	}
	if r.Latest != nil {
		bodies = append(bodies, &r.Latest.Body)
	}
	return bodies
}
