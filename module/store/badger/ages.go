package badger

import (
	"cmp"
	"slices"

	"github.com/caddy-callback/caddy-callback/module/callback"
)

// ages are times of creation, in so little memory that the oldest is known without an index:
// how many there are in each of at most maxSpans spans of time. A span begins as a second. When
// there are too many, the two neighbours become one that are the shortest together in relation
// to their age; so the oldest time is known to a second, or to some hundredths of its age.
type ages struct {
	// spans are those with a time in them, the oldest first. They do not overlap.
	spans []span
	// newest is the end of the newest span that there ever was.
	newest callback.Time
}

// span is from a time, until before another one. n is how many times are in it.
type span struct {
	from, to callback.Time
	n        int
}

const (
	maxSpans = 1024
	second   = callback.Time(1000)
)

// add counts a time by so many more, or fewer.
func (a *ages) add(at callback.Time, by int) {
	i, found := slices.BinarySearchFunc(a.spans, at, func(s span, at callback.Time) int {
		switch {
		case s.to <= at:
			return -1
		case s.from > at:
			return 1
		}
		return 0
	})
	if !found {
		from := at - (at%second+second)%second
		a.spans = slices.Insert(a.spans, i, span{from: from, to: from + second})
		a.newest = max(a.newest, from+second)
	}
	a.spans[i].n += by
	switch {
	case a.spans[i].n == 0:
		a.spans = slices.Delete(a.spans, i, i+1)
	case len(a.spans) > maxSpans:
		a.merge()
	}
}

// merge makes one span of two neighbours.
func (a *ages) merge() {
	best, least := 0, 2.0
	for i := range len(a.spans) - 1 {
		from := a.spans[i].from
		if length := float64(a.spans[i+1].to-from) / float64(a.newest-from); length < least {
			best, least = i, length
		}
	}
	pair := a.spans[best : best+2]
	merged := span{from: pair[0].from, to: pair[1].to, n: pair[0].n + pair[1].n}
	if merged.n == 0 {
		a.spans = slices.Delete(a.spans, best, best+2)
		return
	}
	pair[0] = merged
	a.spans = slices.Delete(a.spans, best+1, best+2)
}

// oldest returns about the oldest time, and never a later one; zero if there is none. A span
// below zero stands for what is counted later.
func (a *ages) oldest() callback.Time {
	for _, s := range a.spans {
		if s.n > 0 {
			return cmp.Or(s.from, 1)
		}
	}
	return 0
}
