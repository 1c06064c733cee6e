package badger

import (
	"sync"

	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/store"
)

const (
	// recentGeneration is how many records a shard of recent keeps at least; it keeps
	// at most twice as many.
	recentGeneration = 64
	// recentSize is the largest record that is kept, in bytes.
	recentSize = 4 << 10
)

// recent caches the waiting callbacks that were committed last: most calls come soon
// after the request, and are then decided without reading the database. A record in
// it is always the same as in the database. Only commits add to it, so that no reader
// can put back a record that a commit has replaced.
type recent struct {
	shards [shardCount]recentShard
}

// recentShard drops its older generation when the younger is full, which costs
// nothing for each use.
type recentShard struct {
	mu         sync.Mutex
	young, old recentRecords
}

type recentRecords struct {
	byID    map[callback.UUID]*callback.Record
	byState map[callback.Digest]callback.UUID
}

func newRecentRecords() recentRecords {
	return recentRecords{
		byID:    make(map[callback.UUID]*callback.Record, recentGeneration),
		byState: make(map[callback.Digest]callback.UUID, recentGeneration),
	}
}

func newRecent() *recent {
	r := new(recent)
	for i := range r.shards {
		r.shards[i].young, r.shards[i].old = newRecentRecords(), newRecentRecords()
	}
	return r
}

func (r *recent) shard(b byte) *recentShard { return &r.shards[b&(shardCount-1)] }

// put notes the record that a commit has written; nil stands for no record. It drops
// callbacks that no longer wait, because they are seldom looked up.
func (r *recent) put(id callback.UUID, record *callback.Record) {
	if record == nil || record.Phase != callback.Waiting || record.Size() > recentSize {
		r.drop(id)
		return
	}
	s := r.shard(id[0])
	s.mu.Lock()
	delete(s.old.byID, id)
	s.makeRoom()
	s.young.byID[id] = record
	s.mu.Unlock()

	s = r.shard(record.State[0])
	s.mu.Lock()
	s.makeRoom()
	s.young.byState[record.State] = id
	s.mu.Unlock()
}

// makeRoom drops the older generation if the younger is full. The shard is locked.
func (s *recentShard) makeRoom() {
	if max(len(s.young.byID), len(s.young.byState)) < recentGeneration {
		return
	}
	s.young, s.old = s.old, s.young
	clear(s.young.byID)
	clear(s.young.byState)
}

// drop removes a callback. Its state may stay: it leads to no other callback.
func (r *recent) drop(id callback.UUID) {
	s := r.shard(id[0])
	s.mu.Lock()
	delete(s.young.byID, id)
	delete(s.old.byID, id)
	s.mu.Unlock()
}

// record returns a callback as it is in the database, nil if it is not cached.
func (r *recent) record(id callback.UUID) *callback.Record {
	s := r.shard(id[0])
	s.mu.Lock()
	defer s.mu.Unlock()
	if record, ok := s.young.byID[id]; ok {
		return record
	}
	return s.old.byID[id]
}

// find returns the callback that a state leads to, zero if it is not cached.
func (r *recent) find(k linkKey) callback.UUID {
	if k.kind != store.KeyState {
		return callback.UUID{}
	}
	s := r.shard(k.digest[0])
	s.mu.Lock()
	defer s.mu.Unlock()
	if id, ok := s.young.byState[k.digest]; ok {
		return id
	}
	return s.old.byState[k.digest]
}
