// Package linear shows in tests that work grows with the size of its input, and not with
// the square of it: strangers choose that size.
package linear

import (
	"testing"
	"time"
)

const (
	// factor is how many times larger the large input is than the small one.
	factor = 8
	// most is how many times as long it may take: linear work takes about factor times as
	// long, quadratic work 64 times.
	most = 3 * factor
	// attempts are made until one succeeds, and each measures its work several times:
	// other processes can only make work slower.
	attempts     = 50
	measurements = 5
)

// Check fails unless work that is factor times as large takes about factor times as long.
// prepare returns the work for an input of size n. It should take about a millisecond.
func Check(t testing.TB, n int, prepare func(n int) (work func())) {
	t.Helper()
	small, large := prepare(n), prepare(factor*n)
	var ratio float64
	for range attempts {
		if ratio = float64(fastest(large)) / float64(fastest(small)); ratio <= most {
			return
		}
	}
	t.Errorf("%d times as much takes %.0f times as long", factor, ratio)
}

// fastest returns how long work takes if nothing is in its way.
func fastest(work func()) time.Duration {
	least := time.Duration(1<<63 - 1)
	for range measurements {
		begun := time.Now()
		work()
		least = min(least, time.Since(begun))
	}
	return max(least, 1)
}
