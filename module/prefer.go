package module

import (
	"net/http"
	"strconv"
	"strings"
	"time"
)

// maxPreferredWait bounds how long a request for status or result is kept waiting.
const maxPreferredWait = 5 * time.Minute

// preferredWait returns how long a client prefers to wait (RFC 7240, section 4.3),
// 0 if it does not say so. What cannot be understood is ignored, as the RFC asks.
func preferredWait(h http.Header) time.Duration {
	for _, line := range h["Prefer"] {
		for preference := range strings.SplitSeq(line, ",") {
			preference, _, _ = strings.Cut(preference, ";")
			name, value, _ := strings.Cut(preference, "=")
			if !strings.EqualFold(strings.TrimSpace(name), "wait") {
				continue
			}
			seconds, err := strconv.ParseUint(strings.Trim(strings.TrimSpace(value), `"`), 10, 31)
			if err != nil {
				return 0
			}
			return min(time.Duration(seconds)*time.Second, maxPreferredWait)
		}
	}
	return 0
}

// applyWait says in the answer which wait was granted (RFC 7240, section 3).
func applyWait(h http.Header, wait time.Duration) {
	h.Add("Vary", "Prefer")
	if wait > 0 {
		h.Set("Preference-Applied", "wait="+strconv.Itoa(int(wait.Seconds())))
	}
}
