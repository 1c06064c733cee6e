package trend

import (
	"fmt"
	"testing"
	"time"

	"github.com/caddy-callback/caddy-callback/module/callback"
)

// clock is a time that tests set.
type clock struct{ at time.Time }

func (c *clock) now() time.Time { return c.at }

// newClock begins 20 seconds after a full minute.
func newClock() *clock { return &clock{time.Date(2026, 11, 25, 10, 0, 20, 0, time.UTC)} }

func TestWhatHappenedStandsInItsMinute(t *testing.T) {
	t.Parallel()
	c := newClock()
	trend := newTrend(c.now)
	trend.Made("a")
	trend.Made("a")
	trend.Ended("a", callback.Resolved)
	trend.Called("a", time.Second)
	c.at = c.at.Add(39 * time.Second)
	trend.Made("b")
	c.at = c.at.Add(time.Second)
	trend.Made("b")
	trend.Ended("b", callback.Failed)
	trend.Waits(7, map[string]int{"a": 1, "c": 6})
	hour := trend.Hour(nil)
	before, now := hour[Minutes-2], hour[Minutes-1]
	if before.Made != 3 || before.Ended[callback.Resolved] != 1 || before.Waiting != -1 || before.Calls != 1 || !before.Known {
		t.Errorf("%+v", before)
	}
	if now.Made != 1 || now.Ended[callback.Failed] != 1 || now.EndedInAll() != 1 || now.Waiting != 7 || now.Calls != 0 || now.Half != 0 {
		t.Errorf("%+v", now)
	}
	if want := time.Date(2026, 11, 25, 10, 1, 0, 0, time.UTC); !now.At.Equal(want) || !before.At.Equal(want.Add(-time.Minute)) {
		t.Errorf("the minutes are %v and %v", before.At, now.At)
	}
	if hour[Minutes-3].Known {
		t.Error("a minute before the beginning is known")
	}
	if of := trend.Hour([]string{"a", "c", "nobody's"})[Minutes-1]; of.Made != 0 || of.Waiting != 7 {
		t.Errorf("%+v", of)
	}
	if of := trend.Hour([]string{})[Minutes-2]; of.Made != 0 || of.Waiting != -1 {
		t.Errorf("nobody's callbacks: %+v", of)
	}
}

func TestAnHourIsKeptAndNoMore(t *testing.T) {
	t.Parallel()
	c := newClock()
	trend := newTrend(c.now)
	for range 3 * Minutes {
		trend.Made("a")
		c.at = c.at.Add(time.Minute)
	}
	sum := 0
	for _, m := range trend.Hour(nil) {
		sum += m.Made
	}
	if sum != Minutes-1 {
		t.Errorf("%d are kept", sum)
	}
	c.at = c.at.Add(24 * time.Hour)
	for _, m := range trend.Hour(nil) {
		if m.Made != 0 || !m.Known {
			t.Errorf("%+v", m)
		}
	}
}

func TestClockThatIsSetBackTakesNothingAway(t *testing.T) {
	t.Parallel()
	c := newClock()
	trend := newTrend(c.now)
	c.at = c.at.Add(-time.Hour)
	trend.Made("a")
	if m := trend.Hour(nil)[Minutes-1]; m.Made != 1 {
		t.Errorf("%+v", m)
	}
}

func TestNamesAreFinite(t *testing.T) {
	t.Parallel()
	c := newClock()
	trend := newTrend(c.now)
	for i := range 2 * mostNames {
		trend.Made(fmt.Sprint(i))
	}
	trend.Waits(3*mostNames, map[string]int{"one more": 1})
	if len(trend.names) != mostNames {
		t.Errorf("%d names are kept", len(trend.names))
	}
	if m := trend.Hour(nil)[Minutes-1]; m.Made != 2*mostNames || m.Waiting != 3*mostNames {
		t.Errorf("%+v", m)
	}
}

func TestTimesToTheCallAreKnownToTheirBucket(t *testing.T) {
	t.Parallel()
	c := newClock()
	trend := newTrend(c.now)
	for range 90 {
		trend.Called("a", 100*time.Millisecond)
	}
	for range 10 {
		trend.Called("a", 10*time.Second)
	}
	m := trend.Hour(nil)[Minutes-1]
	if m.Calls != 100 || m.Half < 100*time.Millisecond || m.Half > 150*time.Millisecond || m.Most < 10*time.Second || m.Most > 15*time.Second {
		t.Errorf("%+v", m)
	}
	if at := trend.LastCalled("a"); !at.Equal(c.at) {
		t.Errorf("the last call was at %v", at)
	}
	if at := trend.LastCalled("b"); !at.IsZero() {
		t.Errorf("there was a call at %v", at)
	}
}

func TestEveryDurationHasABucketThatReachesIt(t *testing.T) {
	t.Parallel()
	for _, d := range []time.Duration{-time.Hour, 0, 1, shortest, shortest + 1, time.Second, time.Minute, time.Hour, 24 * time.Hour, 1<<63 - 1} {
		b := bucketOf(d)
		if b < 0 || b >= buckets || b < buckets-1 && reach(b) < d || b > 0 && reach(b-1) >= d {
			t.Errorf("%v is in the bucket up to %v", d, reach(b))
		}
	}
}

func BenchmarkMade(b *testing.B) {
	trend := New()
	for b.Loop() {
		trend.Made("a")
	}
}
