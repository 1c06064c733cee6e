package storetest

import (
	"errors"
	"strconv"
	"sync"

	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/store"
)

var updating = []test{
	{"an update is found by every key", updateIsFound},
	{"an update by state or ticket is one of the callback", updateByAnyKey},
	{"racing updates have exactly one winner", racesHaveOneWinner},
	{"updates see earlier ones that are not committed", updatesBuildOnEachOther},
	{"no update is lost between many at once", noUpdateIsLost},
	{"an error of decide's changes nothing", errorsChangeNothing},
	{"a decision to change nothing returns the record and its commit", noChange},
}

func updateIsFound(h *house) {
	r := h.created()
	want, _ := r.Close(h.policy, "test", "", now)
	got, c := h.update(store.ByID(r.ID), h.closeFor("test"))
	h.wantSame("returned", got, want)
	h.beforeAndAfter(c, func(when string) {
		for _, key := range h.keysOf(r.ID) {
			h.wantRecord(when, key, want)
		}
	})
}

func updateByAnyKey(h *house) {
	for i := range 3 {
		for _, settled := range []bool{false, true} {
			r := h.newRecord()
			if c := h.create(r); settled {
				h.wait(c)
			}
			got, c := h.update(h.keysOf(r.ID)[i], h.closeFor("test"))
			if got.ID != r.ID || got.Phase != callback.Closed {
				h.Errorf("got %+v", got)
			}
			h.wait(c)
			h.wantRecord("by id", store.ByID(r.ID), got)
		}
	}
}

func racesHaveOneWinner(h *house) {
	const racers, rounds = 16, 40
	for range rounds {
		r := h.newRecord()
		h.create(r)
		ends := h.race(r, racers)
		won := 0
		for i, end := range ends {
			if end.Phase != callback.Closed || end.Reason != ends[0].Reason {
				h.Fatalf("racer %d saw the end as %s %q, racer 0 as %s %q", i, end.Phase, end.Reason, ends[0].Phase, ends[0].Reason)
			}
			if end.Reason == strconv.Itoa(i) {
				won++
			}
		}
		if won != 1 {
			h.Fatalf("%d of %d racers won", won, racers)
		}
		h.wantRecord("after the race", store.ByID(r.ID), ends[0])
	}
}

// race lets many close a callback at once, each with a reason and by a key of
// its own, and returns what each was told.
func (h *house) race(r *callback.Record, racers int) []*callback.Record {
	h.Helper()
	ends := make([]*callback.Record, racers)
	keys := h.keysOf(r.ID)
	var start, done sync.WaitGroup
	start.Add(1)
	for i := range racers {
		done.Go(func() {
			start.Wait()
			end, c, err := h.store.Update(h.Context(), keys[i%len(keys)], h.closeFor(strconv.Itoa(i)))
			if err == nil {
				err = store.Wait(h.Context(), c)
			}
			if err != nil {
				h.Errorf("racer %d: %v", i, err)
				end = new(callback.Record)
			}
			ends[i] = end
		})
	}
	start.Done()
	done.Wait()
	return ends
}

// count is the decision to increment the number in the record's reason.
func count(r *callback.Record) (store.Change, error) {
	n, _ := strconv.Atoi(r.Reason)
	next := *r
	next.Reason = strconv.Itoa(n + 1)
	return store.Change{Next: &next}, nil
}

func updatesBuildOnEachOther(h *house) {
	r := h.newRecord()
	commits := []store.Commit{h.create(r)}
	for i := range 200 {
		got, c := h.update(store.ByID(r.ID), count)
		if got.Reason != strconv.Itoa(i+1) {
			h.Fatalf("update %d saw %q", i+1, got.Reason)
		}
		h.wantRecord("before the commit", store.ByID(r.ID), got)
		commits = append(commits, c)
	}
	for _, c := range commits {
		h.wait(c)
	}
	h.reopen()
	got, _ := h.update(store.ByID(r.ID), nothing)
	if got.Reason != "200" {
		h.Errorf("after reopening it is %q", got.Reason)
	}
}

func noUpdateIsLost(h *house) {
	const writers, each = 8, 25
	r := h.newRecord()
	h.create(r)
	var done sync.WaitGroup
	for range writers {
		done.Go(func() {
			for i := range each {
				_, c, err := h.store.Update(h.Context(), store.ByID(r.ID), count)
				// Waiting now and then makes updates meet commits.
				if err == nil && i%5 == 0 {
					err = store.Wait(h.Context(), c)
				}
				if err != nil {
					h.Errorf("update: %v", err)
					return
				}
			}
		})
	}
	done.Wait()
	got, c := h.update(store.ByID(r.ID), nothing)
	h.beforeAndAfter(c, func(when string) { h.wantRecord(when, store.ByID(r.ID), got) })
	if got.Reason != strconv.Itoa(writers*each) {
		h.Errorf("%s of %d updates are left", got.Reason, writers*each)
	}
}

func errorsChangeNothing(h *house) {
	refusal := errors.New("no")
	r := h.newRecord()
	h.beforeAndAfter(h.create(r), func(when string) {
		got, c, err := h.store.Update(h.Context(), store.ByID(r.ID), func(seen *callback.Record) (store.Change, error) {
			next, _ := seen.Close(h.policy, "test", "", now)
			return store.Change{Next: next}, refusal
		})
		if err != refusal || got != nil || c != nil {
			h.Errorf("%s: got %+v, %v, %v", when, got, c, err)
		}
		_, _, err = h.store.Update(h.Context(), store.ByID(r.ID), func(*callback.Record) (store.Change, error) {
			return store.Change{Delete: true}, refusal
		})
		if err != refusal {
			h.Errorf("%s: got %v", when, err)
		}
		h.wantRecord(when, store.ByID(r.ID), r)
	})
	h.wantWaiting("after refused decisions", 1)
}

func noChange(h *house) {
	h.wantEarlierCommit(func(r *callback.Record) store.Commit {
		got, c := h.update(store.ByID(r.ID), nothing)
		h.wantSame("returned", got, r)
		return c
	})
}
