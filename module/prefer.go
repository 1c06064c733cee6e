package module

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// maxPreferredWait bounds how long a request for status or result is kept waiting.
const maxPreferredWait = 5 * time.Minute

// preference is what a client prefers (RFC 7240), as far as it concerns us. What
// cannot be understood is ignored, as the RFC asks.
type preference struct {
	// async: respond-async (section 4.1).
	async bool
	// waits and wait: wait (section 4.3).
	waits bool
	wait  time.Duration
}

// preferenceOf reads what a client prefers. A wait is at most as long as limit.
func preferenceOf(h http.Header, limit time.Duration) (p preference) {
	for name, value := range preferences(h) {
		switch {
		case strings.EqualFold(name, "respond-async"):
			p.async = true
		case strings.EqualFold(name, "wait") && !p.waits:
			seconds, err := strconv.ParseUint(strings.Trim(value, `"`), 10, 31)
			if err == nil {
				p.waits, p.wait = true, min(time.Duration(seconds)*time.Second, limit)
			}
		}
	}
	return p
}

// preferences yields names and values of the preferences.
func preferences(h http.Header) func(yield func(name, value string) bool) {
	return func(yield func(name, value string) bool) {
		for _, line := range h["Prefer"] {
			for item := range strings.SplitSeq(line, ",") {
				item, _, _ = strings.Cut(item, ";")
				name, value, _ := strings.Cut(item, "=")
				if !yield(strings.TrimSpace(name), strings.TrimSpace(value)) {
					return
				}
			}
		}
	}
}

// apply says in an answer which preferences were honoured (RFC 7240, section 3).
func (p preference) apply(h http.Header) {
	if !slices.Contains(h["Vary"], "Prefer") {
		h.Add("Vary", "Prefer")
	}
	var applied []string
	if p.async {
		applied = append(applied, "respond-async")
	}
	if p.waits {
		applied = append(applied, "wait="+strconv.Itoa(int(p.wait.Seconds())))
	}
	if len(applied) > 0 {
		h.Set("Preference-Applied", strings.Join(applied, ", "))
	}
}

// withoutPreferences removes the preferences that are ours to honour from a request
// that goes on.
func withoutPreferences(h http.Header) {
	var rest []string
	for _, line := range h["Prefer"] {
		for item := range strings.SplitSeq(line, ",") {
			name, _, _ := strings.Cut(item, ";")
			name, _, _ = strings.Cut(name, "=")
			if name = strings.TrimSpace(name); !strings.EqualFold(name, "respond-async") && !strings.EqualFold(name, "wait") && name != "" {
				rest = append(rest, strings.TrimSpace(item))
			}
		}
	}
	if len(rest) == 0 {
		delete(h, "Prefer")
		return
	}
	h["Prefer"] = []string{strings.Join(rest, ", ")}
}
