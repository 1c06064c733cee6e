package answer

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Preference holds the preferences of a client (RFC 7240) that we honour. Those that we
// cannot understand are ignored, as the RFC asks.
type Preference struct {
	// Ignored says that the preferences are not heeded, and nothing depends on them.
	Ignored bool
	// Async says that respond-async is given (section 4.1).
	Async bool
	// Waits says that wait is given, and Wait how long it is (section 4.3).
	Waits bool
	Wait  time.Duration
}

// PreferenceOf reads the preferences of a client. Wait is at most limit.
func PreferenceOf(h http.Header, limit time.Duration) (p Preference) {
	for name, value := range preferences(h) {
		switch {
		case strings.EqualFold(name, "respond-async"):
			p.Async = true
		case strings.EqualFold(name, "wait") && !p.Waits:
			seconds, err := strconv.ParseUint(strings.Trim(value, `"`), 10, 31)
			if err == nil {
				p.Waits, p.Wait = true, min(time.Duration(seconds)*time.Second, limit)
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

// Apply says in an answer which preferences were honoured (RFC 7240, section 3).
func (p Preference) Apply(h http.Header) {
	if p.Ignored {
		return
	}
	if !slices.Contains(h["Vary"], "Prefer") {
		h.Add("Vary", "Prefer")
	}
	var applied []string
	if p.Async {
		applied = append(applied, "respond-async")
	}
	if p.Waits {
		applied = append(applied, "wait="+strconv.Itoa(int(p.Wait.Seconds())))
	}
	if len(applied) > 0 {
		h.Set("Preference-Applied", strings.Join(applied, ", "))
	}
}

// StripPreferences removes the preferences that we honour ourselves, respond-async and
// wait, from a request that is passed on.
func StripPreferences(h http.Header) {
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
