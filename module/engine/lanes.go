package engine

import (
	"container/list"
	"sync"

	"github.com/caddy-callback/caddy-callback/module/callback"
)

// maxQueued bounds how much work is queued. The next sweep finds again what does not
// fit.
const maxQueued = 10_000

// lane is what work has in common with other work: the directive that it belongs to and,
// for deliveries, the host that they go to. Of what can be done at once, the work of one
// name takes at most half, and so do the deliveries to one host: a target that hangs, or
// a client that names many of them, blocks nobody else.
type lane struct {
	name string
	// host is empty for work that is not a delivery.
	host string
}

// lanes is the background work that is due.
type lanes struct {
	mu sync.Mutex
	// names and turn have the work by the names of its lanes, turn in the order in which
	// they are served.
	names map[string]*list.Element
	turn  *list.List
	// known are the callbacks that are queued or worked on, so that each has one
	// owner at a time.
	known  map[callback.UUID]struct{}
	queued int
	// ofName and ofHost count the work that runs, by its lane's name and host.
	ofName, ofHost map[string]int
	running        int
	closed         bool
}

// named is the queued work of one name: a queue for each host, turn in the order in which
// they are served.
type named struct {
	name  string
	hosts map[string]*list.Element
	turn  *list.List
}

// queue is the queued work of one lane. It is never empty.
type queue struct {
	lane lane
	ids  []callback.UUID
}

func newLanes() *lanes {
	return &lanes{
		names: make(map[string]*list.Element), turn: list.New(), known: make(map[callback.UUID]struct{}),
		ofName: make(map[string]int), ofHost: make(map[string]int),
	}
}

// add queues a callback's work, unless it is known already or there is too much.
func (ls *lanes) add(l lane, id callback.UUID) bool {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	if _, known := ls.known[id]; known || ls.closed || ls.queued >= maxQueued {
		return false
	}
	ls.known[id] = struct{}{}
	ls.queued++
	at := ls.names[l.name]
	if at == nil {
		at = ls.turn.PushBack(&named{name: l.name, hosts: make(map[string]*list.Element), turn: list.New()})
		ls.names[l.name] = at
	}
	at.Value.(*named).add(l, id)
	return true
}

func (n *named) add(l lane, id callback.UUID) {
	if at := n.hosts[l.host]; at != nil {
		q := at.Value.(*queue)
		q.ids = append(q.ids, id)
		return
	}
	n.hosts[l.host] = n.turn.PushBack(&queue{lane: l, ids: []callback.UUID{id}})
}

// take returns work that may begin, if there is any and fewer than limit are running.
// done must be called afterwards.
func (ls *lanes) take(limit int) (lane, callback.UUID, bool) {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	if ls.closed || ls.running >= limit {
		return lane{}, callback.UUID{}, false
	}
	share := max(1, limit/2)
	for at := ls.turn.Front(); at != nil; at = at.Next() {
		n := at.Value.(*named)
		if ls.ofName[n.name] >= share {
			continue
		}
		l, id, ok := n.take(func(host string) bool { return host == "" || ls.ofHost[host] < share })
		if !ok {
			continue
		}
		// What was served goes to the end.
		ls.turn.MoveToBack(at)
		if n.turn.Len() == 0 {
			ls.turn.Remove(at)
			delete(ls.names, n.name)
		}
		ls.queued--
		ls.running++
		ls.ofName[l.name]++
		ls.ofHost[l.host]++
		return l, id, true
	}
	return lane{}, callback.UUID{}, false
}

// take returns work for a host that is free. Few hosts are not, because few can have their
// share at once.
func (n *named) take(free func(host string) bool) (lane, callback.UUID, bool) {
	for at := n.turn.Front(); at != nil; at = at.Next() {
		q := at.Value.(*queue)
		if !free(q.lane.host) {
			continue
		}
		id := q.ids[0]
		q.ids = q.ids[1:]
		n.turn.MoveToBack(at)
		if len(q.ids) == 0 {
			n.turn.Remove(at)
			delete(n.hosts, q.lane.host)
		}
		return q.lane, id, true
	}
	return lane{}, callback.UUID{}, false
}

// done ends the work on a callback.
func (ls *lanes) done(l lane, id callback.UUID) {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	delete(ls.known, id)
	ls.running--
	lower(ls.ofName, l.name)
	lower(ls.ofHost, l.host)
}

// lower counts one less, and forgets what is not counted any more.
func lower(counts map[string]int, key string) {
	if counts[key]--; counts[key] == 0 {
		delete(counts, key)
	}
}

// knows reports whether a callback is queued or worked on.
func (ls *lanes) knows(id callback.UUID) bool {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	_, known := ls.known[id]
	return known
}

// close makes sure that no further work begins.
func (ls *lanes) close() {
	ls.mu.Lock()
	ls.closed = true
	ls.mu.Unlock()
}
