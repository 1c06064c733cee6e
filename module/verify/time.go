package verify

import (
	"fmt"
	"strconv"
	"time"
)

// The lengths of a time in decimal digits. A number with as many digits as milliseconds have had
// since 2001 is one of milliseconds.
const (
	maxSeconds   = 11
	milliseconds = 13
)

// checkTime makes sure that the time of a call is near enough to ours, in whole seconds. A number
// with a sign, a leading zero or anything else beside digits is none: what is signed is its text.
func (w way) checkTime(text string, now time.Time) error {
	if !w.timed {
		return nil
	}
	at, ok := seconds(text)
	if !ok {
		return fmt.Errorf("%w: its time is no number of seconds or milliseconds since 1970", ErrMalformed)
	}
	switch age, most := now.Unix()-at, int64(w.tolerance/time.Second); {
	case age > most:
		return fmt.Errorf("%w: it was made more than %v ago", ErrTooOld, w.tolerance)
	case age < -most:
		return fmt.Errorf("%w: its time is more than %v ahead", ErrTooOld, w.tolerance)
	}
	return nil
}

// seconds returns a time in seconds since 1970.
func seconds(text string) (n int64, ok bool) {
	if len(text) > maxSeconds && len(text) != milliseconds || len(text) > 1 && text[0] == '0' {
		return 0, false
	}
	for i := range len(text) {
		if text[i] < '0' || text[i] > '9' {
			return 0, false
		}
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if len(text) == milliseconds {
		n /= 1000
	}
	return n, err == nil
}
