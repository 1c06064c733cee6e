package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/store"
	"github.com/caddy-callback/caddy-callback/module/store/storetest"
)

// history returns what a node tells of a callback, as words.
func (b *bed) history(t *testing.T, id callback.UUID) (kinds []string) {
	t.Helper()
	cb, err := b.FindCommitted(t.Context(), store.ByID(id))
	if err != nil {
		t.Fatal(err)
	}
	for _, h := range b.History(cb) {
		kinds = append(kinds, h.Kind.String())
	}
	return kinds
}

// stored returns what the record of a callback tells.
func (b *bed) stored(t *testing.T, id callback.UUID) (kinds []string) {
	t.Helper()
	r, _, err := b.Engine.store.Find(t.Context(), store.ByID(id))
	if err != nil {
		t.Fatal(err)
	}
	for _, h := range r.Happenings(nil) {
		kinds = append(kinds, h.Kind.String())
	}
	return kinds
}

func wantKinds(t *testing.T, when string, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s: got %q, want %q", when, got, want)
	}
}

func TestNextWriteTakesAlongWhatWasNoted(t *testing.T) {
	b := newBed(t, plenty, callback.Policy{})
	cb := b.create(t)
	b.pass(time.Second)
	b.Remember(cb.ID, callback.Happening{Kind: callback.HappenedSent})
	b.pass(time.Second)
	b.Remember(cb.ID, callback.Happening{Kind: callback.HappenedAcked, Status: 202})
	wantKinds(t, "before the call", b.history(t, cb.ID), "created", "sent", "acked")
	wantKinds(t, "before the call, in the store", b.stored(t, cb.ID), "created")
	b.call(t, cb, "paid")
	for range 2 {
		wantKinds(t, "after the call", b.history(t, cb.ID), "created", "sent", "acked", "called", "resolved")
		wantKinds(t, "after the call, in the store", b.stored(t, cb.ID), "created", "sent", "acked", "called", "resolved")
		if n := len(b.notes.shard(cb.ID).of); n != 0 {
			t.Errorf("%d notes are left", n)
		}
	}
	b.Remember(cb.ID, callback.Happening{Kind: callback.HappenedRefused, Status: 409, Reason: "already-resolved"})
	wantKinds(t, "after another call", b.history(t, cb.ID), "created", "sent", "acked", "called", "resolved", "refused")
	if err := b.Purge(t.Context(), store.ByID(cb.ID), "test"); err != nil {
		t.Fatal(err)
	}
	if n := len(b.notes.shard(cb.ID).of); n != 0 {
		t.Errorf("%d notes are left of what was removed", n)
	}
}

func TestNotesOutlastAWriteThatFails(t *testing.T) {
	b := newBed(t, plenty, callback.Policy{})
	cb := b.create(t)
	b.Remember(cb.ID, callback.Happening{Kind: callback.HappenedSent})
	b.store.full.Store(true)
	if _, err := b.CloseCallback(t.Context(), store.ByID(cb.ID), "test", "ops"); !errors.Is(err, store.ErrFull) {
		t.Fatal(err)
	}
	b.store.full.Store(false)
	if _, err := b.CloseCallback(t.Context(), store.ByID(cb.ID), "test", "ops"); err != nil {
		t.Fatal(err)
	}
	wantKinds(t, "in the store", b.stored(t, cb.ID), "created", "sent", "closed")
}

// Each node tells what it has seen itself, and the record has what was written by any.
func TestNodesMergeWhatEachHasSeen(t *testing.T) {
	membersWith(t, 2, callback.Policy{Multiple: true}, func(t *testing.T, _ *storetest.Memory, nodes []member) {
		cb := nodes[0].create(t)
		nodes[0].Remember(cb.ID, callback.Happening{Kind: callback.HappenedSent})
		time.Sleep(time.Second)
		nodes[1].Remember(cb.ID, callback.Happening{Kind: callback.HappenedRefused, Status: 401})
		wantKinds(t, "at the first node", nodes[0].history(t, cb.ID), "created", "sent")
		wantKinds(t, "at the second node", nodes[1].history(t, cb.ID), "created", "refused")
		time.Sleep(time.Second)
		nodes[1].call(t, cb, "a")
		wantKinds(t, "at the first node, after a call", nodes[0].history(t, cb.ID), "created", "sent", "refused", "called", "resolved")
		wantKinds(t, "at the second node, after a call", nodes[1].history(t, cb.ID), "created", "refused", "called", "resolved")
		time.Sleep(time.Second)
		nodes[0].call(t, cb, "b")
		want := []string{"created", "sent", "refused", "called", "resolved", "called", "resolved"}
		wantKinds(t, "after a call at both", nodes[0].history(t, cb.ID), want...)
		wantKinds(t, "after a call at both", nodes[1].history(t, cb.ID), want...)
	})
}

func TestNotesAreFinite(t *testing.T) {
	b := newBed(t, plenty, callback.Policy{})
	first := callback.NewUUID()
	for i := range 100 {
		b.Remember(first, callback.Happening{Kind: callback.HappenedRefused, Status: 400 + i})
	}
	if n := b.notes.seen(first).Len(); n != maxNotesEach {
		t.Errorf("of one callback, %d are kept", n)
	}
	for range 2 * maxNoted {
		b.Remember(callback.NewUUID(), callback.Happening{Kind: callback.HappenedSent})
	}
	kept := 0
	for i := range b.notes.shards {
		s := &b.notes.shards[i]
		kept += len(s.of)
		linked := 0
		for at := s.head.next; at != &s.head; at = at.next {
			linked++
		}
		if linked != len(s.of) {
			t.Errorf("%d are linked, %d are found", linked, len(s.of))
		}
	}
	if kept != maxNoted || b.notes.seen(first) != nil {
		t.Errorf("of %d callbacks something is kept, and of the first: %v", kept, b.notes.seen(first) != nil)
	}
}

// What is noted while a decision is made is kept, and nothing of it is told twice.
func TestNothingThatIsNotedGetsLostBetweenWrites(t *testing.T) {
	b := newBed(t, plenty, callback.Policy{Multiple: true})
	cb := b.create(t)
	b.call(t, cb, "first")
	var done sync.WaitGroup
	for i := range maxNotesEach {
		done.Go(func() {
			b.Remember(cb.ID, callback.Happening{Kind: callback.HappenedCorrelated, Reason: fmt.Sprint(i)})
			if i%3 == 0 {
				_, _ = b.tryCall(context.Background(), cb, fmt.Sprint(i))
			}
		})
	}
	done.Wait()
	seen := make(map[string]int)
	all, err := b.FindCommitted(t.Context(), store.ByID(cb.ID))
	if err != nil {
		t.Fatal(err)
	}
	for _, h := range b.History(all) {
		if h.Kind == callback.HappenedCorrelated {
			seen[h.Reason]++
		}
	}
	for i := range maxNotesEach {
		if n := seen[fmt.Sprint(i)]; n != 1 {
			t.Errorf("number %d is told %d times", i, n)
		}
	}
}
