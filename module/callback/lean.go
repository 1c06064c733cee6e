package callback

import "slices"

// Lean returns the record without the data of bodies that are kept in files: the record
// itself, if there is none.
func (r *Record) Lean() *Record {
	if !r.holdsFiles() {
		return r
	}
	lean := *r
	lean.Call, lean.Latest = r.Call.lean(), r.Latest.lean()
	lean.Ack, lean.Answer = r.Ack.lean(), r.Answer.lean()
	if r.Request != nil && r.Request.Body.holdsFile() {
		request := *r.Request
		request.Body.Data = nil
		lean.Request = &request
	}
	if len(r.Outbox) > 0 {
		lean.Outbox = slices.Clone(r.Outbox)
		for i, parcel := range r.Outbox {
			lean.Outbox[i].Call = parcel.Call.lean()
		}
	}
	return &lean
}

// holdsFiles reports whether the record has the data of bodies that are kept in files.
func (r *Record) holdsFiles() bool {
	return r.Call != nil && r.Call.Body.holdsFile() ||
		r.Latest != nil && r.Latest.Body.holdsFile() ||
		r.Ack != nil && r.Ack.Body.holdsFile() ||
		r.Answer != nil && r.Answer.Body.holdsFile() ||
		r.Request != nil && r.Request.Body.holdsFile() ||
		slices.ContainsFunc(r.Outbox, func(p Parcel) bool { return p.Call != nil && p.Call.Body.holdsFile() })
}

// holdsFile reports whether the body has the data of a file.
func (b Body) holdsFile() bool { return b.File != "" && b.Data != nil }

func (c *Call) lean() *Call {
	if c == nil || !c.Body.holdsFile() {
		return c
	}
	lean := *c
	lean.Body.Data = nil
	return &lean
}

func (r *Response) lean() *Response {
	if r == nil || !r.Body.holdsFile() {
		return r
	}
	lean := *r
	lean.Body.Data = nil
	return &lean
}
