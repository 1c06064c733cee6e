package callback_test

import (
	"slices"

	"pgregory.net/rapid"

	"github.com/caddy-callback/caddy-callback/module/callback"
)

var endings = map[callback.Phase]callback.HappeningKind{
	callback.Resolved: callback.HappenedResolved, callback.Failed: callback.HappenedFailed, callback.Expired: callback.HappenedExpired, callback.Closed: callback.HappenedClosed,
}

// checkHistory checks what a step has added to the history.
func (m *machine) checkHistory(t *rapid.T, next *callback.Record) {
	before, after := m.record.Happenings(nil), next.Happenings(nil)
	if len(after) > callback.MaxHistory || after[0].Kind != callback.HappenedCreated || after[0].At != born {
		t.Fatalf("the history has %d happenings, of which the first is %+v", len(after), after[0])
	}
	last := after[len(after)-1]
	called := slices.ContainsFunc(after[max(0, len(after)-3):], func(h callback.Happening) bool {
		return slices.Contains([]callback.HappeningKind{callback.HappenedCalled, callback.HappenedProgressed, callback.HappenedRefused}, h.Kind) && h.At == m.clock
	})
	switch {
	case !m.phase.Final() && next.Phase.Final() && (last.Kind != endings[next.Phase] || last.At != m.clock):
		t.Fatalf("it was %s, and the history ends with %+v", next.Phase, last)
	case next.Calls > m.record.Calls && !called:
		t.Fatalf("a call changed it, and the history ends with %+v", after[max(0, len(after)-3):])
	case len(after) < callback.MaxHistory && !hasAll(after, before):
		t.Fatalf("%+v\nbecame\n%+v", before, after)
	}
}

// hasAll reports whether a history has all of an earlier one that nobody can cause in any
// number.
func hasAll(after, before []callback.Happening) bool {
	at := 0
	for _, h := range before {
		switch h.Kind {
		case callback.HappenedProgressed, callback.HappenedPolled, callback.HappenedRefused:
			continue
		}
		i := slices.Index(after[at:], h)
		if i < 0 {
			return false
		}
		at += i + 1
	}
	return true
}
