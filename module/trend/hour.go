package trend

import (
	"time"

	"github.com/caddy-callback/caddy-callback/module/callback"
)

// Minute is what has happened in one minute.
type Minute struct {
	// At is when the minute began.
	At time.Time
	// Known says that the minute was watched, at least its end.
	Known bool
	// Made is how many callbacks were made, and Ended how many have ended, by the phase.
	Made  int
	Ended [callback.Closed + 1]int
	// Waiting is how many waited, at the end of the minute as a rule; negative if nobody has
	// counted.
	Waiting int
	// Calls is how many callbacks were called. Half of them were at most Half after they were
	// made, and 95 of 100 at most Most.
	Calls      int
	Half, Most time.Duration
}

// EndedInAll returns how many callbacks have ended.
func (m Minute) EndedInAll() (n int) {
	for _, ended := range m.Ended {
		n += ended
	}
	return n
}

// Hour returns the last minutes of the callbacks that have one of these names, the oldest
// first, and the one that is under way last. With nil it is about all callbacks.
func (t *Trend) Hour(names []string) [Minutes]Minute {
	now := t.now()
	t.mu.Lock()
	defer t.mu.Unlock()
	last := t.number(now)
	var hour [Minutes]Minute
	for i := range hour {
		number := last - int64(len(hour)-1-i)
		hour[i] = t.sum(names, number)
		hour[i].At = now.Truncate(time.Minute).Add(-time.Duration(last-number) * time.Minute)
		hour[i].Known = number >= 1
	}
	return hour
}

// sum returns what has happened in one minute.
func (t *Trend) sum(names []string, number int64) Minute {
	sum := Minute{Waiting: -1}
	var calls histogram
	add := func(s *series) {
		m := &s.minutes[max(number, 0)%Minutes]
		if number < 1 || m.number != number {
			return
		}
		sum.Made += int(m.made)
		for phase, n := range m.ended {
			sum.Ended[phase] += int(n)
		}
		if m.counted {
			sum.Waiting = max(sum.Waiting, 0) + m.waiting
		}
		calls.join(&m.calls)
	}
	if names == nil {
		add(&t.all)
	}
	for _, name := range names {
		if s := t.names[name]; s != nil {
			add(s)
		}
	}
	sum.Calls, sum.Half, sum.Most = calls.count(), calls.quantile(0.5), calls.quantile(0.95)
	return sum
}

// LastCalled returns when a callback of that name was called last, as far as that was seen;
// zero for never.
func (t *Trend) LastCalled(name string) time.Time {
	t.mu.Lock()
	defer t.mu.Unlock()
	if s := t.names[name]; s != nil {
		return s.lastCalled
	}
	return time.Time{}
}

// Rests reports whether nothing has happened to callbacks of that name in the last hour.
func (t *Trend) Rests(name string) bool {
	for _, m := range t.Hour([]string{name}) {
		if m.Made+m.EndedInAll()+m.Calls > 0 {
			return false
		}
	}
	return true
}
