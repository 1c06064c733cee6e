package storetest

import (
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/store"
)

var timing = []test{
	{"what is due is listed in order, up to a moment and a limit", dueInOrder},
	{"what is due moves when its record changes", dueMoves},
	{"what became due earlier than was asked for before is listed, too", dueEarlierThanAsked},
	{"what stays due is listed again and again", dueStays},
	{"a job is due when it is to be tried next", jobIsDue},
	{"a delivery is due when it is to be tried next", deliveryIsDue},
	{"what is due moves back and forth between questions", dueMovesBackAndForth},
	{"what is due is listed to all who ask at once", dueToMany},
	{"as many as wait are counted", waitingIsCounted},
}

// createDue creates callbacks that expire at those moments.
func (h *house) createDue(moments ...callback.Time) []callback.UUID {
	h.Helper()
	ids := make([]callback.UUID, len(moments))
	commits := make([]store.Commit, len(moments))
	for i, at := range moments {
		r := h.newRecord()
		r.ExpiresAt = at
		ids[i], commits[i] = r.ID, h.create(r)
	}
	for _, c := range commits {
		h.wait(c)
	}
	return ids
}

func (h *house) due(until callback.Time, limit int) []callback.UUID {
	h.Helper()
	ids, err := h.store.Due(h.Context(), until, limit)
	if err != nil {
		h.Fatalf("listing what is due: %v", err)
	}
	return ids
}

func (h *house) wantDue(when string, until callback.Time, limit int, want ...callback.UUID) {
	h.Helper()
	if got := h.due(until, limit); !slices.Equal(got, want) {
		h.Fatalf("%s: due until %d are %v, want %v", when, until, got, want)
	}
}

func dueInOrder(h *house) {
	ids := h.createDue(now+300, now+1, now+256, now.Add(100*24*time.Hour), now+255, 1)
	last, first, third, farAway, second, longAgo := ids[0], ids[1], ids[2], ids[3], ids[4], ids[5]
	check := func(when string) {
		h.wantDue(when, now, 10, longAgo)
		h.wantDue(when, 0, 10)
		h.wantDue(when, now+255, 10, longAgo, first, second)
		h.wantDue(when, now+254, 10, longAgo, first)
		h.wantDue(when, now+1000, 10, longAgo, first, second, third, last)
		h.wantDue(when, now+1000, 3, longAgo, first, second)
		h.wantDue(when, now+1000, 1, longAgo)
		h.wantDue(when, now.Add(101*24*time.Hour), 10, longAgo, first, second, third, last, farAway)
	}
	check("after the commit")
	h.reopen()
	check("after reopening")
}

func dueMoves(h *house) {
	ids := h.createDue(now+100, now+200)
	moved, stays := ids[0], ids[1]
	_, c := h.update(store.ByID(moved), func(r *callback.Record) (store.Change, error) {
		next, _ := r.Expire(h.policy, now+150)
		return store.Change{Next: next}, nil
	})
	h.wait(c)
	end := (now + 150).Add(h.policy.Retain)
	check := func(when string) {
		h.wantDue(when, now+199, 10)
		h.wantDue(when, now+200, 10, stays)
		h.wantDue(when, end-1, 10, stays)
		h.wantDue(when, end, 10, stays, moved)
	}
	check("after expiring")
	_, c = h.update(store.ByID(moved), func(r *callback.Record) (store.Change, error) {
		next := *r
		next.KeepUntil = now + 50
		return store.Change{Next: &next}, nil
	})
	h.wait(c)
	h.wantDue("after keeping it for less long", now+200, 10, moved, stays)
	_, c = h.update(store.ByID(stays), remove)
	h.wait(c)
	h.reopen()
	h.wantDue("after deleting the other", end, 10, moved)
}

// A clock that was wrong for a while leaves callbacks that are long overdue.
func dueEarlierThanAsked(h *house) {
	h.wantDue("in an empty store", now.Add(time.Hour), 10)
	late := h.createDue(now.Add(-24 * time.Hour))
	h.wantDue("after creating one that is overdue", now.Add(time.Hour), 10, late...)
	moving := h.createDue(now.Add(48 * time.Hour))
	h.wantDue("asked for later", now.Add(24*time.Hour), 10, late...)
	_, c := h.update(store.ByID(moving[0]), func(r *callback.Record) (store.Change, error) {
		next := *r
		next.ExpiresAt = now.Add(-48 * time.Hour)
		return store.Change{Next: &next}, nil
	})
	h.wait(c)
	h.wantDue("after one became overdue", now.Add(24*time.Hour), 10, moving[0], late[0])
}

func dueStays(h *house) {
	ids := h.createDue(now+1, now+2, now+3)
	for i := range 5 {
		h.wantDue("again", now.Add(time.Duration(i)*time.Hour)+3, 10, ids...)
		h.wantDue("with a limit", now.Add(time.Duration(i)*time.Hour)+3, 2, ids[:2]...)
	}
}

// apply commits a decision of package callback about a callback.
func (h *house) apply(id callback.UUID, decide func(r *callback.Record) (*callback.Record, bool)) *callback.Record {
	h.Helper()
	r, c := h.update(store.ByID(id), func(r *callback.Record) (store.Change, error) {
		next, _ := decide(r)
		return store.Change{Next: next}, nil
	})
	h.wait(c)
	return r
}

// attempt returns the decision to note the outcome of an attempt at a job.
func (h *house) attempt(a callback.Attempt) func(r *callback.Record) (*callback.Record, bool) {
	return func(r *callback.Record) (*callback.Record, bool) {
		return r.Attempted(h.policy, callback.CallBlock, a, now)
	}
}

// wantDueAt checks that the only callback becomes due at that moment, and not before.
func (h *house) wantDueAt(when string, at callback.Time, id callback.UUID) {
	h.Helper()
	check := func(when string) {
		h.Helper()
		h.wantDue(when, at-1, 10)
		h.wantDue(when, at, 10, id)
		h.wantDue(when, at.Add(1000*time.Hour), 10, id)
	}
	check(when)
	h.reopen()
	check(when + " and reopening")
}

func jobIsDue(h *house) {
	r := callback.New(h.store.Secret(), h.policy, callback.Spec{
		ExpiresIn: time.Hour, Block: callback.CallBlock, Request: &callback.Request{Method: "POST", URI: "/"},
	}, now)
	h.wait(h.create(r))
	h.wantDueAt("when it is new", now, r.ID)
	retry := func(in time.Duration) callback.Attempt {
		return callback.Attempt{Kind: callback.AttemptRetry, RetryAt: now.Add(in), Error: "no answer"}
	}
	for _, in := range []time.Duration{time.Minute, time.Second, 2 * time.Minute, time.Millisecond} {
		h.apply(r.ID, h.attempt(retry(in)))
		h.wantDueAt("to be tried again", now.Add(in), r.ID)
		h.wantWaiting("to be tried again", 1)
	}
	h.apply(r.ID, h.attempt(retry(2*time.Hour)))
	h.wantDueAt("with the expiry before the next attempt", r.ExpiresAt, r.ID)
	h.apply(r.ID, h.attempt(callback.Attempt{Kind: callback.AttemptAcked}))
	h.wantDueAt("when the job is done", r.ExpiresAt, r.ID)
	h.wantWaiting("when the job is done", 1)
	h.apply(r.ID, func(r *callback.Record) (*callback.Record, bool) { return r.Expire(h.policy, r.ExpiresAt) })
	h.wantDueAt("after expiring", r.ExpiresAt.Add(h.policy.Retain), r.ID)
	h.wantWaiting("after expiring", 0)
}

func deliveryIsDue(h *house) {
	r := callback.New(h.store.Secret(), h.policy, callback.Spec{ExpiresIn: time.Hour, DeliverTo: "https://client.example.com"}, now)
	h.wait(h.create(r))
	h.wantDueAt("before there is a result", r.ExpiresAt, r.ID)
	r = h.apply(r.ID, func(r *callback.Record) (*callback.Record, bool) { return r.Close(h.policy, "test", "", now+1) })
	h.wantDueAt("when there is one", now+1, r.ID)
	sent := func(s callback.Sent) {
		h.apply(r.ID, func(r *callback.Record) (*callback.Record, bool) { return r.Delivered(h.policy, 1, s, now+2) })
	}
	for _, in := range []time.Duration{time.Minute, 48 * time.Hour, time.Second} {
		sent(callback.Sent{RetryAt: now.Add(in), Status: 500})
		h.wantDueAt("to be tried again", now.Add(in), r.ID)
	}
	end := (now + 2).Add(h.policy.Retain)
	sent(callback.Sent{Dead: true})
	h.wantDueAt("given up", end, r.ID)
	h.apply(r.ID, func(r *callback.Record) (*callback.Record, bool) { return r.Redeliver("", now+3) })
	h.wantDueAt("begun anew", now+3, r.ID)
	sent(callback.Sent{OK: true, Status: 200})
	h.wantDueAt("delivered", end, r.ID)
	h.wantWaiting("in the end", 0)
}

// dueMovesBackAndForth makes many changes, and only after some of them asks what is
// due, at earlier and later moments in turn.
func dueMovesBackAndForth(h *house) {
	random := rand.New(rand.NewPCG(5, 5))
	moment := func() callback.Time { return now.Add(time.Duration(random.IntN(60)) * time.Second) }
	ids := h.createDue(now, now, now, now, now, now)
	at := make(map[callback.UUID]callback.Time)
	for range 150 {
		id := ids[random.IntN(len(ids))]
		r := h.apply(id, func(r *callback.Record) (*callback.Record, bool) {
			next := *r
			next.ExpiresAt, next.Job = moment(), nil
			if random.IntN(2) == 0 {
				next.Job = &callback.Job{Block: callback.CallBlock, NextAt: moment()}
			}
			return &next, true
		})
		at[id] = r.Due()
		if len(at) < len(ids) || random.IntN(3) == 0 {
			continue
		}
		until := moment()
		var want []callback.Time
		for _, due := range at {
			if due <= until {
				want = append(want, due)
			}
		}
		var got []callback.Time
		for _, id := range h.due(until, 10) {
			got = append(got, at[id])
		}
		if slices.Sort(want); !slices.Equal(got, want) {
			h.Fatalf("due until %d are %v, want %v", until-now, got, want)
		}
	}
	h.wantWaiting("in the end", len(ids))
}

// dueToMany asks what is due while others keep asking for other moments: no question
// may hide anything from another.
func dueToMany(h *house) {
	const askers, rounds = 4, 60
	var done sync.WaitGroup
	over := make(chan struct{})
	for i := range askers {
		done.Go(func() {
			for n := callback.Time(0); ; n++ {
				select {
				case <-over:
					return
				default:
				}
				if _, err := h.store.Due(h.Context(), now+n%callback.Time(10*(i+1)), 3); err != nil {
					h.Errorf("asker %d: %v", i, err)
					return
				}
			}
		})
	}
	defer done.Wait()
	defer close(over)
	id := h.createDue(now)[0]
	random := rand.New(rand.NewPCG(6, 6))
	for range rounds {
		at := now + callback.Time(random.IntN(40))
		h.apply(id, func(r *callback.Record) (*callback.Record, bool) {
			next := *r
			next.ExpiresAt = at
			return &next, true
		})
		h.wantDue("while others ask", at-1, 3)
		h.wantDue("while others ask", now+100, 3, id)
	}
}

func waitingIsCounted(h *house) {
	h.wantWaiting("in an empty store", 0)
	ids := h.createDue(now+1, now+2, now+3, now+4)
	h.wantWaiting("after creating", 4)
	_, closed := h.update(store.ByID(ids[0]), h.closeFor("test"))
	h.wait(closed)
	h.wantWaiting("after closing one", 3)
	_, again := h.update(store.ByID(ids[0]), func(r *callback.Record) (store.Change, error) {
		next, _ := r.Acknowledge(&callback.Response{Status: 202})
		return store.Change{Next: next}, nil
	})
	h.wait(again)
	h.wantWaiting("after changing a closed one", 3)
	_, counted := h.update(store.ByID(ids[1]), count)
	h.wait(counted)
	h.wantWaiting("after changing one that waits", 3)
	for _, id := range ids[:2] {
		_, c := h.update(store.ByID(id), remove)
		h.wait(c)
	}
	h.wantWaiting("after deleting a closed one and one that waits", 2)
	h.reopen()
	h.wantWaiting("after reopening", 2)
}
