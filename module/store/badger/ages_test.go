package badger

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/store"
)

// Whatever comes and goes in whatever order, the oldest is known as well as is promised, in the
// memory that is promised.
func TestOldestIsKnownWhateverComesAndGoes(t *testing.T) {
	t.Parallel()
	const now = callback.Time(1_800_000_000_000)
	for _, reach := range []time.Duration{time.Minute, time.Hour, 24 * time.Hour, 30 * 24 * time.Hour} {
		random := rand.New(rand.NewPCG(uint64(reach), 1))
		var a ages
		var there []callback.Time
		a.add(now, 1)
		check := func() {
			t.Helper()
			oldest := now
			if len(there) > 0 {
				oldest = min(oldest, slices.Min(there))
			}
			got := a.oldest()
			if vague := max(second, callback.Time(float64(now+second-oldest)*store.MaxVague)); got > oldest || got < oldest-vague {
				t.Fatalf("within %s, with %d: the oldest is %s old, and taken for %s", reach, len(there), time.Duration(now-oldest)*time.Millisecond, time.Duration(now-got)*time.Millisecond)
			}
			if len(a.spans) > maxSpans {
				t.Fatalf("within %s there are %d spans", reach, len(a.spans))
			}
		}
		for round := range 30_000 {
			if round < 20_000 || len(there) == 0 {
				at := now - callback.Time(random.Int64N(reach.Milliseconds()))
				a.add(at, 1)
				there = append(there, at)
			} else {
				i := random.IntN(len(there))
				a.add(there[i], -1)
				there[i] = there[len(there)-1]
				there = there[:len(there)-1]
			}
			if round%100 == 0 {
				check()
			}
		}
		// The oldest go first: what is left is young, and was put into spans when it was not.
		slices.Sort(there)
		for i, at := range there {
			a.add(at, -1)
			there = there[1:]
			if i%50 == 0 {
				check()
			}
		}
		check()
		a.add(now, -1)
		if len(a.spans) != 0 || a.oldest() != 0 {
			t.Errorf("within %s, %d spans are left: %v", reach, len(a.spans), a.spans)
		}
	}
}

// What ended while the store still counted is taken out before it is counted.
func TestWhatIsTakenOutBeforeItIsCountedIsNotCounted(t *testing.T) {
	t.Parallel()
	var a ages
	for i := range callback.Time(5000) {
		a.add(i*1500, -1)
	}
	if a.oldest() != 0 {
		t.Errorf("the oldest is %d", a.oldest())
	}
	a.add(9_000_000, 1)
	for i := range callback.Time(5000) {
		a.add(i*1500, 1)
	}
	if len(a.spans) != 1 || a.oldest() != 9_000_000 {
		t.Errorf("what is left is %v", a.spans)
	}
}

func BenchmarkTally(b *testing.B) {
	y := newTally()
	for i := range callback.Time(1_000_000) {
		y.move(nil, &callback.Record{Name: "orders", Phase: callback.Waiting, CreatedAt: 1_800_000_000_000 - i*86})
	}
	r := &callback.Record{Name: "orders", Phase: callback.Waiting, CreatedAt: 1_800_000_000_000}
	ended := &callback.Record{Name: "orders", Phase: callback.Resolved, CreatedAt: r.CreatedAt}
	b.ResetTimer()
	for b.Loop() {
		y.move(nil, r)
		y.move(r, ended)
	}
}
