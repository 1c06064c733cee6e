package callback

// Strip says when the bodies of a callback are removed that has ended.
type Strip struct {
	// At is when they may be removed, if no result is to be delivered any more.
	At Time `cbor:"1,keyasint"`
	// Done says that they were removed.
	Done bool `cbor:"2,keyasint,omitempty"`
	// Unknown are members that this release does not know.
	Unknown Unknown `cbor:"-"`
}

// keep lets a callback that has ended be kept for as long as its policy says, counted from
// a time, and its bodies for as long as they are.
func (r *Record) keep(p *Policy, from Time) {
	r.KeepUntil = from.Add(p.Retain)
	if p.RetainBodies == 0 || p.RetainBodies >= p.Retain {
		return
	}
	strip := Strip{}
	if r.Strip != nil {
		strip = *r.Strip
	}
	strip.At = from.Add(p.RetainBodies)
	r.Strip = &strip
}

// keepLonger is keep for a callback that is kept already: neither it nor its bodies go
// earlier than they would have.
func (r *Record) keepLonger(p *Policy, from Time) {
	until, strip := r.KeepUntil, r.Strip
	r.keep(p, from)
	r.KeepUntil = max(r.KeepUntil, until)
	if strip != nil && r.Strip.At < strip.At {
		r.Strip = strip
	}
}

// Stripped reports whether the bodies were removed.
func (r *Record) Stripped() bool { return r.Strip != nil && r.Strip.Done }

// stripsAt returns when the bodies of a callback that has nothing left to do are removed;
// false if that is not before the callback itself goes, or there is nothing to remove.
func (r *Record) stripsAt() (Time, bool) {
	if r.Strip == nil || r.Strip.At >= r.KeepUntil || !r.hasContent() {
		return 0, false
	}
	return r.Strip.At, true
}

// hasContent reports whether the record has anything that StripBodies removes.
func (r *Record) hasContent() bool {
	for _, c := range r.calls() {
		if c.Query != "" || c.Body.Size > 0 {
			return true
		}
	}
	for _, response := range [...]*Response{r.Ack, r.Answer} {
		if response != nil && (response.Body.Size > 0 || len(response.Header) > 0) {
			return true
		}
	}
	return len(r.Outbox) > 0 || r.Request != nil
}

// StripBodies returns the record without its bodies, if their time is over. What stands in
// queries goes with them, and so do results that were not delivered when that was given up:
// what is left says what has become of the callback, but not what was said.
func (r *Record) StripBodies(now Time) (*Record, bool) {
	at, yes := r.stripsAt()
	if !yes || now < at || !r.Phase.Final() || r.Untold() || r.Delivery.pending() {
		return nil, false
	}
	next, strip := *r, *r.Strip
	strip.Done = true
	next.Strip = &strip
	next.Call, next.Latest = r.Call.stripped(), r.Latest.stripped()
	next.Ack, next.Answer = r.Ack.stripped(), r.Answer.stripped()
	next.Request, next.Outbox = nil, nil
	next.happened(Happening{At: now, Kind: HappenedStripped})
	return &next, true
}

func (c *Call) stripped() *Call {
	if c == nil {
		return nil
	}
	stripped := *c
	stripped.Query, stripped.Body = "", Body{}
	return &stripped
}

func (r *Response) stripped() *Response {
	if r == nil {
		return nil
	}
	stripped := *r
	stripped.Header, stripped.Body = nil, Body{}
	return &stripped
}
