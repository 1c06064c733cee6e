package postgres

import (
	"sync"

	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/store"
)

const (
	// recentGeneration is how many bytes of records are kept at least; at most it is twice as
	// many.
	recentGeneration = 4 << 20
	// recentOverhead is what a record takes besides what its Size counts.
	recentOverhead = 1 << 10
	// recentSize is the largest record that is kept, in bytes.
	recentSize = 16 << 10
)

// recent has the records that this node read or wrote last, for decisions to be based on. It
// may be behind the database: a write that is based on such a record is refused, and nothing
// else may be based on it.
type recent struct {
	mu sync.Mutex
	// The older generation is dropped when the younger is full.
	young, old generation
}

// generation are records with the numbers of their last writes.
type generation struct {
	byID    map[callback.UUID]found
	byState map[callback.Digest]callback.UUID
	size    int
}

func newGeneration() generation {
	return generation{byID: make(map[callback.UUID]found), byState: make(map[callback.Digest]callback.UUID)}
}

func newRecent() *recent { return &recent{young: newGeneration(), old: newGeneration()} }

// put notes a record, if it is one on which more is likely to be decided.
func (r *recent) put(f found) {
	size := f.record.Size() + recentOverhead
	if f.record.Phase != callback.Waiting && f.record.Owner == 0 || size > recentSize {
		r.drop(f.record.ID)
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.young.size > recentGeneration {
		r.young, r.old = r.old, r.young
		clear(r.young.byID)
		clear(r.young.byState)
		r.young.size = 0
	}
	r.young.byID[f.record.ID] = f
	r.young.byState[f.record.State] = f.record.ID
	r.young.size += size
}

// drop removes a record.
func (r *recent) drop(id callback.UUID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, g := range []generation{r.young, r.old} {
		if f, ok := g.byID[id]; ok {
			delete(g.byState, f.record.State)
			delete(g.byID, id)
		}
	}
}

// find returns the record with a key, if it is kept.
func (r *recent) find(key store.Key) (f found, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, g := range []generation{r.young, r.old} {
		id := key.ID
		if key.Kind == store.KeyState {
			id = g.byState[key.Digest]
		}
		if f, ok = g.byID[id]; ok && leadsTo(key, f.record) {
			return f, true
		}
	}
	return found{}, false
}
