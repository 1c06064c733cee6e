package engine

import "github.com/caddy-callback/caddy-callback/module/store"

// Load is the background work that is due on this node.
type Load struct {
	// JobsRunning and DeliveriesRunning are under way, JobsQueued and DeliveriesQueued wait for
	// their turn.
	JobsRunning, JobsQueued             int
	DeliveriesRunning, DeliveriesQueued int
}

// Load returns the background work that is due on this node.
func (e *Engine) Load() Load { return e.lanes.load() }

// load counts what is queued and what runs. Work for a host is a delivery.
func (ls *lanes) load() (l Load) {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	for host, n := range ls.ofHost {
		if host == "" {
			l.JobsRunning += n
		} else {
			l.DeliveriesRunning += n
		}
	}
	for at := ls.turn.Front(); at != nil; at = at.Next() {
		for host, queued := range at.Value.(*named).hosts {
			if host == "" {
				l.JobsQueued += len(queued.Value.(*queue).ids)
			} else {
				l.DeliveriesQueued += len(queued.Value.(*queue).ids)
			}
		}
	}
	return l
}

// Space returns how many bytes are free for the store, and below how many it refuses new
// callbacks. ok says that the store knows.
func (e *Engine) Space() (free, least uint64, ok bool) {
	s, confined := e.store.(store.Confined)
	if !confined {
		return 0, 0, false
	}
	free, least, err := s.Space()
	return free, least, err == nil
}
