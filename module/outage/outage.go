// Package outage keeps the log short while something does not work: one line when that
// begins, and one with a count when it is over.
package outage

import (
	"sync"
	"time"

	"go.uber.org/zap"
)

// Calm is how long nothing must have failed before an outage is over. What fails again and
// again within it is one outage.
const Calm = 10 * time.Second

// Outage is something that can stop working, for different causes. It is safe for
// concurrent use.
type Outage struct {
	log          *zap.Logger
	begins, ends string

	mu sync.Mutex
	// spells has what goes on, by its cause.
	spells map[string]*spell
}

type spell struct {
	count       int
	began, last time.Time
}

// New returns an outage whose lines in the log say begins and ends.
func New(log *zap.Logger, begins, ends string) *Outage {
	return &Outage{log: log, begins: begins, ends: ends, spells: make(map[string]*spell)}
}

// Failed notes that n things have failed. The first time it writes a line with the fields,
// and returns true. The cause must be one of a few; details belong into the fields.
func (o *Outage) Failed(cause error, n int, fields ...zap.Field) (first bool) {
	now := time.Now()
	o.mu.Lock()
	defer o.mu.Unlock()
	s := o.spells[cause.Error()]
	if first = s == nil; first {
		s = &spell{began: now}
		o.spells[cause.Error()] = s
		o.log.Error(o.begins, append([]zap.Field{zap.String("cause", cause.Error())}, fields...)...)
	}
	s.count += n
	s.last = now
	return first
}

// Works notes that it works now. What has not failed for a while is over.
func (o *Outage) Works() { o.end(time.Now().Add(-Calm)) }

// Over ends what goes on, because nothing can fail any more.
func (o *Outage) Over() { o.end(time.Now()) }

// end writes a line about what has not failed after that time.
func (o *Outage) end(after time.Time) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for cause, s := range o.spells {
		if s.last.After(after) {
			continue
		}
		delete(o.spells, cause)
		o.log.Info(o.ends, zap.String("cause", cause), zap.Int("count", s.count), zap.Duration("lasted", s.last.Sub(s.began)))
	}
}
