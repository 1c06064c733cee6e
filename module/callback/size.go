package callback

import "slices"

// overhead is an upper bound for the bytes that a part of a record takes in
// addition to its texts and lists: keys, lengths, numbers, times and a digest.
const overhead = 128

// Size returns an upper bound for the bytes that the record takes where it is stored.
// Stores rely on it.
func (r *Record) Size() int {
	size := 4*overhead + len(r.Name) + len(r.CorrelationID) + len(r.Reason) + 9*len(r.Seen) + 34*(len(r.Aliases)+len(r.Awaited)) + r.Trace.size() + len(r.History) + len(r.Unknown)
	size += r.Own.size() + r.Request.size() + r.Reply.size() + r.LatestReply.size() + r.Failure.size() + r.Question.size()
	size += r.Ack.size() + r.Answer.size() + r.Call.size() + r.Latest.size()
	if r.Job != nil {
		size += overhead + len(r.Job.Block) + len(r.Job.Error) + len(r.Job.Target) + len(r.Job.Unknown)
	}
	if r.Delivery != nil {
		size += overhead + len(r.Delivery.URL) + len(r.Delivery.FailedURL) + len(r.Delivery.Error) + len(r.Delivery.CorrelationID) + len(r.Delivery.Unknown)
	}
	if r.Strip != nil {
		size += overhead + len(r.Strip.Unknown)
	}
	for _, parcel := range r.Outbox {
		size += overhead/8 + parcel.Call.size() + parcel.Failure.size() + len(parcel.Unknown)
	}
	return size
}

func (h Header) size() int {
	size := 0
	for _, f := range h {
		size += len(f.Name) + len(f.Value) + 16
	}
	return size
}

// size returns how many bytes the body takes in its record.
func (b Body) size() int {
	if b.File != "" {
		return len(b.File) + len(b.Unknown)
	}
	return len(b.Data) + len(b.Unknown)
}

func (c *Call) size() int {
	if c == nil {
		return 0
	}
	return overhead + len(c.Method) + len(c.By) + len(c.Choice) + len(c.Suffix) + len(c.Query) + c.Header.size() + c.Body.size() + len(c.Unknown)
}

func (r *Response) size() int {
	if r == nil {
		return 0
	}
	return overhead + r.Header.size() + r.Body.size() + len(r.Unknown)
}

func (r *Request) size() int {
	if r == nil {
		return 0
	}
	return overhead + len(r.Method) + len(r.URI) + len(r.Host) + r.Header.size() + r.Body.size() + len(r.RemoteAddr) + len(r.Unknown)
}

func (r *Reply) size() int {
	if r == nil {
		return 0
	}
	return overhead + r.Header.size() + len(r.Body) + len(r.Unknown)
}

func (f *Failure) size() int {
	if f == nil {
		return 0
	}
	return overhead + len(f.DocumentStatus) + len(f.TechnicalStatus) + len(f.ErrorCode) + len(f.ErrorText) + len(f.Unknown)
}

func (q *Question) size() int {
	if q == nil {
		return 0
	}
	size := overhead + len(q.Unknown)
	for _, text := range slices.Concat(q.Title, q.Text) {
		size += len(text) + 9
	}
	return size
}

func (o *Own) size() int {
	if o == nil {
		return 0
	}
	size := overhead + len(o.Ask) + len(o.Case) + len(o.Data) + len(o.StateQuery) + len(o.BaseURL) + len(o.Unknown)
	if o.Reply != nil {
		size += len(o.Reply.Type) + len(o.Reply.Body) + len(o.Reply.RedirectURL) + o.Reply.Header.size() + len(o.Reply.Unknown)
	}
	return size
}
