package badger

import (
	"context"
	"testing"

	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/store"
)

func TestWhatWaitsIsRememberedOnlyAsItWasCommitted(t *testing.T) {
	s := openForTest(t, t.TempDir())
	p := testPolicy(t, s)
	r := create(t, s, p)
	if got := s.recent.record(r.ID); got != r {
		t.Fatalf("remembered is %v", got)
	}
	if got := s.recent.find(linkKey{store.KeyState, r.State}); got != r.ID {
		t.Fatalf("the state leads to %v", got)
	}
	if got := s.recent.find(linkKey{store.KeyTicket, r.State}); !got.IsZero() {
		t.Errorf("a ticket like the state leads to %v", got)
	}

	blocked, release := blockFirstCommit(s)
	commit, err := closeRecord(s, p, r.ID)
	if err != nil {
		t.Fatal(err)
	}
	<-blocked
	if got := s.recent.record(r.ID); got != r {
		t.Errorf("before the commit remembered is %v", got)
	}
	close(release)
	if err := store.Wait(context.Background(), commit); err != nil {
		t.Fatal(err)
	}
	if got := s.recent.record(r.ID); got != nil {
		t.Errorf("what waits no longer is remembered as %v", got)
	}
	if got, _, err := s.Find(context.Background(), store.ByState(callback.UUID{})); err == nil {
		t.Errorf("a state that nobody has leads to %v", got)
	}
}

func TestNoMoreIsRememberedThanThereIsRoomFor(t *testing.T) {
	s := openForTest(t, t.TempDir())
	p := testPolicy(t, s)
	r := newRecent()
	const most = 2 * recentGeneration * shardCount
	for range 2 * most {
		record := newRecord(s, p)
		r.put(record.ID, record)
		if r.record(record.ID) != record {
			t.Fatal("what was put in last is not there")
		}
	}
	records, states := 0, 0
	for i := range r.shards {
		s := &r.shards[i]
		records += len(s.young.byID) + len(s.old.byID)
		states += len(s.young.byState) + len(s.old.byState)
	}
	if records > most || states > most || records < most/4 || states < most/4 {
		t.Errorf("%d records and %d states are remembered, and %d are the most", records, states, most)
	}
}
