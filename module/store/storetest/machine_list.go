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
	var all []*callback.Record
	for _, id := range m.alive {
		all = append(all, m.model[id])
	}
	want := make(map[callback.UUID]*callback.Record)
	for _, r := range matching(q, all) {
		want[r.ID] = r
	}
	got := m.listAll(q)
	if len(got) != len(want) || !slices.IsSortedFunc(got, newest) {
		t.Fatalf("the pages have %d callbacks, want %d, in order: %v", len(got), len(want), slices.IsSortedFunc(got, newest))
	}
	for i, r := range got {
		if want[r.ID] == nil {
			t.Fatalf("number %d is listed twice, or is not asked for", i)
		}
		m.same(t, r, want[r.ID])
		delete(want, r.ID)
	}
}
