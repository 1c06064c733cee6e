package storetest

import (
	"errors"

	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/store"
)

var deleting = []test{
	{"a deleted callback is gone with all its keys", deletedIsGone},
	{"a callback can be deleted before it is committed", uncommittedIsDeleted},
	{"a callback is deleted with its bodies while a change of it is in flight", deletedInFlight},
	{"racing deletions leave nothing and harm nobody", racingDeletions},
}

func deletedIsGone(h *house) {
	r, other := h.created(), h.created()
	got, c := h.update(store.ByID(r.ID), remove)
	if got != nil {
		h.Errorf("deleting returned %+v", got)
	}
	h.beforeAndAfter(c, func(when string) { h.wantGone(when, r, other) })
}

func uncommittedIsDeleted(h *house) {
	r, other := h.newRecord(), h.created()
	created := h.create(r)
	_, c := h.update(store.ByTicket(h.store.Secret().Ticket(r.ID)), remove)
	h.beforeAndAfter(c, func(when string) { h.wantGone(when, r, other) })
	h.wait(created)
}

// wantGone checks that nothing is left of a callback while another is untouched.
func (h *house) wantGone(when string, r, other *callback.Record) {
	h.Helper()
	h.wantNotFound(when, h.keysOf(r.ID)...)
	for _, key := range h.keysOf(r.ID) {
		if _, _, err := h.store.Update(h.Context(), key, nothing); !errors.Is(err, store.ErrNotFound) {
			h.Errorf("%s: updating %+v: %v", when, key, err)
		}
	}
	h.wantRecord(when, store.ByID(other.ID), other)
	h.wantWaiting(when, 1)
	if when != "before the commit" {
		h.wantDue(when, other.ExpiresAt, 10, other.ID)
	}
}

func racingDeletions(h *house) {
	for range 20 {
		r := h.newRecord()
		h.create(r)
		deleted := make(chan int, 8)
		for range cap(deleted) {
			go func() {
				n := 0
				if _, c, err := h.store.Update(h.Context(), store.ByID(r.ID), remove); err == nil {
					n = 1
					err = store.Wait(h.Context(), c)
					if err != nil {
						h.Errorf("deleting: %v", err)
					}
				} else if !errors.Is(err, store.ErrNotFound) {
					h.Errorf("deleting: %v", err)
				}
				deleted <- n
			}()
		}
		sum := 0
		for range cap(deleted) {
			sum += <-deleted
		}
		if sum != 1 {
			h.Fatalf("a callback was deleted %d times", sum)
		}
		h.wantNotFound("after the race", h.keysOf(r.ID)...)
	}
	h.wantWaiting("after all is deleted", 0)
}

// A decision that is not committed yet, and one that comes too late, bring nothing back.
func deletedInFlight(h *house) {
	other := h.created()
	alias := callback.Digest{7}
	r, _ := h.inAllPlaces(*h.newRecord())
	r.Aliases = append(r.Aliases, alias)
	created := h.create(r)
	late := h.putBody(patterned(90 << 10))
	_, changed := h.update(store.ByID(r.ID), holding(late))
	_, deleted := h.update(store.ByID(r.ID), remove)
	tooLate := h.putBody(patterned(80 << 10))
	if _, _, err := h.store.Update(h.Context(), store.ByID(r.ID), holding(tooLate)); !errors.Is(err, store.ErrNotFound) {
		h.Errorf("a decision that comes too late: %v", err)
	}
	h.store.DropBody(h.Context(), tooLate)
	h.beforeAndAfter(deleted, func(when string) {
		h.wantGone(when, r, other)
		h.wantNotFound(when, store.ByAlias(alias))
		h.wantListed(when, store.Query{}, []*callback.Record{other})
		if when != "before the commit" {
			for _, b := range append(r.Bodies(), &late, &tooLate) {
				h.wantBodyGone(when, *b)
			}
		}
	})
	h.wait(created)
	h.wait(changed)
	// The alias belongs to nobody any more.
	next := h.newRecord()
	next.Aliases = []callback.Digest{alias}
	h.wait(h.create(next))
}
