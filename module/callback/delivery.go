package callback

import "cmp"

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

// Parcel is an earlier result that is still to be delivered, of a callback that
// takes many calls.
type Parcel struct {
	Phase   Phase    `cbor:"1,keyasint"`
	Call    *Call    `cbor:"2,keyasint"`
	Failure *Failure `cbor:"3,keyasint,omitempty"`
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
	if d.Dead {
		// Only the latest result counts: those that could not be delivered are dropped.
		next.Dead, next.Done, next.Attempts = false, d.Total, 0
	}
	if !d.pending() {
		next.Attempts, next.NextAt = 0, now
	}
	return &next
}

// resend keeps the result of an earlier call until it is delivered: results are
// delivered in the order of their calls.
func (r *Record) resend(before *Record) {
	switch {
	case before.Delivery == nil:
		return
	case before.Delivery.Dead:
		r.Outbox = nil
	case before.Delivery.pending():
		r.Outbox = append(append([]Parcel(nil), before.Outbox...), Parcel{Phase: before.Phase, Call: before.Call, Failure: before.Failure})
	}
}

// backlogged reports whether there is no room for the result of another call, because
// those of earlier calls wait to be delivered.
func (r *Record) backlogged(c *Call) bool {
	if !r.Phase.Final() || r.Call == nil || !r.Delivery.pending() {
		return false
	}
	bytes := r.Call.weight() + c.weight()
	for _, parcel := range r.Outbox {
		bytes += parcel.Call.weight()
	}
	// A body that is not small will be in a file.
	inRecord := c.size() - c.Body.size() + min(c.Body.size(), smallBody)
	return len(r.Outbox)+2 > maxBacklog || bytes > maxBacklogBytes || r.Size()+inRecord > maxBacklogRecord
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

// ToDeliver returns the record as it was with the result that is to be delivered next,
// and the number of that result, counted from 1. It returns false if there is nothing
// to deliver.
func (r *Record) ToDeliver() (*Record, int, bool) {
	if !r.Phase.Final() || !r.Delivery.pending() {
		return nil, 0, false
	}
	number := r.Delivery.Done + 1
	if len(r.Outbox) == 0 {
		return r, number, true
	}
	earlier := *r
	earlier.Phase, earlier.Call, earlier.Failure = r.Outbox[0].Phase, r.Outbox[0].Call, r.Outbox[0].Failure
	earlier.FinishedAt = earlier.Call.ReceivedAt
	return &earlier, number, true
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
	case sent.Dead:
		delivery.Attempts++
		delivery.Dead = true
	case sent.Waits:
		delivery.NextAt = sent.RetryAt
	default:
		delivery.Attempts++
		delivery.NextAt = sent.RetryAt
	}
	if !delivery.pending() {
		next.keepLonger(p, now)
	}
	return &next, true
}

// Redeliver returns the record with its delivery restarted: of the results that still
// wait, in their order, or else of the newest result alone.
func (r *Record) Redeliver(now Time) (*Record, bool) {
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
	return &next, true
}
