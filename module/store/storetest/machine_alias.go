package storetest

import (
	"errors"
	"slices"

	"pgregory.net/rapid"

	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/store"
)

// anyAliases draws from only a few aliases, so that they often belong to another
// callback.
func anyAliases(t *rapid.T) []callback.Digest {
	return anyList(t, "aliases", func() callback.Digest { return anyAlias(t) })
}

func anyAlias(t *rapid.T) callback.Digest {
	return alias(byte(rapid.IntRange(1, 5).Draw(t, "alias")))
}

// ownerOf returns the model's callback with that alias, nil if there is none.
func (m *machine) ownerOf(alias callback.Digest) *callback.Record {
	for _, r := range m.model {
		if slices.Contains(r.Aliases, alias) {
			return r
		}
	}
	return nil
}

// clashes reports whether one of the aliases belongs to another callback.
func (m *machine) clashes(id callback.UUID, aliases []callback.Digest) bool {
	return slices.ContainsFunc(aliases, func(alias callback.Digest) bool {
		owner := m.ownerOf(alias)
		return owner != nil && owner.ID != id
	})
}

func (m *machine) relabel(t *rapid.T) {
	r, key := m.pick(t)
	next := *r
	next.Aliases = anyAliases(t)
	got, c, err := m.store.Update(m.Context(), key, become(&next))
	if m.clashes(r.ID, next.Aliases) {
		if !errors.Is(err, store.ErrExists) || got != nil || c != nil {
			t.Fatalf("giving an alias that another has: %v", err)
		}
		return
	}
	if err != nil {
		t.Fatalf("giving aliases: %v", err)
	}
	m.same(t, got, &next)
	m.model[r.ID] = &next
	m.pending = append(m.pending, c)
}

func (m *machine) findAlias(t *rapid.T) {
	alias := anyAlias(t)
	got, c, err := m.store.Find(m.Context(), store.ByAlias(alias))
	want := m.ownerOf(alias)
	if want == nil {
		if !errors.Is(err, store.ErrNotFound) {
			t.Fatalf("finding by an alias that nobody has: %v", err)
		}
		return
	}
	if err != nil {
		t.Fatalf("finding by alias: %v", err)
	}
	m.same(t, got, want)
	m.pending = append(m.pending, c)
}
