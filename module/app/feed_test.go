package app

import (
	"errors"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/engine"
)

// listen returns a listener that is stopped with the test.
func listen(t *testing.T, f *Feed, after string) *Listener {
	t.Helper()
	l, err := f.Listen(after)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.Stop)
	return l
}

// tellMany tells of changes, whose correlation ids are the numbers from first to last.
func tellMany(f *Feed, first, last int) {
	for n := first; n <= last; n++ {
		f.observe(engine.Created, &callback.Record{CorrelationID: strconv.Itoa(n), Phase: callback.Waiting}, false)
	}
}

// wantHeard takes what a listener hears, and checks that it is the changes from first to last,
// after so many that were lost. It returns the id of the last.
func wantHeard(t *testing.T, l *Listener, lost bool, missing uint64, first, last int) string {
	t.Helper()
	next, id := first, ""
	for h := l.Take(make([]Change, 100)); ; h = l.Take(make([]Change, 100)) {
		if h.Lost != (lost && next == first) || h.Lost && h.Missing != missing {
			t.Fatalf("at %d: lost is %t, missing %d; want %t, %d", next, h.Lost, h.Missing, lost, missing)
		}
		id = h.Last()
		if len(h.Changes) == 0 {
			break
		}
		for i, c := range h.Changes {
			if c.CorrelationID != strconv.Itoa(next) || c.What != "created" || c.Phase != callback.Waiting || c.At == 0 {
				t.Fatalf("heard %+v, want %d", c, next)
			}
			if at, known := l.feed.position(h.ID(i)); !known || at != h.first+uint64(i) {
				t.Fatalf("the id of %d is that of %d", next, at)
			}
			next++
		}
	}
	if next != last+1 {
		t.Fatalf("heard all before %d, want all to %d", next, last)
	}
	return id
}

func TestListenerHearsEveryChangeInOrder(t *testing.T) {
	t.Parallel()
	f := NewFeed()
	defer f.close()
	tellMany(f, 1, 10)
	early := listen(t, f, "")
	wantHeard(t, early, false, 0, 11, 10)
	tellMany(f, 11, 500)
	late := listen(t, f, "")
	tellMany(f, 501, 600)
	wantHeard(t, early, false, 0, 11, 600)
	wantHeard(t, late, false, 0, 501, 600)
	select {
	case <-early.C:
	default:
		t.Error("the listener was not told that there is something to hear")
	}
}

func TestSlowListenerIsToldHowMuchItHasLost(t *testing.T) {
	t.Parallel()
	f := NewFeed()
	defer f.close()
	l, other := listen(t, f, ""), listen(t, f, "")
	tellMany(f, 1, 50)
	id := wantHeard(t, other, false, 0, 1, 50)
	tellMany(f, 51, mostChanges+70)
	wantHeard(t, l, true, 70, 71, mostChanges+70)
	wantHeard(t, other, true, 20, 71, mostChanges+70)
	// Who comes back is told the same, though it was not here.
	wantHeard(t, listen(t, f, id), true, 20, 71, mostChanges+70)
	f.lose()
	wantHeard(t, l, true, 0, mostChanges+71, mostChanges+70)
}

func TestListenerComesBackToWhereItWas(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := NewFeed()
		defer f.close()
		l, err := f.Listen("")
		if err != nil {
			t.Fatal(err)
		}
		tellMany(f, 1, 3)
		id := wantHeard(t, l, false, 0, 1, 3)
		l.Stop()
		tellMany(f, 4, 5)
		time.Sleep(lingers - time.Second)
		back := listen(t, f, id)
		select {
		case <-back.C:
		default:
			t.Error("who comes back is not told that there may be something")
		}
		tellMany(f, 6, 6)
		id = wantHeard(t, back, false, 0, 4, 6)
		for _, unknown := range []string{"x", id + "A", id[1:] + id[:1], "=" + id, "0"} {
			wantHeard(t, listen(t, f, unknown), true, 0, 7, 6)
		}
		future := idOf(f.era, 1000)
		wantHeard(t, listen(t, f, future), true, 0, 7, 6)
	})
}

func TestNothingIsKeptWhileNobodyListens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := NewFeed()
		r := &callback.Record{CorrelationID: "order", Name: "orders", Phase: callback.Waiting}
		if n := testing.AllocsPerRun(100, func() { f.observe(engine.Created, r, false) }); n != 0 || f.ring != nil {
			t.Errorf("a change costs %v allocations while nobody listens", n)
		}
		l, err := f.Listen("")
		if err != nil {
			t.Fatal(err)
		}
		tellMany(f, 1, 2)
		id := wantHeard(t, l, false, 0, 1, 2)
		l.Stop()
		time.Sleep(lingers + time.Second)
		synctest.Wait()
		if f.listened() || f.ring != nil {
			t.Error("changes are kept for nobody")
		}
		tellMany(f, 3, 4)
		// Nobody knows how many those were.
		wantHeard(t, listen(t, f, id), true, 0, 5, 4)
	})
}

func TestListenersAreBounded(t *testing.T) {
	t.Parallel()
	f := NewFeed()
	defer f.close()
	all := make([]*Listener, maxListeners)
	for i := range all {
		all[i] = listen(t, f, "")
	}
	if _, err := f.Listen(""); !errors.Is(err, engine.ErrBusy) {
		t.Errorf("one more: %v", err)
	}
	all[0].Stop()
	listen(t, f, "")
}

func TestEveryTransitionHasItsWord(t *testing.T) {
	t.Parallel()
	f := NewFeed()
	defer f.close()
	l := listen(t, f, "")
	for _, c := range []struct {
		t     engine.Transition
		phase callback.Phase
		ended bool
		want  string
	}{
		{engine.Created, callback.Waiting, false, "created"}, {engine.Called, callback.Waiting, false, "called"},
		{engine.Resolved, callback.Resolved, true, "resolved"}, {engine.Resolved, callback.Resolved, false, "called"},
		{engine.Failed, callback.Failed, true, "failed"}, {engine.Closed, callback.Closed, true, "closed"}, {engine.Closed, callback.Resolved, false, "closed"},
		{engine.Expired, callback.Failed, true, "failed"}, {engine.Progressed, callback.Waiting, false, "progressed"},
		{engine.JobRetried, callback.Waiting, false, "attempted"}, {engine.JobEnded, callback.Failed, true, "failed"}, {engine.JobPolled, callback.Waiting, false, "polled"},
		{engine.Delivered, callback.Resolved, false, "delivered"}, {engine.DeliveryRetried, callback.Resolved, false, "deliveryFailed"},
		{engine.DeliveryGivenUp, callback.Resolved, false, "deliveryDead"}, {engine.DeliveryRestarted, callback.Resolved, false, "redelivered"},
		{engine.Purged, callback.Closed, false, "removed"}, {engine.Stripped, callback.Resolved, false, "stripped"},
		// These come with another one, or nothing has happened.
		{engine.Unrecognized, callback.Waiting, false, ""}, {engine.DeliveryWaits, callback.Resolved, false, ""},
	} {
		f.observe(c.t, &callback.Record{Phase: c.phase}, c.ended)
		got := ""
		if h := l.Take(make([]Change, 2)); len(h.Changes) > 0 {
			got = h.Changes[0].What
		}
		if got != c.want {
			t.Errorf("%s, ended %t: told %q, want %q", c.t, c.ended, got, c.want)
		}
	}
}

func TestChangeOfAnotherNodeIsTheLastInItsHistory(t *testing.T) {
	t.Parallel()
	w := witness{feed: NewFeed()}
	defer w.feed.close()
	if w.Follows() {
		t.Error("it follows though nobody listens")
	}
	l := listen(t, w.feed, "")
	if !w.Follows() {
		t.Error("it does not follow though somebody listens")
	}
	r := &callback.Record{CreatedAt: 1, Phase: callback.Closed}
	w.Changed(r)
	r.History = r.History.Add(callback.MaxHistory, callback.Happening{At: 2, Kind: callback.HappenedClosed})
	w.Changed(r)
	w.Missed()
	h := l.Take(make([]Change, 3))
	if len(h.Changes) != 2 || h.Changes[0].What != "created" || h.Changes[1].What != "closed" || !h.Lost {
		t.Errorf("%+v", h)
	}
}
