package storetest

import (
	"slices"
	"time"

	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/store"
)

var timing = []test{
	{"what is due is listed in order, up to a moment and a limit", dueInOrder},
	{"what is due moves when its record changes", dueMoves},
	{"what became due earlier than was asked for before is listed, too", dueEarlierThanAsked},
	{"what stays due is listed again and again", dueStays},
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

// A clock that was wrong for a while makes callbacks whose time is long over.
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
