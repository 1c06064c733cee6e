package badger

import (
	"context"
	"runtime"
	"slices"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/store"
)

// maxBatchBytes limits the size of one transaction, well below Badger's own limit.
const maxBatchBytes = 1 << 20

// group is a set of callbacks that are committed together: with one transaction and
// one fsync, unless they are too many for that. It is the store.Commit of every
// decision in it. It holds exactly the decisions that were made while it gathered, save
// those creations that are left to rest, so that each commit is a state that existed at one
// moment or could have.
type group struct {
	committer *committer
	done      chan struct{}
	err       error
	writes    []*written
	// began is when the first decision was added. hurried says that somebody waits
	// for the commit. The committer's lock guards both.
	began   time.Time
	hurried bool
}

// left returns how long the group gathers on, at most for pace and until it has so many
// writes, and whether it gathers anything.
func (g *group) left(pace time.Duration, most int) (left time.Duration, gathers bool) {
	switch {
	case g.began.IsZero():
		return 0, false
	case g.hurried, len(g.writes) >= most:
		return 0, true
	}
	return max(0, pace-time.Since(g.began)), true
}

// join makes an entry, whose lock is held, one of the group.
func (g *group) join(e *entry) {
	e.group, e.pending = g, &written{entry: e, place: len(g.writes)}
	g.writes = append(g.writes, e.pending)
	if g.began.IsZero() {
		g.began = time.Now()
	}
}

// part takes a write out of the group.
func (g *group) part(w *written) {
	last := len(g.writes) - 1
	g.writes[w.place] = g.writes[last]
	g.writes[w.place].place = w.place
	g.writes[last] = nil
	g.writes = g.writes[:last]
}

// written is what a group writes about one callback: of several decisions only the
// last.
type written struct {
	entry *entry
	// before is the record in the database, after the one to write. The entry's lock
	// guards both until they are being written.
	before, after *callback.Record
	// links lists the keys that the decisions have set or removed.
	links []linkKey
	// place is where it is in its group.
	place int
}

// pace is how long a group gathers if nobody waits for it: long enough to save a disk most
// of its fsyncs.
const pace = 5 * time.Millisecond

// maxLeisure is the number of callbacks at which a group is committed although nobody
// waits for it.
const maxLeisure = 256

// rest is how long a creation waits for its call if nobody waits for it. A call that comes
// within this time is written in its place. maxResting is how many creations rest at most.
const (
	rest       = 25 * time.Millisecond
	maxResting = 4096
)

// yields is how often the committer lets all others run before it takes a group: whoever is
// about to decide joins it. It costs nothing while nobody else runs.
const yields = 5

func (c *committer) newGroup() *group { return &group{committer: c, done: make(chan struct{})} }

// end tells those who wait. They may keep the group for long, but not what was written with
// it.
func (g *group) end(err error) {
	g.writes, g.err = nil, err
	close(g.done)
}

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
// written the next gathers, so all decisions that arrive during an fsync share the
// next one.
type committer struct {
	s *Store

	mu sync.Mutex
	// gathering is the group that decisions are added to, and resting the one for creations
	// that nothing depends on. It is committed after gathering, so that a creation that has
	// left it for its call is committed when it is.
	gathering, resting *group
	// sealed are the groups that are complete and must be committed before gathering,
	// the oldest first.
	sealed []*group
	// newest is the last group, save the resting one, that a decision was added to, nil if
	// there is none.
	newest *group
	// refusal is why decisions are refused, nil if they are accepted. dropping is the
	// same while a failed group is being dropped: no decision may be based on it.
	refusal, dropping error

	// pace and rest replace the constants of these names in tests.
	pace, rest time.Duration

	kick    chan struct{}
	stop    chan struct{}
	stopped chan struct{}
}

func newCommitter(s *Store) *committer {
	c := &committer{
		s:       s,
		pace:    pace,
		rest:    rest,
		kick:    make(chan struct{}, 1),
		stop:    make(chan struct{}),
		stopped: make(chan struct{}),
	}
	c.gathering, c.resting = c.newGroup(), c.newGroup()
	return c
}

// wake makes run check whether there is a group to commit.
func (c *committer) wake() {
	select {
	case c.kick <- struct{}{}:
	default:
	}
}

// add adds an entry, whose lock is held, to the gathering group, or to the resting one. If the
// gathering group is among those in after, it is sealed and a new one begun, so that the entry
// is committed later: when one callback gets an alias that another gave up, a crash
// between the two commits must leave the alias free, not with both. The caller sets
// the records of entry and group before it unlocks the entry.
func (c *committer) add(e *entry, after []*group, rests bool) error {
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
	switch {
	case e.group == c.gathering:
	case e.group == c.resting:
		c.resting.part(e.pending)
		links := e.pending.links
		c.join(e, c.gathering)
		c.s.overlay.relink(e, links, true)
	case rests:
		c.s.overlay.retain(e)
		c.join(e, c.resting)
	default:
		c.s.overlay.retain(e)
		c.join(e, c.gathering)
	}
	return nil
}

// join adds an entry to one of the two groups.
func (c *committer) join(e *entry, g *group) {
	g.join(e)
	if g == c.gathering {
		c.newest = g
	}
	if n := len(g.writes); n == 1 || n == maxLeisure || n == maxResting {
		c.wake()
	}
}

// flush waits until the decisions made before it are committed or dropped.
func (c *committer) flush(ctx context.Context) error {
	c.mu.Lock()
	g := c.newest
	if len(c.resting.writes) > 0 {
		g = c.resting
	}
	c.mu.Unlock()
	if g == nil {
		return nil
	}
	if err := store.Wait(ctx, g); ctx.Err() != nil {
		return err
	}
	return nil
}

// refuse makes add return err, or accept entries again if err is nil.
func (c *committer) refuse(err error) {
	c.mu.Lock()
	c.refusal = err
	c.mu.Unlock()
}

// take returns the oldest group that is due for its commit. If there is none it
// returns nil and how long it is until the next is due, 0 if nothing gathers. With
// ending set, a group is due at once.
func (c *committer) take(ending bool) (*group, time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	left, gathers := c.gathering.left(c.pace, maxLeisure)
	resting, rests := c.resting.left(c.rest, maxResting)
	if rests && (resting == 0 || ending) {
		if gathers {
			c.sealed = append(c.sealed, c.gathering)
		}
		c.sealed = append(c.sealed, c.resting)
		c.gathering, c.resting = c.newGroup(), c.newGroup()
	}
	switch {
	case len(c.sealed) > 0:
		g := c.sealed[0]
		c.sealed = c.sealed[1:]
		return g, 0
	case gathers && (left == 0 || ending):
		g := c.gathering
		c.gathering = c.newGroup()
		return g, 0
	case gathers && rests:
		return nil, min(left, resting)
	}
	return nil, left + resting
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

// commitAll commits every group that is due, and returns how long it is until the
// next is, 0 if nothing gathers.
func (c *committer) commitAll(ending bool) time.Duration {
	for {
		for range yields {
			runtime.Gosched()
		}
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

// commit writes a group and wakes everybody who waits for it.
func (c *committer) commit(g *group) {
	if len(g.writes) == 0 {
		g.end(nil)
		return
	}
	if c.s.space.exhausted() {
		c.abandon(g, store.ErrFull, c.s.bodies.removeAll)
		return
	}
	complete(g)
	began := time.Now()
	if err := c.s.write(func() error { return c.write(g) }); err != nil {
		// The group may have been stored all the same, and its bodies with it.
		c.abandon(g, err, c.s.bodies.fresh.doubt)
		return
	}
	c.s.commits.add(len(g.writes), time.Since(began))
	for _, w := range g.writes {
		c.s.settle(w, g)
	}
	g.end(nil)
}

// complete waits until the last decisions of a group are in place, and sets the
// records that they replace. It must not be called with the database's lock held: a
// decision that holds its callback's lock may be waiting for it.
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

// abandon drops a group and all later ones, whose decisions may be based on it. dispose
// is given the body files that only these decisions refer to.
func (c *committer) abandon(g *group, err error, dispose func(files []string)) {
	lost := append([]*group{g}, c.drop(err)...)
	callbacks := 0
	for _, g := range lost {
		callbacks += len(g.writes)
		for _, w := range g.writes {
			w.entry.mu.Lock()
			files := c.s.forget(w.entry)
			w.entry.mu.Unlock()
			dispose(files)
			c.s.overlay.unlink(w.links, g)
			c.s.overlay.release(w.entry)
		}
	}
	c.mu.Lock()
	c.dropping = nil
	c.mu.Unlock()
	for _, g := range lost {
		g.end(err)
	}
	c.s.outages.commits.Failed(causeOf(err), callbacks, zap.Int("callbacks", callbacks))
}

// drop takes all remaining groups, and refuses further decisions with err until
// abandon has dropped them.
func (c *committer) drop(err error) []*group {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.dropping = err
	groups := append(c.sealed, c.gathering, c.resting)
	c.sealed, c.gathering, c.resting = nil, c.newGroup(), c.newGroup()
	return groups
}
