// Package callback is the domain: it says what a callback is, and decides what happens
// to it. Everything in it is pure. It reads no clock, does no input or output, and
// knows neither Caddy nor any store: a decision takes a record and a time, and returns
// the next record.
package callback

import (
	"fmt"
	"slices"
	"time"
)

// Phase is the stage of a callback's life. Only Waiting changes, except that with a
// policy that takes many calls each accepted call sets Resolved or Failed again.
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
	// ID is the public handle. It gives access to nothing.
	ID UUID `cbor:"1,keyasint"`
	// Phase is the stage of the callback's life.
	Phase Phase `cbor:"2,keyasint"`
	// State is the digest of the secret in the callback URL.
	State Digest `cbor:"3,keyasint"`
	// Ticket is the digest of the secret in the status and result URLs.
	Ticket Digest `cbor:"4,keyasint"`
	// Policy is the hash of the policy that calls are judged by.
	Policy Digest `cbor:"5,keyasint"`
	// Name is the name that the directive gave, for people and metrics.
	Name string `cbor:"6,keyasint,omitempty"`
	// CorrelationID lets people and headers match request and call.
	CorrelationID string `cbor:"7,keyasint"`
	// CreatedAt is when the request that made the callback arrived.
	CreatedAt Time `cbor:"8,keyasint"`
	// ExpiresAt is when calls stop being accepted.
	ExpiresAt Time `cbor:"9,keyasint"`
	// FinishedAt is when the phase became final.
	FinishedAt Time `cbor:"10,keyasint,omitempty"`
	// KeepUntil is when a finished callback may be forgotten.
	KeepUntil Time `cbor:"11,keyasint,omitempty"`
	// Ack is the upstream's ack, kept only if it is the result.
	Ack *Response `cbor:"12,keyasint,omitempty"`
	// Call is the call that was accepted.
	Call *Call `cbor:"13,keyasint,omitempty"`
	// Payload is the digest of the accepted call's payload.
	Payload Digest `cbor:"14,keyasint,omitzero"`
	// Reply is what the partner was answered, kept so that a repeated call gets the
	// same.
	Reply *Reply `cbor:"15,keyasint,omitempty"`
	// Failure says why the callback has failed.
	Failure *Failure `cbor:"16,keyasint,omitempty"`
	// Reason says why a callback was closed.
	Reason string `cbor:"17,keyasint,omitempty"`
	// Latest is the last call that reported progress and was not the answer yet.
	Latest *Call `cbor:"18,keyasint,omitempty"`
	// Calls counts the calls that changed the callback, progress included.
	Calls int `cbor:"19,keyasint,omitempty"`
	// Seen has the marks of the calls that were taken and have a name of their own.
	Seen []uint64 `cbor:"20,keyasint,omitempty"`
	// ShutAt is when a callback that takes many calls was closed.
	ShutAt Time `cbor:"21,keyasint,omitempty"`
	// Aliases are further digests under which the callback is found. Each belongs to
	// one callback only.
	Aliases []Digest `cbor:"22,keyasint,omitempty"`
	// Fingerprint is the digest of the client's request, if the client can repeat it
	// under an Idempotency-Key.
	Fingerprint Digest `cbor:"23,keyasint,omitzero"`
	// Own is what was given for this one callback when it was made.
	Own *Own `cbor:"24,keyasint,omitempty"`
	// Acked says that the upstream is known to have accepted the request. It is
	// recorded only where that is needed later.
	Acked bool `cbor:"25,keyasint,omitempty"`
	// Request is the client's request, as long as background work needs it.
	Request *Request `cbor:"26,keyasint,omitempty"`
	// Job is the background work that is to be done; nil if there is none.
	Job *Job `cbor:"27,keyasint,omitempty"`
	// Answer is a response that is the result in place of a call.
	Answer *Response `cbor:"28,keyasint,omitempty"`
	// Delivery is the state of sending the result to the client; nil if it wants none.
	Delivery *Delivery `cbor:"29,keyasint,omitempty"`
	// Outbox has what is to be delivered before the result, the oldest first.
	Outbox []Parcel `cbor:"30,keyasint,omitempty"`
	// Parent is the callback of which this one is a step.
	Parent UUID `cbor:"31,keyasint,omitzero"`
	// Told says that the parent knows how this step has ended.
	Told bool `cbor:"32,keyasint,omitempty"`
	// Step is the callback whose end this one waits for.
	Step UUID `cbor:"33,keyasint,omitzero"`
	// Trace is the trace context of the client's request (W3C Trace Context).
	Trace Header `cbor:"34,keyasint,omitempty"`
	// Attended says that the callback is of use only to a client that waits for it: the
	// client's own request goes on after the callback. A call that nobody waits for is
	// not accepted.
	Attended bool `cbor:"35,keyasint,omitempty"`
	// LatestReply is what the partner was answered to Latest.
	LatestReply *Reply `cbor:"36,keyasint,omitempty"`
	// DerivedFrom is the mark of the secret from which state, ticket and key were derived;
	// 0 if an earlier release made the callback.
	DerivedFrom Mark `cbor:"37,keyasint,omitempty"`
	// Strip says when the bodies go; nil if they go with the callback.
	Strip *Strip `cbor:"38,keyasint,omitempty"`
	// Sender says who delivers the results.
	Sender Sender `cbor:"39,keyasint,omitempty"`
	// Flight is the node that serves the client's request, where another node must know it.
	Flight Node `cbor:"40,keyasint,omitempty"`
	// Owner is the node that does the work which is due.
	Owner Node `cbor:"41,keyasint,omitempty"`
	// Asking is the node that asks the app about a call.
	Asking Node `cbor:"42,keyasint,omitempty"`
	// Awaited are the digests of the keys whose holders can call the callback by the
	// correlation id that its ack is to name, as long as there is no ack, where another node
	// must know it.
	Awaited []Digest `cbor:"43,keyasint,omitempty"`
	// History is what has happened to the callback. What was seen of it beside that, and is not
	// written yet, is known to the engine alone.
	History History `cbor:"44,keyasint,omitempty"`
	// Confirm says that a person decides.
	Confirm bool `cbor:"45,keyasint,omitempty"`
	// Question is what a person is asked who decides, if values of the request are in it.
	Question *Question `cbor:"46,keyasint,omitempty"`
	// Unknown are members that this release does not know.
	Unknown Unknown `cbor:"-"`
}

// Response is an HTTP response: an upstream's ack, or one that is the result.
type Response struct {
	Status int    `cbor:"1,keyasint"`
	Header Header `cbor:"2,keyasint,omitempty"`
	Body   Body   `cbor:"3,keyasint"`
	// Unknown are members that this release does not know.
	Unknown Unknown `cbor:"-"`
}

// Failure says why a callback has failed: what a partner said in a call that means
// Failed, or a reason that the engine found itself.
type Failure struct {
	// DocumentStatus is one of the policy's document statuses, or "Failed".
	DocumentStatus string `cbor:"1,keyasint,omitempty"`
	// TechnicalStatus is a document status that the policy does not know.
	TechnicalStatus string `cbor:"2,keyasint,omitempty"`
	// ErrorCode is the partner's own code.
	ErrorCode string `cbor:"3,keyasint,omitempty"`
	// ErrorText is the partner's own text.
	ErrorText string `cbor:"4,keyasint,omitempty"`
	// Later says that the accepted call did not fail: what came after it has failed.
	Later bool `cbor:"5,keyasint,omitempty"`
	// Unknown are members that this release does not know.
	Unknown Unknown `cbor:"-"`
}

// Spec says what callback to make.
type Spec struct {
	// Name is the directive's name, if it has one.
	Name string
	// CorrelationID is the correlation id; if it is empty, one is made.
	CorrelationID string
	// ExpiresIn is how long calls are accepted.
	ExpiresIn time.Duration
	// Own is what was given for this one callback.
	Own *Own
	// Idempotency is the alias that an Idempotency-Key gives; zero for none.
	Idempotency Digest
	// Fingerprint is the digest of the request that came with that key.
	Fingerprint Digest
	// Request is the client's request, if Block needs it.
	Request *Request
	// Block is the background work to begin with; empty for none.
	Block Block
	// DeliverTo is the URL that the result is sent to; empty for none.
	DeliverTo string
	// DeliverFailedTo is the URL that the result is sent to if the callback does not resolve;
	// empty for DeliverTo.
	DeliverFailedTo string
	// Sender says who delivers the result.
	Sender Sender
	// DeliverAs is the correlation id that the delivery carries; empty for the
	// callback's.
	DeliverAs string
	// Parent is the callback of which this one is a step; zero for none.
	Parent UUID
	// Trace is the trace context of the client's request.
	Trace Header
	// Attended says that the callback ends with the client that waits for it.
	Attended bool
	// AwaitsID says that the upstream's ack is to name the correlation id.
	AwaitsID bool
	// Confirm says that a person decides, Question what that person is asked; nil if that does
	// not depend on the request.
	Confirm  bool
	Question *Question
	// By says who makes the callback, for its history; empty where nobody shows who that is.
	By string
}

// New returns a waiting callback with a fresh id, its state and ticket derived
// from the secret.
func New(secret *Secret, p *Policy, spec Spec, now Time) *Record {
	id := NewUUID()
	if spec.CorrelationID == "" {
		spec.CorrelationID = secret.CorrelationID(id).String()
	}
	r := &Record{
		ID:            id,
		Phase:         Waiting,
		State:         secret.State(id).Digest(),
		Ticket:        secret.Ticket(id).Digest(),
		Policy:        p.Hash(),
		Name:          spec.Name,
		CorrelationID: spec.CorrelationID,
		CreatedAt:     now,
		ExpiresAt:     now.Add(spec.ExpiresIn),
		Aliases:       p.aliases(spec.CorrelationID),
		Own:           spec.Own,
		Fingerprint:   spec.Fingerprint,
		Request:       spec.Request,
		Parent:        spec.Parent,
		Trace:         spec.Trace,
		Attended:      spec.Attended,
		DerivedFrom:   secret.Mark(),
		Confirm:       spec.Confirm,
		Question:      spec.Question,
	}
	if spec.By != "" {
		r.happened(Happening{At: now, Kind: HappenedCreated, By: spec.By})
	}
	if spec.AwaitsID {
		r.Awaited = AwaitedOf(p.Keys)
	}
	if !spec.Idempotency.IsZero() {
		r.Aliases = append(r.Aliases, spec.Idempotency)
	}
	if spec.Block != "" {
		r.Job = &Job{Block: spec.Block, NextAt: now}
	}
	if spec.DeliverTo != "" {
		r.Delivery, r.Sender = &Delivery{URL: spec.DeliverTo, FailedURL: spec.DeliverFailedTo, CorrelationID: spec.DeliverAs}, spec.Sender
	}
	return r
}

// Due returns when a timer must next act on the callback. While it waits, that is its
// expiry, or the next attempt at its job or at delivering progress. After that it is the next
// background work, and if there is none, the time when its bodies go, and then when it may be
// forgotten.
func (r *Record) Due() Time {
	switch {
	case r.Phase == Waiting:
		return r.dueWaiting()
	case r.Untold():
		return r.FinishedAt
	case r.Delivery.pending():
		return r.Delivery.NextAt
	}
	if at, yes := r.stripsAt(); yes {
		return at
	}
	return r.KeepUntil
}

// dueWaiting is Due for a callback that waits.
func (r *Record) dueWaiting() Time {
	due := r.ExpiresAt
	if r.Job != nil {
		due = min(due, r.Job.NextAt)
	}
	if r.Delivery.pending() {
		due = min(due, r.Delivery.NextAt)
	}
	return due
}

// Forgettable reports whether the callback is finished, past its retention, and
// nothing is left to be done for it.
func (r *Record) Forgettable(now Time) bool {
	return r.Phase.Final() && now >= r.KeepUntil && !r.Untold() && !r.Delivery.pending()
}

// calls returns the calls that the record holds.
func (r *Record) calls() []*Call {
	calls := make([]*Call, 0, 2+len(r.Outbox))
	for _, c := range [...]*Call{r.Call, r.Latest} {
		if c != nil {
			calls = append(calls, c)
		}
	}
	for _, parcel := range r.Outbox {
		calls = append(calls, parcel.Call)
	}
	return calls
}

// Keeps reports whether the record keeps a call: as the accepted one, or as the latest that
// was not the answer yet.
func (r *Record) Keeps(c *Call) bool { return r.Call == c || r.Latest == c }

// Has reports whether the record refers to a body in that file.
func (r *Record) Has(file string) bool {
	return slices.ContainsFunc(r.Bodies(), func(b *Body) bool { return b.File == file })
}

// Bodies returns the bodies that the record refers to.
func (r *Record) Bodies() []*Body {
	if r.Call == nil && r.Latest == nil && len(r.Outbox) == 0 && r.Ack == nil && r.Answer == nil && r.Request == nil {
		return nil
	}
	bodies := make([]*Body, 0, 5+len(r.Outbox))
	for _, c := range r.calls() {
		bodies = append(bodies, &c.Body)
	}
	for _, response := range [...]*Response{r.Ack, r.Answer} {
		if response != nil {
			bodies = append(bodies, &response.Body)
		}
	}
	if r.Request != nil {
		bodies = append(bodies, &r.Request.Body)
	}
	return bodies
}
