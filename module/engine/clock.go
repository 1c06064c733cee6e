package engine

import (
	"sync"
	"time"

	"github.com/caddy-callback/caddy-callback/module/failpoint"
	"github.com/caddy-callback/caddy-callback/module/store"
)

const (
	// slewShare is the share of the passing time by which a clock may run faster or
	// slower to catch up with the system's clock: a tenth.
	slewShare = 10
	// maxSlew is the difference beyond which the clock is set to the system's at once:
	// a machine without a battery starts in the wrong year.
	maxSlew = 48 * time.Hour
)

// clock tells the time by which callbacks expire. It follows the system's clock. If
// that is set forward or back, it only runs a little faster or slower until the two
// agree again: setting the system's clock by an hour must neither end a callback that
// has an hour left, nor make it wait an hour longer.
type clock struct {
	// wall is the system's clock, and elapsed the time since the start, which cannot be
	// set.
	wall    func() time.Time
	elapsed func() time.Duration

	mu   sync.Mutex
	last time.Time
	at   time.Duration
}

// clockOf returns a clock that agrees with the system's, or, if several nodes use a store,
// with the one that all of them go by.
func clockOf(s store.Store) *clock {
	began, now := time.Now(), failpoint.Now
	if shared, ok := s.(store.Shared); ok {
		now = shared.Now
	}
	return startClock(
		func() time.Time { return now().Round(0) },
		func() time.Duration { return time.Since(began) })
}

func startClock(wall func() time.Time, elapsed func() time.Duration) *clock {
	return &clock{wall: wall, elapsed: elapsed, last: wall(), at: elapsed()}
}

// now returns the time. It never goes back, unless the system's clock was wrong by
// more than maxSlew.
func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	wall, at := c.wall(), c.elapsed()
	passed := max(0, at-c.at)
	c.at = at
	c.last = c.last.Add(passed)
	behind := wall.Sub(c.last)
	if behind.Abs() > maxSlew {
		c.last = wall
		return c.last
	}
	most := passed / slewShare
	c.last = c.last.Add(min(max(behind, -most), most))
	return c.last
}
