package badger

import (
	"context"
	"slices"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/store"
)

// maxBatchBytes bounds one transaction, well below what Badger takes at once.
const maxBatchBytes = 1 << 20

// group is a set of callbacks that are committed together: with one transaction
// and one fsync, unless they are too many for that. It is the store.Commit of
// every decision in it. It has exactly the decisions that were made while it
// gathered, so that what is committed is as things were at one moment.
type group struct {
	committer *committer
	done      chan struct{}
	err       error
	writes    []*written
	// began is when the first decision came. hurried says that somebody waits. The
	// committer's lock guards both.
	began   time.Time
	hurried bool
}

// written is what a group makes of one callback: of several decisions only the last
// is written.
type written struct {
	entry *entry
	// before is what the database has, after what it is to have. The entry's lock
	// guards both until they are being written.
	before, after *callback.Record
	// links lists the keys that the decisions have set or removed.
	links []linkKey
}

// pace is how long a group gathers that nobody waits for. It is little to a partner
// that waits for its reply, and enough to spare a disk most of its fsyncs; a callback
// that comes this soon is written together with the request that it answers.
const pace = 5 * time.Millisecond

// maxLeisure is how many callbacks a group takes before it is committed in any case.
const maxLeisure = 256

func (c *committer) newGroup() *group { return &group{committer: c, done: make(chan struct{})} }

// Done implements store.Commit.
func (g *group) Done() <-chan struct{} { return g.done }

// Err implements store.Commit.
func (g *group) Err() error { return g.err }

// Hurry implements store.Commit.
func (g *group) Hurry() {
	c := g.committer
	c.mu.Lock()
	first := !g.hurried
	g.hurried = true
	c.mu.Unlock()
	if first {
		c.wake()
	}
}

// committer writes decisions to the database, in order. While one group is being
// written the next gathers, so the cost of an fsync is shared by whatever
// arrives during it.
type committer struct {
	s *Store

	mu sync.Mutex
	// gathering is the group that takes what is decided at this time.
	gathering *group
	// sealed are the groups that take nothing more and come before it, the oldest
	// first.
	sealed []*group
	// newest is the last group that has taken anything, nil if none has.
	newest *group
	// refusal is why nothing is taken, nil if all is well; dropping is so while
	// decisions are dropped, for none may rest on those.
	refusal, dropping error

	// pace is how long a group gathers that nobody waits for.
	pace time.Duration

	kick    chan struct{}
	stop    chan struct{}
	stopped chan struct{}
}

func newCommitter(s *Store) *committer {
	c := &committer{
		s:       s,
		pace:    pace,
		kick:    make(chan struct{}, 1),
		stop:    make(chan struct{}),
		stopped: make(chan struct{}),
	}
	c.gathering = c.newGroup()
	return c
}

// wake lets run look at what there is to do.
func (c *committer) wake() {
	select {
	case c.kick <- struct{}{}:
	default:
	}
}

// add puts an entry, whose lock is held, into the gathering group, which becomes one
// that is committed after those given: where one callback gets what another gave up,
// a crash between the two must find it free, and not twice. The caller sets the
// records of entry and group before it unlocks the entry.
func (c *committer) add(e *entry, after []*group) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.refusal != nil:
		return c.refusal
	case c.dropping != nil:
		return c.dropping
	}
	if slices.Contains(after, c.gathering) {
		c.sealed = append(c.sealed, c.gathering)
		c.gathering = c.newGroup()
		c.wake()
	}
	if e.group == c.gathering {
		return nil
	}
	c.s.overlay.retain(e)
	e.group = c.gathering
	e.pending = &written{entry: e}
	c.gathering.writes = append(c.gathering.writes, e.pending)
	switch len(c.gathering.writes) {
	case 1:
		c.gathering.began = time.Now()
		c.newest = c.gathering
		c.wake()
	case maxLeisure:
		c.wake()
	}
	return nil
}

// flush waits until what was decided before is committed, or has been dropped.
func (c *committer) flush(ctx context.Context) error {
	c.mu.Lock()
	g := c.newest
	c.mu.Unlock()
	if g == nil {
		return nil
	}
	if err := store.Wait(ctx, g); ctx.Err() != nil {
		return err
	}
	return nil
}

// refuse makes add return err, or take entries again if err is nil.
func (c *committer) refuse(err error) {
	c.mu.Lock()
	c.refusal = err
	c.mu.Unlock()
}

// take returns the oldest group that is to be committed. It returns nil if there is
// none, and then how long it is until there is one, 0 if nothing gathers. At the end
// nothing gathers any longer.
func (c *committer) take(ending bool) (*group, time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.sealed) > 0 {
		g := c.sealed[0]
		c.sealed = c.sealed[1:]
		return g, 0
	}
	g := c.gathering
	if len(g.writes) == 0 {
		return nil, 0
	}
	if !g.hurried && !ending && len(g.writes) < maxLeisure {
		if left := c.pace - time.Since(g.began); left > 0 {
			return nil, left
		}
	}
	c.gathering = c.newGroup()
	return g, 0
}

// run commits group after group until it is stopped, and then what is left.
func (c *committer) run() {
	defer close(c.stopped)
	leisure := time.NewTimer(pace)
	defer leisure.Stop()
	for {
		if left := c.commitAll(false); left > 0 {
			leisure.Reset(left)
		}
		select {
		case <-c.kick:
		case <-leisure.C:
		case <-c.stop:
			c.commitAll(true)
			return
		}
	}
}

// commitAll commits what is to be committed, and returns how long it is until more
// is, 0 if nothing gathers.
func (c *committer) commitAll(ending bool) time.Duration {
	for {
		g, left := c.take(ending)
		if g == nil {
			return left
		}
		c.commit(g)
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
	if c.s.space.exhausted() {
		c.abandon(g, store.ErrFull)
		return
	}
	complete(g)
	began := time.Now()
	if err := c.s.write(func() error { return c.write(g) }); err != nil {
		c.abandon(g, err)
		return
	}
	c.s.commits.add(len(g.writes), time.Since(began))
	for _, w := range g.writes {
		c.s.settle(w, g)
	}
	close(g.done)
}

// complete waits for the last decisions of a group that gathers no longer, and notes
// what they follow. It must not be called with the database's lock held, for which a
// decision may wait with its callback's lock held.
func complete(g *group) {
	for _, w := range g.writes {
		w.entry.mu.Lock()
		w.before = w.entry.stored
		w.entry.mu.Unlock()
	}
}

// write puts a group's records into the database.
func (c *committer) write(g *group) error {
	if err := hitCommit(g, beforeCommit); err != nil {
		return err
	}
	b := c.s.newBatch()
	defer b.discard()
	for _, w := range g.writes {
		if w.before == w.after {
			continue
		}
		if err := b.put(w.before, w.after); err != nil {
			return err
		}
	}
	if err := b.commit(); err != nil {
		return err
	}
	return hitCommit(g, afterCommit)
}

// abandon gives up a group and all that gathered meanwhile, whose decisions may
// rest on it.
func (c *committer) abandon(g *group, err error) {
	lost := append([]*group{g}, c.drop(err)...)
	callbacks := 0
	for _, g := range lost {
		callbacks += len(g.writes)
		for _, w := range g.writes {
			w.entry.mu.Lock()
			c.s.forget(w.entry)
			w.entry.mu.Unlock()
			c.s.overlay.unlink(w.links, g)
			c.s.overlay.release(w.entry)
		}
	}
	c.mu.Lock()
	c.dropping = nil
	c.mu.Unlock()
	for _, g := range lost {
		g.err = err
		close(g.done)
	}
	c.s.log.Error("decisions could not be committed and were dropped", zap.Error(err), zap.Int("callbacks", callbacks))
}

// drop returns all groups that are not committed, and refuses further decisions
// with err until they are gone.
func (c *committer) drop(err error) []*group {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.dropping = err
	groups := append(c.sealed, c.gathering)
	c.sealed, c.gathering = nil, c.newGroup()
	return groups
}
