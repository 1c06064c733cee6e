package engine

import (
	"slices"
	"sync"

	"github.com/caddy-callback/caddy-callback/module/callback"
)

// What is noted of happenings that no write takes along yet: of so many callbacks at most,
// and so many of each.
const (
	maxNoted     = 16 << 10
	maxNotesEach = 8
)

// notes is what has happened to callbacks and is written nowhere: the next write of such a
// callback takes it along. If there is too much of it, what is known of the callback that was
// noted first goes.
type notes struct {
	shards [shardCount]noteShard
}

type noteShard struct {
	mu sync.Mutex
	// of has the notes by their callbacks. They form a ring around head, the oldest next.
	of   map[callback.UUID]*noted
	head noted
}

// noted are the notes of one callback.
type noted struct {
	id           callback.UUID
	before, next *noted
	// history has its first entries in room. added counts what was noted.
	history callback.History
	room    [40]byte
	added   uint64
}

func newNotes() *notes {
	n := new(notes)
	for i := range n.shards {
		s := &n.shards[i]
		s.of = make(map[callback.UUID]*noted)
		s.head.before, s.head.next = &s.head, &s.head
	}
	return n
}

func (n *notes) shard(id callback.UUID) *noteShard { return &n.shards[id[0]&(shardCount-1)] }

// add notes what has happened to a callback.
func (n *notes) add(id callback.UUID, h callback.Happening) {
	s := n.shard(id)
	s.mu.Lock()
	defer s.mu.Unlock()
	of := s.of[id]
	if of == nil {
		if len(s.of) >= maxNoted/shardCount {
			s.remove(s.head.next)
		}
		of = &noted{id: id, before: s.head.before, next: &s.head}
		of.history = of.room[:0]
		of.before.next, s.head.before = of, of
		s.of[id] = of
	}
	of.history = of.history.Put(maxNotesEach, h)
	of.added++
}

// remove forgets the notes of a callback.
func (s *noteShard) remove(of *noted) {
	of.before.next, of.next.before = of.next, of.before
	delete(s.of, of.id)
}

// seen returns what is noted of a callback.
func (n *notes) seen(id callback.UUID) callback.History {
	s := n.shard(id)
	s.mu.Lock()
	defer s.mu.Unlock()
	if of := s.of[id]; of != nil {
		return slices.Clone(of.history)
	}
	return nil
}

// join puts what is noted of a callback into a record that is to be written in place of another
// one. added is how much was noted by then, 0 if nothing was.
func (n *notes) join(next, before *callback.Record) (added uint64) {
	s := n.shard(next.ID)
	s.mu.Lock()
	defer s.mu.Unlock()
	of := s.of[next.ID]
	if of == nil {
		return 0
	}
	next.Join(of.history, before)
	return of.added
}

// written forgets what a write has taken along, unless more was noted since then: what is there
// already is not added again.
func (n *notes) written(id callback.UUID, added uint64) {
	s := n.shard(id)
	s.mu.Lock()
	defer s.mu.Unlock()
	if of := s.of[id]; of != nil && of.added == added {
		s.remove(of)
	}
}

// gone forgets what is noted of a callback that is removed.
func (n *notes) gone(id callback.UUID) {
	s := n.shard(id)
	s.mu.Lock()
	defer s.mu.Unlock()
	if of := s.of[id]; of != nil {
		s.remove(of)
	}
}

// Remember notes what has happened to a callback, for its history, where nothing is written of
// it. The next write takes it along; until then, only this node knows it, and it can be
// forgotten.
func (e *Engine) Remember(id callback.UUID, h callback.Happening) {
	if h.At == 0 {
		h.At = callback.At(e.now())
	}
	e.notes.add(id, h)
}

// History returns what has happened to a callback, the oldest first: what its record says and
// what this node has noted beside that.
func (e *Engine) History(cb *Callback) []callback.Happening {
	return cb.Happenings(e.notes.seen(cb.ID))
}
