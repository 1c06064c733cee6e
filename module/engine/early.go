package engine

import (
	"container/list"
	"slices"
	"sync"
	"time"

	"github.com/caddy-callback/caddy-callback/module/callback"
)

const (
	// earlyFor is how long a call to the fixed URL waits at most for its callback: it may
	// have overtaken the ack that names its correlation id.
	earlyFor = 10 * time.Second
	// maxEarly bounds the calls that wait for their callback, for each key.
	maxEarly = 1000
)

// early has the requests whose ack is to name a correlation id and has not come yet, and
// the calls to the fixed URL that may have overtaken one of these acks. It knows the
// requests of this process alone: where several share a store, the store has to be asked.
type early struct {
	mu sync.Mutex
	// lines are the lines of the keys for which an ack is awaited.
	lines map[string]*line
	// wanted has the calls that wait for a callback with that alias.
	wanted map[callback.Digest]map[*earlyCall]bool
	// patient counts, for each key, the calls that wait for an ack at whichever node.
	patient map[string]int
	// issued is how many requests were numbered.
	issued uint64
}

// line has what waits for one key, each in the order in which it came.
type line struct {
	// awaited are the numbers of the requests whose ack is awaited.
	awaited list.List
	// calls are the places of the calls that wait for one of these acks.
	calls list.List
}

// place is where a call stands in a line: it waits for the acks of the requests up to
// the number last. Those that came after the call cannot be meant by it.
type place struct {
	call *earlyCall
	last uint64
}

// earlyCall is a call that waits.
type earlyCall struct {
	// woken is closed when a callback has got what the call means, or when no ack is
	// awaited any more that the call may have overtaken.
	woken chan struct{}
	// again yields, where an ack can come to another node, whenever a callback has got what
	// the call means; nil elsewhere.
	again chan struct{}
	meant []callback.Correlation
	// lines is the number of lines in which it still stands.
	lines int
	leave []func()
}

func newEarly() *early {
	return &early{lines: make(map[string]*line), wanted: make(map[callback.Digest]map[*earlyCall]bool), patient: make(map[string]int)}
}

// expect notes that an ack is awaited whose callback can be called with these keys, until
// came is called.
func (ea *early) expect(keys []string) (came func()) {
	ea.mu.Lock()
	defer ea.mu.Unlock()
	ea.issued++
	var remove []func()
	for _, key := range keys {
		l := ea.lines[key]
		if l == nil {
			l = new(line)
			ea.lines[key] = l
		}
		number := l.awaited.PushBack(ea.issued)
		remove = append(remove, func() {
			l.awaited.Remove(number)
			l.advance()
			if l.awaited.Len() == 0 {
				delete(ea.lines, key)
			}
		})
	}
	return sync.OnceFunc(func() {
		ea.mu.Lock()
		defer ea.mu.Unlock()
		for _, f := range remove {
			f()
		}
	})
}

// advance lets go the calls that wait for no ack of this line any more.
func (l *line) advance() {
	first := l.awaited.Front()
	for at := l.calls.Front(); at != nil; at = l.calls.Front() {
		p := at.Value.(place)
		if first != nil && first.Value.(uint64) <= p.last {
			return
		}
		l.calls.Remove(at)
		if p.call.lines--; p.call.lines == 0 {
			p.call.wake()
		}
	}
}

// wake tells the call, once, or each time if it waits again.
func (c *earlyCall) wake() {
	if c.again != nil {
		select {
		case c.again <- struct{}{}:
		default:
		}
		return
	}
	select {
	case <-c.woken:
	default:
		close(c.woken)
	}
}

// enter begins to wait for a callback that gets one of these from its ack, on behalf of
// the holder of these keys. It returns nil if no ack is awaited that can give one. leave
// must be called for the call that it returns.
func (ea *early) enter(keys []string, meant []callback.Correlation) (*earlyCall, error) {
	ea.mu.Lock()
	defer ea.mu.Unlock()
	c := &earlyCall{woken: make(chan struct{}), meant: meant}
	for _, key := range keys {
		l := ea.lines[key]
		if l == nil {
			continue
		}
		if l.calls.Len() >= maxEarly {
			ea.remove(c)
			return nil, ErrBusy
		}
		at := l.calls.PushBack(place{c, ea.issued})
		c.lines++
		c.leave = append(c.leave, func() { l.calls.Remove(at) })
	}
	if c.lines == 0 {
		return nil, nil
	}
	ea.want(c)
	return c, nil
}

// want notes what a call means. The lock must be held.
func (ea *early) want(c *earlyCall) {
	for _, m := range c.meant {
		if ea.wanted[m.ByAck] == nil {
			ea.wanted[m.ByAck] = make(map[*earlyCall]bool)
		}
		ea.wanted[m.ByAck][c] = true
	}
}

// enterAnyway is enter for a call that waits for an ack at whichever node.
func (ea *early) enterAnyway(keys []string, meant []callback.Correlation) (*earlyCall, error) {
	ea.mu.Lock()
	defer ea.mu.Unlock()
	c := &earlyCall{again: make(chan struct{}, 1), meant: meant}
	for _, key := range keys {
		if ea.patient[key] >= maxEarly {
			ea.remove(c)
			return nil, ErrBusy
		}
		ea.patient[key]++
		c.leave = append(c.leave, func() {
			if ea.patient[key]--; ea.patient[key] == 0 {
				delete(ea.patient, key)
			}
		})
	}
	ea.want(c)
	return c, nil
}

func (ea *early) leave(c *earlyCall) {
	ea.mu.Lock()
	defer ea.mu.Unlock()
	ea.remove(c)
}

// remove forgets a call. The caller has the lock.
func (ea *early) remove(c *earlyCall) {
	for _, leave := range c.leave {
		leave()
	}
	for _, m := range c.meant {
		delete(ea.wanted[m.ByAck], c)
		if len(ea.wanted[m.ByAck]) == 0 {
			delete(ea.wanted, m.ByAck)
		}
	}
}

// awaits reports whether an ack is awaited whose callback one of these keys can call.
func (ea *early) awaits(keys []string) bool {
	ea.mu.Lock()
	defer ea.mu.Unlock()
	return slices.ContainsFunc(keys, func(key string) bool { return ea.lines[key] != nil })
}

// tell wakes the calls that wait for one of the aliases.
func (ea *early) tell(aliases []callback.Digest) {
	ea.mu.Lock()
	defer ea.mu.Unlock()
	for _, alias := range aliases {
		for c := range ea.wanted[alias] {
			c.wake()
		}
	}
}
