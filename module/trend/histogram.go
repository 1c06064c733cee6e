package trend

import (
	"math"
	"time"
)

const (
	// shortest is the upper end of the first bucket, and perDouble how many buckets there are
	// until the time is twice as long.
	shortest  = 5 * time.Millisecond
	perDouble = 2
	// buckets is how many there are; the last one begins at some two days.
	buckets = 50
)

// histogram counts durations in buckets, each of which reaches further than the one before it by
// the same factor.
type histogram [buckets]uint32

// add counts a duration.
func (h *histogram) add(d time.Duration) { h[bucketOf(d)]++ }

func bucketOf(d time.Duration) int {
	if d <= shortest {
		return 0
	}
	b := int(math.Ceil(math.Log2(float64(d)/float64(shortest)) * perDouble))
	return min(max(b, 0), buckets-1)
}

// reach returns the upper end of a bucket.
func reach(bucket int) time.Duration {
	return time.Duration(float64(shortest) * math.Exp2(float64(bucket)/perDouble))
}

// join adds what another histogram has counted.
func (h *histogram) join(other *histogram) {
	for i, n := range other {
		h[i] += n
	}
}

func (h *histogram) count() (n int) {
	for _, in := range h {
		n += int(in)
	}
	return n
}

// quantile returns a duration that the given part of those that were counted do not exceed, as
// precise as the buckets are; 0 if there are none.
func (h *histogram) quantile(part float64) time.Duration {
	want := uint64(math.Ceil(part * float64(h.count())))
	if want == 0 {
		return 0
	}
	sum := uint64(0)
	for i, n := range h {
		if sum += uint64(n); sum >= want {
			return reach(i)
		}
	}
	return reach(buckets - 1)
}
