package badger

import (
	"slices"
	"sync"

	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/store"
)

// shardCount spreads the overlay's locks. It must be a power of two.
const shardCount = 64

// overlay holds the callbacks about which a decision is being made, and those whose
// newest record is not committed yet. Look-ups search it before the database, which
// is up to date for all other callbacks.
type overlay struct {
	shards [shardCount]shard
}

type shard struct {
	mu      sync.Mutex
	entries map[callback.UUID]*entry
	// links holds the keys that uncommitted decisions have set or removed.
	links map[linkKey]link
	// claims holds the aliases about which a decision is being made.
	claims map[linkKey]bool
	// unclaimed is signaled when claims are released.
	unclaimed sync.Cond
}

// entry is one callback in the overlay. Its mu is the callback's lock: decisions
// about one callback are made one after the other. Never wait for an entry's lock
// while holding a shard's.
type entry struct {
	id callback.UUID
	// users counts the callers and groups that hold the entry. The shard's lock
	// guards it.
	users int

	mu sync.Mutex
	// loaded says that record and stored are known.
	loaded bool
	// record is the newest record, nil if there is none.
	record *callback.Record
	// stored is the record in the database, nil if there is none.
	stored *callback.Record
	// superseded lists body files of records that were replaced before they were
	// committed.
	superseded []string
	// group is the group that the newest record is written with, nil if it is
	// committed; pending is the entry's part of it.
	group   *group
	pending *written
}

func newOverlay() *overlay {
	o := new(overlay)
	for i := range o.shards {
		s := &o.shards[i]
		s.entries = make(map[callback.UUID]*entry)
		s.links = make(map[linkKey]link)
		s.claims = make(map[linkKey]bool)
		s.unclaimed.L = &s.mu
	}
	return o
}

func (o *overlay) shard(b byte) *shard { return &o.shards[b&(shardCount-1)] }

// acquire returns the callback's entry, creating it if needed. It must be released.
func (o *overlay) acquire(id callback.UUID) *entry {
	s := o.shard(id[0])
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.entries[id]
	if e == nil {
		e = &entry{id: id}
		s.entries[id] = e
	}
	e.users++
	return e
}

// peek returns the callback's entry if there is one. It must be released.
func (o *overlay) peek(id callback.UUID) *entry {
	s := o.shard(id[0])
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.entries[id]
	if e != nil {
		e.users++
	}
	return e
}

// retain adds a user to an entry that has one.
func (o *overlay) retain(e *entry) {
	s := o.shard(e.id[0])
	s.mu.Lock()
	e.users++
	s.mu.Unlock()
}

func (o *overlay) release(e *entry) {
	s := o.shard(e.id[0])
	s.mu.Lock()
	defer s.mu.Unlock()
	e.users--
	if e.users == 0 {
		delete(s.entries, e.id)
	}
}

// supersede notes the body files that the record to replace refers to and next does not,
// if that record is not committed. The entry must be locked.
func (e *entry) supersede(next *callback.Record) {
	if e.group != nil {
		e.superseded = append(e.superseded, without(files(e.record), files(next))...)
	}
}

// takeOrphans returns the superseded files that neither the stored nor the newest
// record refers to. The entry must be locked.
func (e *entry) takeOrphans() []string {
	if len(e.superseded) == 0 {
		return nil
	}
	orphans := without(slices.Clone(e.superseded), append(files(e.stored), files(e.record)...))
	e.superseded = without(e.superseded, orphans)
	return orphans
}

// commit returns the Commit of the newest record. The entry must be locked.
func (e *entry) commit() store.Commit {
	if e.group == nil {
		return store.Committed
	}
	return e.group
}
