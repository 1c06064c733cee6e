package engine

import (
	"sync"
	"sync/atomic"

	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/memory"
)

// shardCount spreads the waiters' locks. It must be a power of two.
const shardCount = 64

// waiters are all that wait for a callback in this process: held clients, attached
// clients, long polls.
type waiters struct {
	count  atomic.Int64
	shards [shardCount]waiterShard
}

type waiterShard struct {
	mu sync.Mutex
	// first leads to the waiters of a callback, which form a list that is linked in both
	// directions: thousands may leave it in any order.
	first map[callback.UUID]*Waiter
}

// Waiter waits for a callback to end, or to change.
type Waiter struct {
	// C yields a Notice when the callback has ended, or has changed.
	C <-chan Notice

	c       chan Notice
	owner   *waiters
	id      callback.UUID
	durable bool
	// changes says that the waiter is told of every change, aside that no client waits for
	// the end by it.
	changes, aside bool

	before, next *Waiter
}

// Notice tells a waiter that its callback has ended or changed.
type Notice struct {
	// Record is the callback as it was at that moment.
	Record *callback.Record
	lease  *memory.Lease
}

// Done releases the memory that the notice holds. The record's bodies must not be used
// afterwards.
func (n Notice) Done() { n.lease.Release() }

func newWaiters() *waiters {
	w := new(waiters)
	for i := range w.shards {
		w.shards[i].first = make(map[callback.UUID]*Waiter)
	}
	return w
}

func (ws *waiters) shard(id callback.UUID) *waiterShard { return &ws.shards[id[0]&(shardCount-1)] }

// add registers a waiter, unless there are maximum already.
func (ws *waiters) add(w *Waiter, maximum int) (*Waiter, error) {
	if ws.count.Add(1) > int64(maximum) {
		ws.count.Add(-1)
		return nil, ErrBusy
	}
	c := make(chan Notice, 1)
	w.C, w.c, w.owner = c, c, ws
	s := ws.shard(w.id)
	s.mu.Lock()
	if w.next = s.first[w.id]; w.next != nil {
		w.next.before = w
	}
	s.first[w.id] = w
	s.mu.Unlock()
	return w, nil
}

// Stop ends the wait. It must be called exactly once.
func (w *Waiter) Stop() {
	s := w.owner.shard(w.id)
	s.mu.Lock()
	s.remove(w)
	s.mu.Unlock()
	w.owner.count.Add(-1)
	select {
	case n := <-w.c:
		n.Done()
	default:
	}
}

func (s *waiterShard) remove(w *Waiter) {
	if w.next != nil {
		w.next.before = w.before
	}
	switch {
	case w.before != nil:
		w.before.next = w.next
	case w.next != nil:
		s.first[w.id] = w.next
	default:
		delete(s.first, w.id)
	}
}

// tell notifies the waiters that need not wait for the commit.
func (ws *waiters) tell(r *callback.Record, lease *memory.Lease) { ws.notify(r, lease, false) }

// tellDurable notifies the waiters that wait for the commit.
func (ws *waiters) tellDurable(r *callback.Record, lease *memory.Lease) { ws.notify(r, lease, true) }

func (ws *waiters) notify(r *callback.Record, lease *memory.Lease, durable bool) {
	final := r.Phase.Final()
	s := ws.shard(r.ID)
	s.mu.Lock()
	defer s.mu.Unlock()
	for w := s.first[r.ID]; w != nil; w = w.next {
		if w.durable != durable || !final && !w.changes {
			continue
		}
		lease.Retain()
		w.put(Notice{Record: r, lease: lease})
	}
}

// put hands a notice to the waiter, in the place of one that was not taken yet: the latest
// change is told, but of ends the first. The waiter's shard must be locked, so that nobody
// else puts.
func (w *Waiter) put(n Notice) {
	select {
	case old := <-w.c:
		if old.Record.Phase.Final() || old.Record.Calls > n.Record.Calls {
			n, old = old, n
		}
		old.Done()
	default:
	}
	w.c <- n
}

// Follow lets a waiter that is told of the end when it is committed be told of every change,
// too. The callback's record must be read once after that: it may have changed before.
func (w *Waiter) Follow() {
	s := w.owner.shard(w.id)
	s.mu.Lock()
	defer s.mu.Unlock()
	w.changes = true
}

// attend reports whether a client waits for the end of a callback.
func (ws *waiters) attend(id callback.UUID) bool { return ws.attendBeside(id, nil) }

// attendBeside is attend for all waiters but one.
func (ws *waiters) attendBeside(id callback.UUID, but *Waiter) bool {
	s := ws.shard(id)
	s.mu.Lock()
	defer s.mu.Unlock()
	for w := s.first[id]; w != nil; w = w.next {
		if w != but && !w.aside {
			return true
		}
	}
	return false
}

// has reports whether a callback has waiters.
func (ws *waiters) has(id callback.UUID) bool {
	s := ws.shard(id)
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.first[id] != nil
}

// ids lists the callbacks that have waiters: those whose end alone is waited for, and those
// with a waiter that is told of every change.
func (ws *waiters) ids() (ends, changes []callback.UUID) {
	for i := range ws.shards {
		s := &ws.shards[i]
		s.mu.Lock()
		for id, w := range s.first {
			for w != nil && !w.changes {
				w = w.next
			}
			if w == nil {
				ends = append(ends, id)
			} else {
				changes = append(changes, id)
			}
		}
		s.mu.Unlock()
	}
	return ends, changes
}

// Await registers a waiter for a callback. A durable one is told when the end is
// committed, any other as soon as it is decided. ErrBusy: too many wait.
//
// If others can already call the callback, its record must be read once after Await: it
// may have ended before.
func (e *Engine) Await(id callback.UUID, durable bool) (*Waiter, error) {
	return e.waiters.add(&Waiter{id: id, durable: durable}, e.limits.Load().MaxHeld)
}

// Alone reports whether no other client waits for the end of the same callback. It is true
// for nil.
func (w *Waiter) Alone() bool { return w == nil || !w.owner.attendBeside(w.id, w) }

// AwaitChange is Await for a waiter that is told of every change of a callback when it
// is committed. Until it takes its notice, it gets no second one for further changes, but the
// latest. It does not count as a client that waits for the end.
func (e *Engine) AwaitChange(id callback.UUID) (*Waiter, error) {
	return e.waiters.add(&Waiter{id: id, durable: true, changes: true, aside: true}, e.limits.Load().MaxHeld)
}
