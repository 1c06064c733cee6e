package upstream

import (
	"runtime"
	"sync/atomic"
	"time"
)

// TakeBack ends the handlers' use of what belongs to the request: its writer, replacer and
// variables. It reports false if they are passing an answer on, which then ends with them.
// Handlers that are not over go on for a while, and what they write is thrown away: an
// upstream that is cut off in the middle of its answer may take that for the end of its
// request. What was taken back is not taken back again.
func (c *Call) TakeBack() bool {
	if c.back {
		return true
	}
	// Most handlers end right after their answer.
	if runtime.Gosched(); !c.Over() && c.soonOver() {
		return !c.recorder.passed
	}
	// What the handlers did before they sent the request has happened.
	_ = c.sent.Load()
	c.loan.mu.Lock()
	passed := c.recorder.passed
	if !passed {
		c.loan.returned = true
		c.loan.over.Store(true)
	}
	c.loan.mu.Unlock()
	if c.back = !passed; c.back && !c.Over() {
		c.drain()
	}
	return !passed
}

// soonAfter is how long TakeBack waits for handlers that are about to end: what they have
// set is then known to those around them.
const soonAfter = 20 * time.Millisecond

// soonOver waits for a short time, and reports whether the handlers have ended.
func (c *Call) soonOver() bool {
	timer := time.NewTimer(soonAfter)
	defer timer.Stop()
	select {
	case <-c.done:
		return true
	case <-timer.C:
		return false
	}
}

// Bounds on handlers that go on for nobody: how long each of them does, and how many do.
const (
	DrainFor  = time.Minute
	MaxDrains = 1000
)

var drains atomic.Int64

// drain lets the handlers go on for a while without anybody waiting for them.
func (c *Call) drain() {
	if drains.Add(1) > MaxDrains {
		drains.Add(-1)
		c.cancel()
		return
	}
	go func() {
		defer drains.Add(-1)
		timer := time.NewTimer(DrainFor)
		defer timer.Stop()
		select {
		case <-c.done:
		case <-timer.C:
			c.cancel()
		}
	}()
}
