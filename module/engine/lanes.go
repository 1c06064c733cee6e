package engine

import (
	"sync"

	"github.com/caddy-callback/caddy-callback/module/callback"
)

// maxQueued bounds how much work is queued. The next sweep finds again what does not
// fit.
const maxQueued = 10_000

// lanes is the background work that is due: a lane for each route, one for each host
// that gets deliveries, and one for steps. A lane takes at most half of what can be
// done at once, so that a target that hangs blocks only its own lane.
type lanes struct {
	mu    sync.Mutex
	lanes map[string]*lane
	// turn is the order in which lanes are served.
	turn []*lane
	// known are the callbacks that are queued or worked on, so that each has one
	// owner at a time.
	known   map[callback.UUID]struct{}
	queued  int
	running int
	closed  bool
}

type lane struct {
	name    string
	ids     []callback.UUID
	running int
}

func newLanes() *lanes {
	return &lanes{lanes: make(map[string]*lane), known: make(map[callback.UUID]struct{})}
}

// add queues a callback's work, unless it is known already or there is too much.
func (ls *lanes) add(name string, id callback.UUID) bool {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	if _, known := ls.known[id]; known || ls.closed || ls.queued >= maxQueued {
		return false
	}
	l := ls.lanes[name]
	if l == nil {
		l = &lane{name: name}
		ls.lanes[name] = l
		ls.turn = append(ls.turn, l)
	}
	ls.known[id] = struct{}{}
	l.ids = append(l.ids, id)
	ls.queued++
	return true
}

// take returns work that may begin, if there is any and fewer than limit are running.
// done must be called afterwards.
func (ls *lanes) take(limit int) (*lane, callback.UUID, bool) {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	if ls.closed || ls.running >= limit {
		return nil, callback.UUID{}, false
	}
	share := max(1, limit/2)
	for i, l := range ls.turn {
		if len(l.ids) == 0 || l.running >= share {
			continue
		}
		id := l.ids[0]
		l.ids = l.ids[1:]
		l.running++
		ls.queued--
		ls.running++
		// The lane that was served goes to the end.
		copy(ls.turn[i:], ls.turn[i+1:])
		ls.turn[len(ls.turn)-1] = l
		return l, id, true
	}
	return nil, callback.UUID{}, false
}

// done ends the work on a callback.
func (ls *lanes) done(l *lane, id callback.UUID) {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	delete(ls.known, id)
	l.running--
	ls.running--
	if l.running > 0 || len(l.ids) > 0 {
		return
	}
	delete(ls.lanes, l.name)
	for i := range ls.turn {
		if ls.turn[i] == l {
			ls.turn = append(ls.turn[:i], ls.turn[i+1:]...)
			return
		}
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
