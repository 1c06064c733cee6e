package badger

import (
	"sync"

	"go.uber.org/zap"

	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/store"
)

// maxBatchBytes bounds one transaction, well below what Badger takes at once.
const maxBatchBytes = 1 << 20

// group is a set of callbacks that are committed together: with one transaction
// and one fsync, unless they are too many for that. It is the store.Commit of
// every decision in it.
type group struct {
	done    chan struct{}
	err     error
	entries []*entry
}

func newGroup() *group { return &group{done: make(chan struct{})} }

// Done implements store.Commit.
func (g *group) Done() <-chan struct{} { return g.done }

// Err implements store.Commit.
func (g *group) Err() error { return g.err }

// committer writes decisions to the database, in order. While one group is being
// written the next gathers, so the cost of an fsync is shared by whatever
// arrives during it.
type committer struct {
	s *Store

	mu sync.Mutex
	// gathering is the group that takes what is decided at this time.
	gathering *group
	// refusal is why nothing is taken, nil if all is well.
	refusal error

	kick    chan struct{}
	stop    chan struct{}
	stopped chan struct{}
}

func newCommitter(s *Store) *committer {
	return &committer{
		s:         s,
		gathering: newGroup(),
		kick:      make(chan struct{}, 1),
		stop:      make(chan struct{}),
		stopped:   make(chan struct{}),
	}
}

// add puts an entry, whose lock is held, into the gathering group. The caller
// sets the entry's record before it unlocks it.
func (c *committer) add(e *entry) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.refusal != nil {
		return c.refusal
	}
	if e.group == c.gathering {
		return nil
	}
	c.s.overlay.retain(e)
	e.group = c.gathering
	c.gathering.entries = append(c.gathering.entries, e)
	if len(c.gathering.entries) == 1 {
		select {
		case c.kick <- struct{}{}:
		default:
		}
	}
	return nil
}

// refuse makes add return err, or take entries again if err is nil.
func (c *committer) refuse(err error) {
	c.mu.Lock()
	c.refusal = err
	c.mu.Unlock()
}

// take returns the gathering group and begins another.
func (c *committer) take() *group {
	c.mu.Lock()
	defer c.mu.Unlock()
	g := c.gathering
	c.gathering = newGroup()
	return g
}

// run commits group after group until it is stopped, and then what is left.
func (c *committer) run() {
	defer close(c.stopped)
	for {
		select {
		case <-c.kick:
			c.commit(c.take())
		case <-c.stop:
			c.commit(c.take())
			return
		}
	}
}

// end refuses new decisions, commits the rest and ends run.
func (c *committer) end() {
	c.refuse(store.ErrClosed)
	close(c.stop)
	<-c.stopped
}

// commit writes a group and tells everybody who waits for it.
func (c *committer) commit(g *group) {
	if len(g.entries) == 0 {
		return
	}
	if c.s.space.exhausted() {
		c.abandon(g, store.ErrFull)
		return
	}
	all := snapshot(g)
	if err := c.s.write(func() error { return c.write(all) }); err != nil {
		c.abandon(g, err)
		return
	}
	for _, w := range all {
		c.s.settle(w, g)
	}
	close(g.done)
}

// written is a callback as it was written: what its entry held at that time.
type written struct {
	entry  *entry
	before *callback.Record
	after  *callback.Record
}

// snapshot takes the newest record of every callback in the group: of one that was
// decided on twice only the last is written. It must not be called with the
// database's lock held, for which a decision may wait with its callback's lock held.
func snapshot(g *group) []written {
	all := make([]written, len(g.entries))
	for i, e := range g.entries {
		e.mu.Lock()
		all[i] = written{entry: e, before: e.stored, after: e.record}
		e.mu.Unlock()
	}
	return all
}

// write puts records into the database.
func (c *committer) write(all []written) error {
	b := c.s.newBatch()
	defer b.discard()
	for _, w := range all {
		if w.before == w.after {
			continue
		}
		if err := b.put(w.before, w.after); err != nil {
			return err
		}
	}
	return b.commit()
}

// abandon gives up a group and the one that gathered meanwhile, whose decisions
// may rest on it.
func (c *committer) abandon(g *group, err error) {
	next := c.take()
	for _, lost := range []*group{g, next} {
		for _, e := range lost.entries {
			e.mu.Lock()
			// A callback that was decided on once more since then is written
			// whole with a later group, and stays.
			if e.group == g || e.group == next {
				c.s.forget(e)
			}
			e.mu.Unlock()
			c.s.overlay.release(e)
		}
		lost.err = err
		close(lost.done)
	}
	c.s.log.Error("decisions could not be committed and were dropped",
		zap.Error(err), zap.Int("callbacks", len(g.entries)+len(next.entries)))
}
