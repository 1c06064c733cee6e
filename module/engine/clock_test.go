package engine

import (
	"testing"
	"time"

	"github.com/caddy-callback/caddy-callback/module/store/storetest"
)

// setClock is a system clock that the test can set, and the time that has passed.
type setClock struct {
	wall    time.Time
	elapsed time.Duration
}

func (s *setClock) start() *clock {
	return startClock(func() time.Time { return s.wall }, func() time.Duration { return s.elapsed })
}

func (s *setClock) pass(d time.Duration) {
	s.wall = s.wall.Add(d)
	s.elapsed += d
}

func TestClockThatIsSetNeitherEndsNorStopsTime(t *testing.T) {
	began := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	for _, jump := range []time.Duration{time.Hour, -time.Hour, 24 * time.Hour, -24 * time.Hour, time.Second, -time.Second} {
		s := &setClock{wall: began}
		c := s.start()
		s.wall = s.wall.Add(jump)
		for last := c.now(); s.elapsed < 10*time.Hour; {
			s.pass(time.Minute)
			now := c.now()
			if step := now.Sub(last); step < 50*time.Second || step > 70*time.Second {
				t.Fatalf("set by %v: a minute took %v", jump, step)
			}
			last = now
		}
		off, want := s.wall.Sub(c.now()), jump.Abs()-time.Hour
		if want > 0 && (off.Abs()-want).Abs() > time.Minute || want <= 0 && off != 0 {
			t.Errorf("set by %v: ten hours later the clock is off by %v", jump, off)
		}
	}
}

func TestClockBelievesASystemThatStartedInTheWrongYear(t *testing.T) {
	s := &setClock{wall: time.Unix(0, 0)}
	c := s.start()
	right := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	s.wall = right
	if now := c.now(); !now.Equal(right) {
		t.Errorf("it is %v", now)
	}
}

func TestClockIsTheSystemsWhereThatIsLeftAlone(t *testing.T) {
	c := clockOf(storetest.NewMemory().Open())
	for range 1000 {
		if off := time.Since(c.now()).Abs(); off > time.Second {
			t.Fatalf("it is off by %v", off)
		}
	}
}
