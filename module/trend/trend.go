// Package trend keeps in memory what has happened in each minute of the last hour, by the
// names of the callbacks: how many were made, how many have ended and how, how many waited, and
// how long it took until they were called. What it takes is bounded, whatever happens.
package trend

import (
	"sync"
	"time"

	"github.com/caddy-callback/caddy-callback/module/callback"
)

// Minutes is how many minutes are kept, the one that is under way among them.
const Minutes = 60

// mostNames is how many names are told apart. What comes under further ones counts in the whole
// only.
const mostNames = 100

// Trend is what has happened. It is safe for concurrent use.
type Trend struct {
	// now returns the time, with a reading of the monotonic clock: minutes are counted by
	// that, so that they come one after the other whatever the system's clock is set to.
	now func() time.Time

	// begun is when this began, and into how far into the minute on the clock that was.
	begun time.Time
	into  time.Duration

	mu    sync.Mutex
	all   series
	names map[string]*series
}

// series is what has happened to callbacks of one name.
type series struct {
	minutes    [Minutes]minute
	lastCalled time.Time
}

// minute is what has happened in one minute.
type minute struct {
	// number is that of the minute since the beginning. What is here of an earlier one does
	// not count.
	number int64
	made   uint32
	ended  [callback.Closed + 1]uint32
	calls  histogram
	// waiting is how many waited when that was counted last, counted whether it was.
	waiting int
	counted bool
}

// New returns a Trend that begins now.
func New() *Trend { return newTrend(time.Now) }

func newTrend(now func() time.Time) *Trend {
	begun := now()
	return &Trend{now: now, begun: begun, into: begun.Sub(begun.Truncate(time.Minute)), names: make(map[string]*series)}
}

// number returns the number of the minute of a time. The first one is 1, and ends with the
// minute on the clock.
func (t *Trend) number(at time.Time) int64 {
	return 1 + int64((max(0, at.Sub(t.begun))+t.into)/time.Minute)
}

// each calls change for what belongs to a name, with the minute that is under way. The lock must
// be held.
func (t *Trend) each(name string, at time.Time, change func(*series, *minute)) {
	number := t.number(at)
	change(&t.all, t.all.at(number))
	s := t.names[name]
	if s == nil {
		if len(t.names) >= mostNames {
			return
		}
		s = new(series)
		t.names[name] = s
	}
	change(s, s.at(number))
}

// at returns the minute with that number, empty if nothing has happened in it yet.
func (s *series) at(number int64) *minute {
	m := &s.minutes[number%Minutes]
	if m.number != number {
		*m = minute{number: number}
	}
	return m
}

// Made notes that a callback was made.
func (t *Trend) Made(name string) {
	at := t.now()
	t.mu.Lock()
	defer t.mu.Unlock()
	t.each(name, at, func(_ *series, m *minute) { m.made++ })
}

// Ended notes that a callback has ended in that phase.
func (t *Trend) Ended(name string, phase callback.Phase) {
	if phase > callback.Closed {
		return
	}
	at := t.now()
	t.mu.Lock()
	defer t.mu.Unlock()
	t.each(name, at, func(_ *series, m *minute) { m.ended[phase]++ })
}

// Called notes that a callback was called, that long after it was made.
func (t *Trend) Called(name string, after time.Duration) {
	at := t.now()
	t.mu.Lock()
	defer t.mu.Unlock()
	t.each(name, at, func(s *series, m *minute) {
		m.calls.add(after)
		s.lastCalled = at
	})
}

// Waits notes how many callbacks wait: in all, and under each name that has any.
func (t *Trend) Waits(all int, names map[string]int) {
	at := t.now()
	t.mu.Lock()
	defer t.mu.Unlock()
	number := t.number(at)
	m := t.all.at(number)
	m.waiting, m.counted = all, true
	for name, s := range t.names {
		m := s.at(number)
		m.waiting, m.counted = names[name], true
	}
	for name, n := range names {
		if n > 0 && t.names[name] == nil {
			t.one(name, number, n)
		}
	}
}

// one notes how many wait under a name that is not known yet.
func (t *Trend) one(name string, number int64, n int) {
	if len(t.names) >= mostNames {
		return
	}
	s := new(series)
	t.names[name] = s
	m := s.at(number)
	m.waiting, m.counted = n, true
}
