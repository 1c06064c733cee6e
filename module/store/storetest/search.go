package storetest

import (
	"math/rand/v2"
	"strconv"
	"time"

	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/store"
)

var searching = []test{
	{"a list can begin with the oldest", listIsTurnedRound},
	{"callbacks are found by their correlation ids, given or their own", searchByCorrelationID},
	{"callbacks are found by the correlation id that they have, and not by an earlier one", searchFollowsChanges},
	{"many callbacks with one correlation id are on many pages", searchHasPages},
	{"the callback with an id is listed if it matches", searchByID},
	{"what a person decides is listed among many others", searchByConfirm},
}

// directions are the two in which a query lists.
func directions(q store.Query) [2]store.Query {
	turned := q
	turned.OldestFirst = true
	return [2]store.Query{q, turned}
}

// wantBothWays is wantListed in both directions.
func (h *house) wantBothWays(when string, q store.Query, want []*callback.Record) {
	h.Helper()
	for _, q := range directions(q) {
		h.wantListed(when, q, want)
	}
}

func listIsTurnedRound(h *house) {
	records := h.createdAt(40)
	rand.New(rand.NewPCG(2, 2)).Shuffle(len(records), func(i, j int) { records[i], records[j] = records[j], records[i] })
	h.createAll(records...)
	var c store.Commit
	for i := range 10 {
		h.update(store.ByID(records[i].ID), h.closeFor("turned round"))
		records[i], c = h.update(store.ByID(records[i].ID), count)
		h.wait(c)
	}
	_, c = h.update(store.ByID(records[39].ID), remove)
	h.wait(c)
	records = records[:39]
	moments := []callback.Time{0, records[3].CreatedAt, records[20].CreatedAt + 1, now}
	check := func(when string) {
		for _, limit := range []int{0, 1, 7, 39, 40} {
			for _, from := range moments {
				for _, before := range moments {
					q := store.Query{Limit: limit, From: from, Before: before, OldestFirst: true}
					h.wantListed(when, q, matching(q, records))
				}
			}
			q := store.Query{Limit: limit, Phase: callback.Closed, OldestFirst: true}
			h.wantListed(when, q, matching(q, records))
		}
		first, second := h.listAll(store.Query{}), h.listAll(store.Query{OldestFirst: true})
		for i := range first {
			if first[i].ID != second[len(second)-1-i].ID {
				h.Fatalf("%s: number %d is another one from the other end", when, i)
			}
		}
	}
	check("after the commits")
	h.reopen()
	check("after reopening")
}

// correlated returns a new record with a correlation id, "" for its own.
func (h *house) correlated(id string, at callback.Time) *callback.Record {
	return callback.New(h.store.Secret(), h.policy, callback.Spec{Name: "orders", CorrelationID: id, ExpiresIn: time.Hour}, at)
}

func searchByCorrelationID(h *house) {
	own := h.correlated("", now)
	// Somebody gives the id that another callback has as its own: that of the request before.
	again, before := h.correlated(own.CorrelationID, now+5), h.correlated(own.CorrelationID, now-5)
	given := h.correlated("order 17 \x00\xff", now+1)
	other := h.correlated("", now+2)
	records := []*callback.Record{own, again, before, given, other, h.correlated("order 18", now)}
	records[3].Phase = callback.Resolved
	h.createAll(records...)
	check := func(when string) {
		for _, id := range []string{own.CorrelationID, given.CorrelationID, "order 18", other.CorrelationID, "nobody's", callback.NewUUID().String(), own.ID.String()} {
			for _, q := range []store.Query{{CorrelationID: id}, {CorrelationID: id, Limit: 1}, {CorrelationID: id, Phase: callback.Waiting}, {CorrelationID: id, From: now}, {CorrelationID: id, Before: now, Name: "orders"},
				{CorrelationID: id, Names: []string{}}, {CorrelationID: id, Dead: true}, {CorrelationID: id, ID: own.ID}, {CorrelationID: id, Confirm: true}} {
				h.wantBothWays(when, q, matching(q, records))
			}
		}
	}
	check("after the commits")
	h.reopen()
	check("after reopening")
	for _, r := range records[:4] {
		_, c := h.update(store.ByID(r.ID), remove)
		h.wait(c)
	}
	records = records[4:]
	check("after some were removed")
}

func searchFollowsChanges(h *house) {
	own, given := h.correlated("", now), h.correlated("order 1", now+1)
	first := own.CorrelationID
	h.createAll(own, given)
	var c store.Commit
	for _, r := range []**callback.Record{&own, &given} {
		*r, c = h.update(store.ByID((*r).ID), func(r *callback.Record) (store.Change, error) {
			next, _ := r.Correlate(h.policy, "job-7", now)
			return store.Change{Next: next}, nil
		})
		h.wait(c)
	}
	own, c = h.update(store.ByID(own.ID), h.closeFor("searched"))
	h.wait(c)
	records := []*callback.Record{own, given}
	check := func(when string) {
		for _, id := range []string{first, "order 1", "job-7"} {
			h.wantBothWays(when, store.Query{CorrelationID: id}, matching(store.Query{CorrelationID: id}, records))
			q := store.Query{CorrelationID: id, Phase: callback.Closed}
			h.wantBothWays(when, q, matching(q, records))
		}
	}
	check("after the changes")
	h.reopen()
	check("after reopening")
	given, c = h.update(store.ByID(given.ID), func(r *callback.Record) (store.Change, error) {
		next := *r
		next.CorrelationID = h.store.Secret().CorrelationID(r.ID).String()
		return store.Change{Next: &next}, nil
	})
	h.wait(c)
	records[1] = given
	check("after one has its own")
	h.wantBothWays("by its own", store.Query{CorrelationID: given.CorrelationID}, records[1:])
}

func searchHasPages(h *house) {
	own := h.correlated("", now.Add(10*time.Second))
	all := []*callback.Record{own}
	for i := range 60 {
		all = append(all, h.correlated(own.CorrelationID, now.Add(time.Duration(i/2)*time.Second)), h.correlated(strconv.Itoa(i), now.Add(time.Duration(i)*time.Second)))
	}
	h.createAll(all...)
	for _, limit := range []int{1, 2, 7, 61} {
		q := store.Query{CorrelationID: own.CorrelationID, Limit: limit}
		h.wantBothWays("with others there", q, matching(q, all))
		q.From, q.Before = now.Add(5*time.Second), now.Add(20*time.Second)
		h.wantBothWays("for a time", q, matching(q, all))
	}
}

func searchByID(h *house) {
	r := h.created()
	other := h.created()
	check := func(when string) {
		for _, q := range []store.Query{{ID: r.ID}, {ID: r.ID, Name: "orders"}, {ID: r.ID, Phase: callback.Closed}, {ID: r.ID, Names: []string{"others"}}, {ID: r.ID, From: now + 1}, {ID: callback.NewUUID()}, {ID: r.ID, Confirm: true}} {
			h.wantBothWays(when, q, matching(q, []*callback.Record{r, other}))
		}
	}
	check("after the commits")
	h.reopen()
	check("after reopening")
	var c store.Commit
	r, c = h.update(store.ByID(r.ID), h.closeFor("searched"))
	h.wait(c)
	check("after the change")
	_, c = h.update(store.ByID(r.ID), remove)
	h.wait(c)
	h.wantBothWays("after it was removed", store.Query{ID: r.ID}, nil)
}

func searchByConfirm(h *house) {
	records := h.createdAt(200)
	for i := range records {
		records[i].Confirm = i%20 == 7
	}
	h.createAll(records...)
	var c store.Commit
	records[7], c = h.update(store.ByID(records[7].ID), h.closeFor("decided"))
	h.wait(c)
	check := func(when string) {
		for _, q := range []store.Query{{Confirm: true}, {Confirm: true, Limit: 3}, {Confirm: true, Phase: callback.Waiting, Limit: 2}, {Confirm: true, Name: "orders", From: records[60].CreatedAt, Before: records[150].CreatedAt}} {
			h.wantBothWays(when, q, matching(q, records))
		}
	}
	check("after the commits")
	h.reopen()
	check("after reopening")
	_, c = h.update(store.ByID(records[27].ID), remove)
	h.wait(c)
	records = append(records[:27], records[28:]...)
	check("after one was removed")
}
