package postgres

import (
	"errors"
	"testing"
	"time"

	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/store"
)

// together hands writes over in one moment, so that they are one batch.
func (l *lane) together(writes ...*write) {
	l.mu.Lock()
	l.pending = append(l.pending, writes...)
	l.mu.Unlock()
	l.poke()
}

// decide returns the write of a decision, which is not handed over.
func (n *nodes) decide(s *Store, id callback.UUID, decide store.Decide) *write {
	n.Helper()
	f, err := s.find(n.Context(), store.ByID(id))
	if err != nil {
		n.Fatal(err)
	}
	c, err := decide(f.record)
	if err != nil {
		n.Fatal(err)
	}
	w, err := s.writeOf(f, c.Next)
	if err != nil {
		n.Fatal(err)
	}
	return w
}

// What a node that hangs has locked must not hold up all that others decide.
func TestDecisionsDoNotFailWithTheOneThatIsLocked(t *testing.T) {
	t.Parallel()
	n := newPatientNodes(t, time.Minute)
	locked, free := n.create(n.one, nil), n.create(n.one, nil)
	n.hang(`SELECT 1 FROM @callbacks WHERE id = $1 FOR UPDATE`, [16]byte(locked.ID))
	one, two := n.decide(n.one, locked.ID, add("a")), n.decide(n.one, free.ID, add("a"))
	n.one.lane.together(one, two)
	if err := <-two.done; err != nil {
		t.Errorf("the other decision: %v", err)
	}
	if err := <-one.done; !errors.Is(err, store.ErrFailed) {
		t.Errorf("the one that is locked: %v", err)
	}
}

// A node that has joined again, while the outcome of its last batch was not known, is one node.
func TestNodeJoinsAgainOnce(t *testing.T) {
	t.Parallel()
	n := newPatientNodes(t, time.Minute)
	r := n.create(n.two, nil)
	w := n.decide(n.two, r.ID, add("a"))
	// Nothing else may use the lane.
	n.two.lane.close()
	<-n.two.lane.ended
	l := n.two.lane
	b := newBatch([]*write{w})
	l.doubtful = b
	was := n.two.Node()
	if err := n.one.leave(t.Context(), was); err != nil {
		t.Fatal(err)
	}
	if err := n.two.join(t.Context(), was); err != nil {
		t.Fatal(err)
	}
	again := n.two.Node()
	l.commitBatch(b)
	if err := <-w.done; !errors.Is(err, store.ErrFailed) || n.two.Node() != again {
		t.Errorf("it was %d and then %d, is %d now: %v", was, again, n.two.Node(), err)
	}
	if l.conn != nil {
		l.disconnect()
	}
}

// A batch of the largest records would not be over in its time on a slow line, and the next one
// neither.
func TestBatchIsBoundedByItsBytes(t *testing.T) {
	l := newLane(nil)
	for range 3 {
		l.pending = append(l.pending, &write{id: callback.NewUUID(), bytes: maxBatchBytes/2 + 1})
	}
	l.pending = append(l.pending, &write{id: callback.NewUUID(), bytes: 10 * maxBatchBytes}, &write{id: callback.NewUUID()})
	for turn, want := range []int{2, 1, 1, 1} {
		if writes, _ := l.take(); len(writes) != want {
			t.Errorf("%d writes are in batch %d, want %d", len(writes), turn, want)
		}
	}
}

// A batch for which nobody waits any more is not sent, and says nothing of what waits.
func TestBatchThatNobodyWaitsForLeavesTheCount(t *testing.T) {
	t.Parallel()
	s := mustOpen(t, testOptions(t))
	defer s.Close()
	if _, err := s.Create(t.Context(), callback.New(s.Secret(), &callback.Policy{}, callback.Spec{ExpiresIn: time.Minute}, 1)); err != nil {
		t.Fatal(err)
	}
	s.lane.close()
	<-s.lane.ended
	s.lane.commitBatch(newBatch([]*write{{abandoned: true}}))
	if n := s.Waiting(); n != 1 {
		t.Errorf("%d callbacks wait, want 1", n)
	}
	s.lane.disconnect()
}
