package badger

import (
	"bytes"
	"slices"

	badgerdb "github.com/dgraph-io/badger/v4"

	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/store"
)

// linkKey is a digest that leads to a callback: that of its state, that of its
// ticket, or an alias. The kind is part of it, because a ticket must not pass for a
// state.
type linkKey struct {
	kind   store.KeyKind
	digest callback.Digest
}

// link is where a key leads after decisions that are not committed. It overrides the
// database.
type link struct {
	// id is the callback that the newest decision about the key belongs to.
	id callback.UUID
	// leads says that the key leads to that callback; otherwise it leads nowhere.
	leads bool
	// group is the group that the decision is committed with.
	group *group
}

// database returns the key's entry in the database.
func (k linkKey) database() []byte {
	space := byte(keyState)
	switch k.kind {
	case store.KeyTicket:
		space = keyTicket
	case store.KeyAlias:
		space = keyAlias
	}
	return digestKey(space, k.digest)
}

// linksOf lists the keys that lead to a record, each of them once; nil stands for
// no record.
func linksOf(r *callback.Record) []linkKey {
	if r == nil {
		return nil
	}
	keys := make([]linkKey, 0, 2+len(r.Aliases))
	keys = append(keys, linkKey{store.KeyState, r.State}, linkKey{store.KeyTicket, r.Ticket})
	for _, alias := range r.Aliases {
		if k := (linkKey{store.KeyAlias, alias}); !slices.Contains(keys, k) {
			keys = append(keys, k)
		}
	}
	return keys
}

// relinked lists the keys that lead to after but not to before, and those that lead
// to before but not to after; nil stands for no record.
func relinked(before, after *callback.Record) (added, removed []linkKey) {
	if before != nil && after != nil && slices.Equal(before.Aliases, after.Aliases) {
		return nil, nil
	}
	old, young := linksOf(before), linksOf(after)
	if len(old) == 0 {
		return young, nil
	}
	added = slices.DeleteFunc(slices.Clone(young), func(k linkKey) bool { return slices.Contains(old, k) })
	removed = slices.DeleteFunc(old, func(k linkKey) bool { return slices.Contains(young, k) })
	return added, removed
}

// leadsTo reports whether a key leads to a record: an alias may have been removed
// since the key was resolved.
func leadsTo(key store.Key, r *callback.Record) bool {
	return key.Kind != store.KeyAlias || slices.Contains(r.Aliases, key.Digest)
}

// find returns the callback that a key leads to after uncommitted decisions, zero for
// none, and whether any of them is about the key.
func (o *overlay) find(k linkKey) (id callback.UUID, known bool) {
	s := o.shard(k.digest[0])
	s.mu.Lock()
	defer s.mu.Unlock()
	l, known := s.links[k]
	if !l.leads {
		return callback.UUID{}, known
	}
	return l.id, true
}

// relink notes that a decision about an entry, whose lock is held, has set or removed
// keys.
func (o *overlay) relink(e *entry, keys []linkKey, leads bool) {
	for _, k := range keys {
		s := o.shard(k.digest[0])
		s.mu.Lock()
		s.links[k] = link{id: e.id, leads: leads, group: e.group}
		s.mu.Unlock()
	}
	e.pending.links = append(e.pending.links, keys...)
}

// unlink drops the links of a group that was committed or given up, unless a later
// group has replaced them: the database is right without them.
func (o *overlay) unlink(keys []linkKey, g *group) {
	for _, k := range keys {
		s := o.shard(k.digest[0])
		s.mu.Lock()
		if s.links[k].group == g {
			delete(s.links, k)
		}
		s.mu.Unlock()
	}
}

// claim reserves a key until it is released with unclaim, and returns its link and
// whether there is one.
func (o *overlay) claim(k linkKey) (l link, known bool) {
	s := o.shard(k.digest[0])
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.claims[k] {
		s.unclaimed.Wait()
	}
	s.claims[k] = true
	l, known = s.links[k]
	return l, known
}

func (o *overlay) unclaim(keys []linkKey) {
	for _, k := range keys {
		s := o.shard(k.digest[0])
		s.mu.Lock()
		delete(s.claims, k)
		s.mu.Unlock()
		s.unclaimed.Broadcast()
	}
}

// claim claims the aliases among the keys that a callback is to get, and returns
// them; store.ErrExists if one of them leads to another callback. While they are
// claimed no other decision can set them, although no lock of the overlay is held.
// free are the groups in which some of them became free; the decision must be
// committed after those.
func (s *Store) claim(id callback.UUID, added []linkKey) (claimed []linkKey, free []*group, err error) {
	var aliases []linkKey
	for _, k := range added {
		if k.kind == store.KeyAlias {
			aliases = append(aliases, k)
		}
	}
	// Always in the same order, to avoid deadlocks.
	slices.SortFunc(aliases, func(a, b linkKey) int { return bytes.Compare(a.digest[:], b.digest[:]) })
	for i, k := range aliases {
		l, known := s.overlay.claim(k)
		owner := l.id
		switch {
		case !known:
			// The overlay drops a link only after its commit, so the database is
			// right about keys that are not in the overlay.
			owner, err = s.lookUp(k)
		case !l.leads:
			owner = callback.UUID{}
			if l.id != id {
				free = append(free, l.group)
			}
		}
		if err == nil && !owner.IsZero() && owner != id {
			err = store.ErrExists
		}
		if err != nil {
			s.overlay.unclaim(aliases[:i+1])
			return nil, nil, err
		}
	}
	return aliases, free, nil
}

// resolve returns the id that a key stands for.
func (s *Store) resolve(key store.Key) (callback.UUID, error) {
	if key.Kind == store.KeyID {
		return key.ID, nil
	}
	k := linkKey{key.Kind, key.Digest}
	id, known := s.overlay.find(k)
	if !known {
		var err error
		if id, err = s.lookUp(k); err != nil {
			return id, err
		}
	}
	if id.IsZero() {
		return id, store.ErrNotFound
	}
	return id, nil
}

// lookUp returns the id that a key leads to in the database, zero for none.
func (s *Store) lookUp(k linkKey) (id callback.UUID, err error) {
	if id := s.recent.find(k); !id.IsZero() {
		return id, s.usable()
	}
	err = s.view(func(txn *badgerdb.Txn) error {
		b, err := value(txn, k.database())
		if err != nil || b == nil {
			return err
		}
		if len(b) != len(id) {
			return errIndex
		}
		copy(id[:], b)
		return nil
	})
	return id, err
}
