package callback

import (
	"net/url"
	"strings"
	"time"
)

// eventTypes are the types of the events that deliveries are, by the phase of the callback.
var eventTypes = map[Phase]string{Waiting: "callback.progress", Resolved: "callback.resolved", Failed: "callback.failed"}

// Event returns the header lines by which the delivery of a result is an event of CloudEvents
// 1.0. id names what is delivered, and is the same on every attempt.
func (r *Record) Event(p *Policy, id string) Header {
	source := strings.TrimSuffix(r.baseURL(p), "/")
	if r.Name != "" {
		source += "#" + url.PathEscape(r.Name)
	}
	return Header{
		{Name: "Ce-Id", Value: id},
		{Name: "Ce-Source", Value: source},
		{Name: "Ce-Specversion", Value: "1.0"},
		{Name: "Ce-Subject", Value: r.ID.String()},
		{Name: "Ce-Time", Value: r.happenedAt().Time().Format(time.RFC3339Nano)},
		{Name: "Ce-Type", Value: eventTypes[r.Phase]},
	}
}

// happenedAt returns when that happened which a delivery tells of. It is the same on every
// attempt, whatever has come after it.
func (r *Record) happenedAt() Time {
	if r.Call != nil && r.Answer == nil && (r.Failure == nil || !r.Failure.Later) {
		return r.Call.ReceivedAt
	}
	return r.FinishedAt
}

// eventHeaders are those that the operator of the server has no say in: receivers know an
// event that comes again by them.
var eventHeaders = []string{"Ce-Id", "Ce-Specversion", "Ce-Time"}

// IsOfEvent reports whether a header is one of them.
func IsOfEvent(name string) bool { return isOneOf(eventHeaders, name) }
