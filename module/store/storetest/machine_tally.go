package storetest

import (
	"pgregory.net/rapid"

	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/store"
)

// tally compares what is counted under each name. What a store counts together with others is
// not compared by name.
func (m *machine) tally(*rapid.T) {
	want := make(map[string]store.Tally)
	var all store.Tally
	for _, r := range m.model {
		t := want[r.Name]
		if r.Phase == callback.Waiting {
			t.Waiting++
			all.Waiting++
			if t.Oldest == 0 || r.CreatedAt < t.Oldest {
				t.Oldest = r.CreatedAt
			}
		}
		if r.Delivery != nil && r.Delivery.Dead {
			t.Dead++
			all.Dead++
		}
		want[r.Name] = t
	}
	m.eventually("counting by name at some time", func() bool {
		left := all
		for name, got := range m.house.tally() {
			left.Waiting -= got.Waiting
			left.Dead -= got.Dead
			t := want[name]
			exact := got.Waiting == t.Waiting && got.Dead == t.Dead && got.Oldest <= t.Oldest && (got.Oldest == 0) == (t.Oldest == 0)
			if name != store.OtherNames && !exact {
				return false
			}
		}
		return left.Waiting == 0 && left.Dead == 0
	})
}
