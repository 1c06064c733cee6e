package callback

// Unknown are the members of a stored structure that this release does not know, as they
// are encoded. A later release has written them. They are not read, and stay where they are
// when the structure is stored again.
type Unknown string

// HasUnknown reports whether the record, or a structure in it, has members that this
// release does not know.
func (r *Record) HasUnknown() bool {
	if r.Unknown != "" || r.Own.hasUnknown() || r.Request.hasUnknown() || r.Reply.hasUnknown() || r.LatestReply.hasUnknown() || r.Failure.hasUnknown() ||
		r.Job.hasUnknown() || r.Strip.hasUnknown() || r.Delivery.hasUnknown() || r.Ack.hasUnknown() || r.Answer.hasUnknown() || r.Call.hasUnknown() || r.Latest.hasUnknown() || r.Question.hasUnknown() {
		return true
	}
	for _, parcel := range r.Outbox {
		if parcel.Unknown != "" || parcel.Call.hasUnknown() || parcel.Failure.hasUnknown() {
			return true
		}
	}
	return false
}

func (c *Call) hasUnknown() bool { return c != nil && (c.Unknown != "" || c.Body.Unknown != "") }

func (r *Response) hasUnknown() bool { return r != nil && (r.Unknown != "" || r.Body.Unknown != "") }

func (r *Request) hasUnknown() bool { return r != nil && (r.Unknown != "" || r.Body.Unknown != "") }

func (r *Reply) hasUnknown() bool { return r != nil && r.Unknown != "" }

func (f *Failure) hasUnknown() bool { return f != nil && f.Unknown != "" }

func (j *Job) hasUnknown() bool { return j != nil && j.Unknown != "" }

func (s *Strip) hasUnknown() bool { return s != nil && s.Unknown != "" }

func (d *Delivery) hasUnknown() bool { return d != nil && d.Unknown != "" }

func (q *Question) hasUnknown() bool { return q != nil && q.Unknown != "" }

func (o *Own) hasUnknown() bool {
	return o != nil && (o.Unknown != "" || o.Reply != nil && o.Reply.Unknown != "")
}
