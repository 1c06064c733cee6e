package storetest

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"strconv"
	"time"

	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/store"
)

var listing = []test{
	{"callbacks are listed with the newest first", listInOrder},
	{"a list is filtered by phase, name and time", listIsFiltered},
	{"a list has its callbacks as they were committed last", listFollowsChanges},
	{"a list has what was decided before, though nobody waits for it", listHasTheNewest},
	{"a page has as many as asked for, a hundred, or a thousand at most", pagesHaveALimit},
	{"what is there all the time is in exactly one page", pagesWhileAllChanges},
	{"a page can begin after a callback that is gone", pageAfterDeleted},
	{"pages of a list that nothing is in come to an end", pagesOfNothing},
	{"listing ends with its context", listEndsWithContext},
}

// newest orders records as a list does. Those created at the same moment may come in
// any order, as long as it is always the same.
func newest(a, b *callback.Record) int { return cmp.Compare(b.CreatedAt, a.CreatedAt) }

// inOrder returns the order of what a query lists.
func inOrder(q store.Query) func(a, b *callback.Record) int {
	if q.OldestFirst {
		return func(a, b *callback.Record) int { return newest(b, a) }
	}
	return newest
}

// list returns one page.
func (h *house) list(q store.Query) ([]*callback.Record, store.Cursor) {
	h.Helper()
	page, next, err := h.store.List(h.Context(), q)
	if err != nil {
		h.Fatalf("listing %+v: %v", q, err)
	}
	if limit := q.PageSize(); len(page) > limit {
		h.Fatalf("a page of %d has %d callbacks", limit, len(page))
	}
	return page, next
}

// pages calls yield with one page after the other, up to the last.
func (h *house) pages(q store.Query, yield func(page []*callback.Record)) {
	h.Helper()
	// A store that is slow to find something may need many pages, but not endlessly
	// many.
	for range 10_000 {
		page, next := h.list(q)
		yield(page)
		if next == (store.Cursor{}) {
			return
		}
		if after := q.After; after != (store.Cursor{}) {
			later := cmp.Compare(after.CreatedAt, next.CreatedAt)
			if q.OldestFirst {
				later = -later
			}
			if later < 0 || later == 0 && after.ID == next.ID {
				h.Fatalf("after %+v the next page begins at %+v", after, next)
			}
		}
		q.After = next
	}
	h.Fatalf("the pages of %+v do not end", q)
}

// listAll returns all callbacks that a query lists.
func (h *house) listAll(q store.Query) (all []*callback.Record) {
	h.Helper()
	h.pages(q, func(page []*callback.Record) { all = append(all, page...) })
	return all
}

// wantListed checks that a query lists exactly these records, in any number of
// pages.
func (h *house) wantListed(when string, q store.Query, want []*callback.Record) {
	h.Helper()
	got := h.listAll(q)
	h.wantPlaces(when, q, got)
	if !slices.IsSortedFunc(got, inOrder(q)) {
		h.Fatalf("%s: %+v lists callbacks that are not in order", when, q)
	}
	// Those created at the same moment may come in any order.
	byID := func(a, b *callback.Record) int { return cmp.Or(newest(a, b), bytes.Compare(a.ID[:], b.ID[:])) }
	got, want = slices.SortedFunc(slices.Values(got), byID), slices.SortedFunc(slices.Values(want), byID)
	if len(got) != len(want) {
		h.Fatalf("%s: %+v lists %d callbacks, want %d", when, q, len(got), len(want))
	}
	for i := range want {
		h.wantSame(when, got[i], want[i])
	}
}

// wantPlaces checks that a query for places lists those of these records.
func (h *house) wantPlaces(when string, q store.Query, want []*callback.Record) {
	h.Helper()
	if q.Places = true; q.Limit == 5 {
		// So many lists are filtered in this way that pages of each would take long.
		q.Limit = 0
	}
	got := h.listAll(q)
	same := func(a, b *callback.Record) bool { return a.ID == b.ID && a.CreatedAt == b.CreatedAt }
	if !slices.EqualFunc(got, want, same) {
		h.Fatalf("%s: %+v lists %d places, want those of %d callbacks", when, q, len(got), len(want))
	}
}

// createAll creates callbacks and waits for all of them.
func (h *house) createAll(records ...*callback.Record) {
	h.Helper()
	var commits []store.Commit
	for _, r := range records {
		commits = append(commits, h.create(r))
	}
	for _, c := range commits {
		h.wait(c)
	}
}

// createdAt returns n new records that were created at moments around now, two at
// each.
func (h *house) createdAt(n int) []*callback.Record {
	records := make([]*callback.Record, n)
	for i := range records {
		records[i] = h.newRecord()
		records[i].CreatedAt = now.Add(time.Duration(i/2-n/4) * 100 * time.Millisecond)
	}
	return records
}

func listInOrder(h *house) {
	h.wantListed("in an empty store", store.Query{}, nil)
	records := h.createdAt(40)
	rand.New(rand.NewPCG(1, 1)).Shuffle(len(records), func(i, j int) { records[i], records[j] = records[j], records[i] })
	h.createAll(records...)
	check := func(when string) {
		var orders [][]*callback.Record
		for _, limit := range []int{0, 1, 2, 7, 39, 40, 41} {
			h.wantListed(when, store.Query{Limit: limit}, records)
			orders = append(orders, h.listAll(store.Query{Limit: limit}))
		}
		for _, order := range orders[1:] {
			for i, r := range order {
				if r.ID != orders[0][i].ID {
					h.Fatalf("%s: with another limit, number %d is a different callback", when, i)
				}
			}
		}
	}
	check("after the commits")
	h.reopen()
	check("after reopening")
}

func listHasTheNewest(h *house) {
	for range 20 {
		r := h.newRecord()
		h.create(r)
		if page, _ := h.list(store.Query{}); !slices.ContainsFunc(page, func(l *callback.Record) bool { return l.ID == r.ID }) {
			h.Fatalf("%s is not among the %d that are listed", r.ID, len(page))
		}
	}
}

func listIsFiltered(h *house) {
	records := h.createdAt(48)
	for i, r := range records {
		r.Phase = callback.Phase(i%5 + 1)
		r.Name = []string{"", "orders", "order", "\xff"}[i%4]
		if i%3 > 0 {
			r.Delivery = &callback.Delivery{URL: "https://a.example/", Dead: i%3 == 1}
		}
	}
	h.createAll(records...)
	moments := []callback.Time{0, records[0].CreatedAt, records[20].CreatedAt, records[20].CreatedAt + 1, now, records[47].CreatedAt, records[47].CreatedAt + 1}
	check := func(when string) {
		for phase := range callback.Closed + 1 {
			for _, name := range []string{"", "orders", "order", "\xff", "o"} {
				for _, names := range [][]string{{}, {"orders"}, {"o", "\xff", "order"}, {""}} {
					q := store.Query{Phase: phase, Name: name, Names: names, Limit: 3}
					h.wantListed(when, q, matching(q, records))
				}
				for _, from := range moments {
					for _, before := range moments {
						for _, dead := range []bool{false, true} {
							q := store.Query{Phase: phase, Name: name, Dead: dead, From: from, Before: before, Limit: 5}
							h.wantListed(when, q, matching(q, records))
						}
					}
				}
			}
		}
	}
	check("after the commits")
	h.reopen()
	check("after reopening")
}

// matching returns the records that a query asks for.
func matching(q store.Query, records []*callback.Record) []*callback.Record {
	return slices.DeleteFunc(slices.Clone(records), func(r *callback.Record) bool {
		return q.Dead && (r.Delivery == nil || !r.Delivery.Dead) || q.Phase != 0 && r.Phase != q.Phase || q.Name != "" && r.Name != q.Name ||
			q.Names != nil && !slices.Contains(q.Names, r.Name) || q.Confirm && !r.Confirm ||
			q.CorrelationID != "" && r.CorrelationID != q.CorrelationID || !q.ID.IsZero() && r.ID != q.ID ||
			q.From != 0 && r.CreatedAt < q.From || q.Before != 0 && r.CreatedAt >= q.Before
	})
}

func listFollowsChanges(h *house) {
	records := h.createdAt(6)
	h.createAll(records...)
	var c store.Commit
	records[1], c = h.update(store.ByID(records[1].ID), h.closeFor("listed"))
	h.wait(c)
	records[2], c = h.update(store.ByID(records[2].ID), func(r *callback.Record) (store.Change, error) {
		next := *r
		next.Name = "renamed"
		return store.Change{Next: &next}, nil
	})
	h.wait(c)
	records[3], c = h.update(store.ByID(records[3].ID), count)
	h.wait(c)
	_, c = h.update(store.ByID(records[5].ID), remove)
	h.wait(c)
	records = records[:5]
	check := func(when string) {
		for _, q := range []store.Query{{}, {Phase: callback.Closed}, {Phase: callback.Waiting}, {Name: "renamed"}, {Name: "orders"}} {
			h.wantListed(when, q, matching(q, records))
		}
	}
	check("after the changes")
	h.reopen()
	check("after reopening")
}

func pagesHaveALimit(h *house) {
	h.createAll(h.createdAt(store.MaxPageSize + 1)...)
	for limit, want := range map[int]int{-1: store.DefaultPageSize, 0: store.DefaultPageSize, 1: 1, 250: 250, 1000: 1000, 1001: 1000, 1 << 40: 1000} {
		page, next := h.list(store.Query{Limit: limit})
		if len(page) > want || next == (store.Cursor{}) {
			h.Errorf("limit %d: %d callbacks, want %d, and the next page begins at %+v", limit, len(page), want, next)
		}
	}
	if all := h.listAll(store.Query{}); len(all) != store.MaxPageSize+1 {
		h.Errorf("all pages have %d callbacks", len(all))
	}
}

// pagesWhileAllChanges reads page after page while callbacks are created, changed and
// deleted on either side of where it reads.
func pagesWhileAllChanges(h *house) {
	random := rand.New(rand.NewPCG(3, 3))
	for round := range 3 {
		records := h.createdAt(120)
		h.createAll(records...)
		staying, passing := records[:90], records[90:]
		seen := make(map[callback.UUID]int)
		h.pages(store.Query{Limit: 9, Name: "orders"}, func(page []*callback.Record) {
			for _, r := range page {
				seen[r.ID]++
			}
			for range 4 {
				h.create(h.createdAt(120)[random.IntN(120)])
				h.update(store.ByID(staying[random.IntN(len(staying))].ID), count)
				h.update(store.ByID(staying[random.IntN(len(staying))].ID), h.closeFor(strconv.Itoa(round)))
			}
			if len(passing) > 1 {
				h.update(store.ByID(passing[0].ID), remove)
				_, c := h.update(store.ByID(passing[1].ID), remove)
				h.wait(c)
				passing = passing[2:]
			}
		})
		for _, r := range staying {
			if n := seen[r.ID]; n != 1 {
				h.Errorf("round %d: a callback that was there all the time was listed %d times", round, n)
			}
		}
		for id, n := range seen {
			if n > 1 {
				h.Errorf("round %d: callback %s was listed %d times", round, id, n)
			}
		}
	}
}

func pageAfterDeleted(h *house) {
	records := h.createdAt(9)
	h.createAll(records...)
	first, next := h.list(store.Query{Limit: 4})
	if len(first) == 0 || next == (store.Cursor{}) {
		h.Fatalf("the first page has %d callbacks, the next begins at %+v", len(first), next)
	}
	gone := first[len(first)-1]
	_, c := h.update(store.ByID(gone.ID), remove)
	h.wait(c)
	check := func(when string) {
		rest := slices.DeleteFunc(slices.Clone(records), func(r *callback.Record) bool {
			return slices.ContainsFunc(first, func(f *callback.Record) bool { return f.ID == r.ID })
		})
		h.wantListed(when, store.Query{After: next, Limit: 2}, rest)
	}
	check("after deleting")
	h.reopen()
	check("after reopening")
}

// pages checks that the cursors advance and that the pages end.
func pagesOfNothing(h *house) {
	h.createAll(h.createdAt(300)...)
	for _, q := range []store.Query{
		{Phase: callback.Closed, Limit: 1}, {Name: "unknown"}, {Name: "orders", Phase: callback.Expired, Limit: 1000},
		{From: now.Add(time.Hour)}, {Before: now.Add(-time.Hour)}, {From: now, Before: now},
		{After: store.Cursor{CreatedAt: now.Add(-time.Hour), ID: callback.NewUUID()}},
	} {
		h.wantListed("with others there", q, nil)
	}
}

func listEndsWithContext(h *house) {
	h.createAll(h.createdAt(20)...)
	over, cancel := context.WithCancel(h.Context())
	cancel()
	if page, next, err := h.store.List(over, store.Query{}); !errors.Is(err, context.Canceled) || page != nil || next != (store.Cursor{}) {
		h.Errorf("%d callbacks, next page at %+v, %v", len(page), next, err)
	}
}
