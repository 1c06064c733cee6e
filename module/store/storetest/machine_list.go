package storetest

import (
	"slices"

	"pgregory.net/rapid"

	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/store"
)

func (m *machine) list(t *rapid.T) {
	m.settle(t)
	q := store.Query{Limit: rapid.IntRange(1, 8).Draw(t, "limit")}
	if rapid.Bool().Draw(t, "by phase") {
		q.Phase = callback.Phase(rapid.IntRange(1, 5).Draw(t, "phase"))
	}
	if rapid.Bool().Draw(t, "by name") {
		q.Name = anyText().Draw(t, "name")
	}
	if rapid.Bool().Draw(t, "by names") {
		q.Names = rapid.SliceOfN(anyText(), 0, 3).Draw(t, "names")
	}
	if rapid.Bool().Draw(t, "by time") {
		q.From, q.Before = anyMoment(t), anyMoment(t)
	}
	if len(m.alive) > 0 && rapid.Bool().Draw(t, "by correlation id") {
		q.CorrelationID = m.model[rapid.SampledFrom(m.alive).Draw(t, "correlated")].CorrelationID
	}
	if len(m.alive) > 0 && rapid.IntRange(0, 4).Draw(t, "by id") == 0 {
		q.ID = rapid.SampledFrom(m.alive).Draw(t, "id")
	}
	q.Confirm = rapid.IntRange(0, 3).Draw(t, "by confirm") == 0
	q.OldestFirst = rapid.Bool().Draw(t, "oldest first")
	var all []*callback.Record
	for _, id := range m.alive {
		all = append(all, m.model[id])
	}
	want := make(map[callback.UUID]*callback.Record)
	for _, r := range matching(q, all) {
		want[r.ID] = r
	}
	got := m.listAll(q)
	if sorted := slices.IsSortedFunc(got, inOrder(q)); len(got) != len(want) || !sorted {
		t.Fatalf("the pages of %+v have %d callbacks, want %d, in order: %v", q, len(got), len(want), sorted)
	}
	for i, r := range got {
		if want[r.ID] == nil {
			t.Fatalf("number %d is listed twice, or is not asked for", i)
		}
		m.same(t, r, want[r.ID])
		delete(want, r.ID)
	}
}
