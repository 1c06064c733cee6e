package deliver

import (
	"net/http"
	"strings"
	"time"
)

// DefaultSchedule is how long to wait after each attempt that has failed. After
// the last delay comes one more attempt, and then none.
var DefaultSchedule = []time.Duration{
	5 * time.Second, 5 * time.Minute, 30 * time.Minute, 2 * time.Hour, 5 * time.Hour, 10 * time.Hour, 10 * time.Hour,
}

// maxRetryAfter bounds what a target can ask for.
const maxRetryAfter = 24 * time.Hour

// jitter is by how much a delay is spread, so that what failed together is not
// tried again together.
const jitter = 0.1

// Next returns how long to wait before the next attempt, once so many attempts
// have failed. It is not ok where the schedule is used up: what could not be
// delivered is then given up. What the target asked for with Retry-After makes the
// wait longer, never shorter. The wait is spread with rnd, which yields numbers
// from 0 to 1.
func Next(schedule []time.Duration, attempts int, retryAfter time.Duration, rnd func() float64) (wait time.Duration, ok bool) {
	switch {
	case attempts < 1:
		return 0, true
	case attempts > len(schedule):
		return 0, false
	}
	spread := rnd()
	wait = scale(schedule[attempts-1], 1-jitter+2*jitter*spread)
	// Later is what the target has agreed to, sooner is not.
	asked := min(scale(min(retryAfter, maxRetryAfter), 1+jitter*spread), maxRetryAfter)
	return max(wait, asked), true
}

func scale(d time.Duration, factor float64) time.Duration {
	return time.Duration(float64(d) * factor)
}

// RetryAfter reads the value of a Retry-After header, seconds or a date. It returns
// 0 for what it cannot read or what is past, and never more than a day.
func RetryAfter(value string, now time.Time) time.Duration {
	value = strings.TrimSpace(value)
	if seconds, ok := parseSeconds(value); ok {
		return seconds
	}
	at, err := http.ParseTime(value)
	if err != nil {
		return 0
	}
	return min(max(at.Sub(now), 0), maxRetryAfter)
}

// parseSeconds reads a number of any length.
func parseSeconds(text string) (d time.Duration, ok bool) {
	for i := range len(text) {
		digit := text[i] - '0'
		if digit > 9 {
			return 0, false
		}
		d = min(10*d+time.Duration(digit)*time.Second, maxRetryAfter)
	}
	return d, text != ""
}
