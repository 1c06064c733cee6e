package engine

import (
	"go.uber.org/zap"

	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/store"
)

// Transition is what has happened to a callback, as the log says it.
type Transition string

// The transitions.
const (
	Created           Transition = "callback created"
	Called            Transition = "callback called"
	Progressed        Transition = "callback progressed"
	Unrecognized      Transition = "callback called with an unknown word"
	Correlated        Transition = "callback correlated"
	Resolved          Transition = "callback resolved"
	Failed            Transition = "callback failed"
	Expired           Transition = "callback expired"
	Closed            Transition = "callback closed"
	JobAccepted       Transition = "job accepted by the upstream"
	JobPassedOn       Transition = "job continued by a step"
	JobUnknown        Transition = "job perhaps accepted by the upstream"
	JobRetried        Transition = "job failed and is to be tried again"
	JobPolled         Transition = "upstream asked for the result"
	JobEnded          Transition = "job ended"
	Delivered         Transition = "callback delivered"
	DeliveryRetried   Transition = "delivery failed and is to be tried again"
	DeliveryWaits     Transition = "delivery waits for its configuration"
	DeliveryGivenUp   Transition = "delivery given up"
	DeliveryRestarted Transition = "delivery begun anew"
	StepFollowed      Transition = "callback followed its step"
	StepTold          Transition = "parent told of the step's end"
	Stripped          Transition = "bodies of the callback removed"
	Purged            Transition = "callback removed by hand"
)

// Observer is told what happens to callbacks, to count and report it. Its methods must
// return at once, and may be called concurrently.
type Observer interface {
	// Observe is told of each transition. ended says that the callback was waiting
	// before and is not any more.
	Observe(t Transition, r *callback.Record, ended bool)
	// Unmatched is told of each call to the fixed URL that belongs to no callback.
	Unmatched()
}

// Commits returns what the store says of its commits, zero if it does not count them.
func (e *Engine) Commits() store.Commits {
	if m, ok := e.store.(store.Measured); ok {
		return m.Commits()
	}
	return store.Commits{}
}

// Tally returns what the store has under each name. A store that does not count by name has all
// that waits under none.
func (e *Engine) Tally() []store.Tally {
	if t, ok := e.store.(store.Tallied); ok {
		return t.Tally()
	}
	return []store.Tally{{Waiting: e.store.Waiting()}}
}

// note tells the log and the observer of a transition. It reveals no secret of the
// callback.
func (e *Engine) note(t Transition, r *callback.Record, ended bool) {
	e.observer.Observe(t, r, ended)
	level := zap.InfoLevel
	if expected(t, r) {
		// Expected transitions happen thousands of times a second.
		level = zap.DebugLevel
	}
	if c := e.log.Check(level, string(t)); c != nil {
		c.Write(fieldsOf(r)...)
	}
}

// expected reports whether a transition is one that all goes well with.
func expected(t Transition, r *callback.Record) bool {
	switch t {
	case Stripped, DeliveryWaits:
		return true
	case JobPolled:
		return r.Phase != callback.Failed && (r.Job == nil || r.Job.Error == "")
	case Purged, JobRetried, DeliveryGivenUp:
		return false
	}
	return r.Phase == callback.Waiting || r.Phase == callback.Resolved
}

// fieldsOf is what the log says of a callback.
func fieldsOf(r *callback.Record) []zap.Field {
	fields := []zap.Field{zap.Stringer("id", r.ID), zap.String("correlation_id", r.CorrelationID), zap.Stringer("phase", r.Phase)}
	if r.Name != "" {
		fields = append(fields, zap.String("name", r.Name))
	}
	if r.Reason != "" {
		fields = append(fields, zap.String("reason", r.Reason))
	}
	if r.Failure != nil {
		fields = append(fields, zap.String("error_code", r.Failure.ErrorCode), zap.String("error_text", r.Failure.ErrorText))
	}
	if j := r.Job; j != nil && j.Error != "" {
		fields = append(fields, zap.Int("attempts", j.Attempts), zap.String("error", j.Error), zap.Time("next_attempt", j.NextAt.Time()))
	}
	return fields
}
