package deliver

import (
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// DefaultSchedule is how long to wait after each attempt that has failed. After the
// last delay there is one more attempt.
var DefaultSchedule = []time.Duration{
	5 * time.Second, 5 * time.Minute, 30 * time.Minute, 2 * time.Hour, 5 * time.Hour, 10 * time.Hour, 10 * time.Hour,
}

// maxRetryAfter is the longest wait that a target can ask for.
const maxRetryAfter = 24 * time.Hour

// jitter is the part of a delay by which it is spread, so that deliveries that failed
// together are not tried again together.
const jitter = 0.1

// Next returns how long to wait before the next attempt after this number of failed
// ones. ok is false if the schedule is used up; the delivery is then given up. A
// Retry-After of the target can make the wait longer, never shorter. The wait is
// spread with rnd, which returns numbers from 0 to 1.
func Next(schedule []time.Duration, attempts int, retryAfter time.Duration, rnd func() float64) (wait time.Duration, ok bool) {
	switch {
	case attempts < 1:
		return 0, true
	case attempts > len(schedule):
		return 0, false
	}
	spread := rnd()
	wait = scale(schedule[attempts-1], 1-jitter+2*jitter*spread)
	// The target asked for no attempt before that time, so this wait is only made
	// longer.
	asked := min(scale(min(retryAfter, maxRetryAfter), 1+jitter*spread), maxRetryAfter)
	return max(wait, asked), true
}

func scale(d time.Duration, factor float64) time.Duration {
	return time.Duration(float64(d) * factor)
}

// RetryAfter reads the value of a Retry-After header, seconds or a date. It returns 0
// for an invalid value or a date in the past, and never more than a day.
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

// parseSeconds reads a number of seconds. One that is too large for a duration is the
// longest that a target can ask for.
func parseSeconds(text string) (d time.Duration, ok bool) {
	seconds, err := strconv.ParseUint(text, 10, 64)
	if err != nil && !errors.Is(err, strconv.ErrRange) {
		return 0, false
	}
	return time.Duration(min(seconds, uint64(maxRetryAfter/time.Second))) * time.Second, true
}
