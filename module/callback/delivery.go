package callback

import (
	"cmp"
	"slices"
)

// Delivery is the sending of a callback's results to the client's URL.
type Delivery struct {
	// URL is where results go.
	URL string `cbor:"1,keyasint"`
	// Total counts the results to be delivered so far, Done those of them that need no
	// further attempt.
	Total int `cbor:"2,keyasint,omitempty"`
	Done  int `cbor:"3,keyasint,omitempty"`
	// Attempts counts the attempts at the result that is to be delivered next.
	Attempts int `cbor:"4,keyasint,omitempty"`
	// NextAt is when to try next.
	NextAt Time `cbor:"5,keyasint,omitempty"`
	// DeliveredAt is when the last result was delivered.
	DeliveredAt Time `cbor:"6,keyasint,omitempty"`
	// Dead says that no further attempt is made until Redeliver or another result
	// restarts the delivery.
	Dead bool `cbor:"7,keyasint,omitempty"`
	// Status and Error say how the last attempt ended.
	Status int    `cbor:"8,keyasint,omitempty"`
	Error  string `cbor:"9,keyasint,omitempty"`
	// CorrelationID is the client's own id, which the delivery carries; empty for the
	// callback's.
	CorrelationID string `cbor:"10,keyasint,omitempty"`
	// Round counts how often the delivery was restarted.
	Round int `cbor:"11,keyasint,omitempty"`
	// FailedURL is where the result goes if the callback does not resolve; empty for URL.
	FailedURL string `cbor:"12,keyasint,omitempty"`
	// Newest is the number of the newest result, counted from 1, once progress has come after
	// it; 0 if nothing has.
	Newest int `cbor:"13,keyasint,omitempty"`
	// Unknown are members that this release does not know.
	Unknown Unknown `cbor:"-"`
}

// Sender says by whose rules the results of a callback are delivered: by those of the
// directive with its name, or, if there is none any more, by the global ones. Its bits are
// stored and must never change.
type Sender uint8

// What can be said of a sender.
const (
	// OnlyDirective: the directive with the callback's name, and nobody in its place.
	OnlyDirective Sender = 1 << iota
	// OnlyGlobal: the global rules, whatever directive has the callback's name.
	OnlyGlobal
	// OnlySigned: nobody delivers without a signature.
	OnlySigned
)

// Is reports whether something is said of the sender.
func (s Sender) Is(what Sender) bool { return s&what != 0 }

// Parcel is what is to be delivered before the result of the record: a call that was not the
// answer yet, or an earlier result of a callback that takes many calls.
type Parcel struct {
	// Phase is Waiting for a call that was not the answer yet.
	Phase   Phase    `cbor:"1,keyasint"`
	Call    *Call    `cbor:"2,keyasint"`
	Failure *Failure `cbor:"3,keyasint,omitempty"`
	// Number is the number of what is delivered, if that is not the next in turn: it is
	// delivered again. 0 stands for the next in turn.
	Number int `cbor:"4,keyasint,omitempty"`
	// Unknown are members that this release does not know.
	Unknown Unknown `cbor:"-"`
}

// The results of one callback that wait to be delivered are bounded in number and in
// bytes, bodies in files included. A call that would go over is refused, and can be made
// again: what was acknowledged is never dropped to make room.
const (
	maxBacklog      = 1000
	maxBacklogBytes = 64 << 20
)

// A store limits the size of a record, so it has room for a few bodies only: from
// spillAt on, a body that is not small belongs in a file. maxBacklogRecord leaves room for
// what is stored beside the results.
const (
	spillAt          = 128 << 10
	maxBacklogRecord = 768 << 10
	smallBody        = 512
)

// pending reports whether an attempt is still to be made.
func (d *Delivery) pending() bool { return d != nil && d.Done < d.Total && !d.Dead }

// begin returns the delivery with one more result to deliver, nil if there is none.
func (d *Delivery) begin(now Time) *Delivery {
	if d == nil {
		return nil
	}
	next := *d
	next.Total++
	next.Newest = 0
	if d.Dead {
		// Only the latest result counts: those that could not be delivered are dropped.
		next.Dead, next.Done, next.Attempts = false, d.Total, 0
	}
	if !d.pending() {
		next.Attempts, next.NextAt = 0, now
	}
	return &next
}

// beginDelivery begins to deliver the result of a record that has just ended; before is the
// record as it was.
func (r *Record) beginDelivery(before *Record, now Time) {
	if r.Delivery = before.Delivery.begin(now); r.Delivery == nil {
		return
	}
	switch {
	case before.Delivery.Dead:
		r.Outbox = nil
	case before.Phase == Waiting:
		// However long progress is to wait for its next attempt, the result does not.
		r.Delivery.NextAt = now
	}
}

// owesResult reports whether the result of the record itself is still to be delivered, behind
// all that is in the outbox.
func (r *Record) owesResult() bool {
	return r.Phase.Final() && r.Delivery != nil && r.Delivery.Total-r.Delivery.Done > len(r.Outbox)
}

// ownParcel returns the result of the record itself as a parcel.
func (r *Record) ownParcel() Parcel {
	return Parcel{Phase: r.Phase, Call: r.Call, Failure: r.Failure, Number: r.Delivery.Newest}
}

// resend keeps the result of an earlier call until it is delivered: results are
// delivered in the order of their calls.
func (r *Record) resend(before *Record) {
	if before.owesResult() && !before.Delivery.Dead {
		r.Outbox = append(slices.Clone(before.Outbox), before.ownParcel())
	}
}

// forward adds a call that is not the answer yet to what is to be delivered. Behind a result
// that was given up, nothing is.
func (r *Record) forward(c *Call, now Time) {
	if r.Delivery == nil || r.Delivery.Dead {
		return
	}
	outbox := slices.Clone(r.Outbox)
	if r.owesResult() {
		outbox = append(outbox, r.ownParcel())
	}
	delivery := *r.Delivery
	delivery.Total++
	if r.Phase.Final() && delivery.Newest == 0 {
		delivery.Newest = r.Delivery.Total
	}
	if !r.Delivery.pending() {
		delivery.Attempts, delivery.NextAt = 0, now
	}
	r.Outbox, r.Delivery = append(outbox, Parcel{Phase: Waiting, Call: c}), &delivery
}

// backlogged reports whether there is no room for another call that is to be delivered,
// because what came before it waits for that. progress says that it is not the answer yet.
// The first answer always has room.
func (r *Record) backlogged(c *Call, progress bool) bool {
	if !r.Delivery.pending() || !progress && r.Phase == Waiting {
		return false
	}
	waiting, bytes := len(r.Outbox), c.weight()
	for _, parcel := range r.Outbox {
		bytes += parcel.Call.weight()
	}
	if r.owesResult() {
		waiting++
		bytes += r.Call.weight()
	}
	// A body that is not small will be in a file.
	inRecord := c.size() - c.Body.size() + min(c.Body.size(), smallBody)
	if progress {
		// It is the latest call, too.
		inRecord *= 2
	}
	return waiting+1 > maxBacklog || bytes > maxBacklogBytes || r.Size()+inRecord > maxBacklogRecord
}

// weight returns how many bytes the call takes, with its body wherever that is.
func (c *Call) weight() int64 {
	return int64(c.size()-c.Body.size()) + max(c.Body.Size, int64(len(c.Body.Data)))
}

// Spills reports whether the body of a call that the record keeps belongs in a file although
// it would fit into a record: the results of earlier calls are there already.
func (r *Record) Spills(c *Call) bool {
	return len(r.Outbox) > 0 && len(c.Body.Data) > smallBody && r.Size() > spillAt
}

// ToDeliver returns the record as it was with what is to be delivered next, and the number of
// that, counted from 1. It returns false if there is nothing to deliver.
func (r *Record) ToDeliver() (*Record, int, bool) {
	switch {
	case !r.Delivery.pending():
		return nil, 0, false
	case len(r.Outbox) > 0:
		first, earlier := r.Outbox[0], *r
		earlier.Phase, earlier.Call, earlier.Failure, earlier.Answer = first.Phase, first.Call, first.Failure, nil
		earlier.FinishedAt = first.Call.ReceivedAt
		return &earlier, cmp.Or(first.Number, r.Delivery.Done+1), true
	case !r.Phase.Final():
		return nil, 0, false
	}
	return r, cmp.Or(r.Delivery.Newest, r.Delivery.Done+1), true
}

// DeliveryURL returns where the result of the record goes, which must have a delivery.
func (r *Record) DeliveryURL() string {
	if r.Phase == Waiting || r.Phase == Resolved {
		return r.Delivery.URL
	}
	return cmp.Or(r.Delivery.FailedURL, r.Delivery.URL)
}

// Sent is the outcome of an attempt to deliver a result.
type Sent struct {
	// OK says that the result was delivered.
	OK bool
	// Dead says that a further attempt would be useless.
	Dead bool
	// Waits says that no attempt was made, because nobody may make one as it is configured.
	Waits bool
	// RetryAt is when to try again, if neither OK nor Dead is set.
	RetryAt Time
	// Status and Error say how the attempt ended.
	Status int
	Error  string
	// Round is the delivery's Round when the attempt began.
	Round int
}

// Delivered returns the record after an attempt to deliver the result with that
// number. It changes nothing if that result is not to be delivered any more, or if the
// attempt has failed and the delivery was restarted meanwhile.
func (r *Record) Delivered(p *Policy, number int, sent Sent, now Time) (*Record, bool) {
	if _, next, pending := r.ToDeliver(); !pending || next != number || !sent.OK && sent.Round != r.Delivery.Round {
		return nil, false
	}
	next, delivery := *r, *r.Delivery
	next.Delivery = &delivery
	delivery.Status, delivery.Error = sent.Status, withoutControls(sent.Error, maxText)
	switch {
	case sent.OK:
		delivery.Done++
		delivery.Attempts, delivery.DeliveredAt, delivery.NextAt = 0, now, now
		if len(r.Outbox) > 0 {
			next.Outbox = r.Outbox[1:]
		}
	case sent.Waits:
		delivery.NextAt = sent.RetryAt
	case r.outdated(sent) > 0:
		delivery.Done += r.outdated(sent)
		delivery.Attempts, delivery.NextAt = 0, now
		next.Outbox = r.Outbox[r.outdated(sent):]
	case sent.Dead:
		delivery.Attempts++
		delivery.Dead = true
	default:
		delivery.Attempts++
		delivery.NextAt = sent.RetryAt
	}
	if r.Phase.Final() && !delivery.pending() {
		next.keepLonger(p, now)
	}
	if !sent.Waits {
		next.happened(delivering(sent, delivery.Dead, now))
	}
	return &next, true
}

// outdated returns how many calls that were not the answer yet are given up after an attempt
// to deliver the first of them has failed: all of them if a result waits behind them, which
// says more, and else that one if no further attempt is to be made.
func (r *Record) outdated(sent Sent) int {
	result := slices.IndexFunc(r.Outbox, func(p Parcel) bool { return p.Phase != Waiting })
	switch {
	case len(r.Outbox) == 0 || result == 0:
		return 0
	case result > 0:
		return result
	case r.owesResult():
		return len(r.Outbox)
	case sent.Dead:
		return 1
	}
	return 0
}

// GivesUp reports whether something is not delivered any more after an attempt with that
// outcome.
func (r *Record) GivesUp(sent Sent) bool {
	return sent.Dead || !sent.OK && !sent.Waits && r.outdated(sent) > 0
}

// Redeliver returns the record with its delivery restarted: of the results that still
// wait, in their order, or else of the newest result alone. by says who restarts it, for the
// history.
func (r *Record) Redeliver(by string, now Time) (*Record, bool) {
	if !r.Phase.Final() || r.Delivery == nil {
		return nil, false
	}
	next, delivery := *r, *r.Delivery
	delivery.Dead, delivery.Attempts, delivery.NextAt = false, 0, now
	delivery.Round++
	if len(r.Outbox) == 0 {
		delivery.Done = min(delivery.Done, delivery.Total-1)
	}
	next.Delivery = &delivery
	next.happened(Happening{At: now, Kind: HappenedRedelivered, By: by})
	return &next, true
}
