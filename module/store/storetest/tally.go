package storetest

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/store"
)

var tallying = []test{
	{"what waits and what is dead is counted by name", tallyByName},
	{"what ends or is deleted is counted no more", tallyFollows},
	{"the oldest that waits is known under each name", tallyKnowsTheOldest},
	{"the sum of all names is what waits", tallySumsUp},
	{"more names than are told apart are counted together", tallyIsBounded},
}

// Tally implements store.Tallied.
func (h *handle) Tally() []store.Tally {
	m := h.memory
	m.mu.Lock()
	defer m.mu.Unlock()
	names := make(map[string]*store.Tally)
	for _, r := range m.records {
		waits, dead := r.Phase == callback.Waiting, r.Delivery != nil && r.Delivery.Dead
		if !waits && !dead {
			continue
		}
		name := r.Name
		if names[name] == nil && len(names) >= store.MaxTallied {
			name = store.OtherNames
		}
		if names[name] == nil {
			names[name] = &store.Tally{Name: name}
		}
		t := names[name]
		if dead {
			t.Dead++
		}
		if waits {
			t.Waiting++
			if t.Oldest == 0 || r.CreatedAt < t.Oldest {
				t.Oldest = r.CreatedAt
			}
		}
	}
	var all []store.Tally
	for _, t := range names {
		all = append(all, *t)
	}
	slices.SortFunc(all, byName)
	return all
}

func byName(a, b store.Tally) int {
	others := func(t store.Tally) int {
		if t.Name == store.OtherNames {
			return 1
		}
		return 0
	}
	return cmp.Or(others(a)-others(b), strings.Compare(a.Name, b.Name))
}

// tally returns what the store counts under each name that has something.
func (h *house) tally() map[string]store.Tally {
	h.Helper()
	tallied, ok := h.store.(store.Tallied)
	if !ok {
		h.Fatalf("%T does not count by name", h.store)
	}
	names := make(map[string]store.Tally)
	all := tallied.Tally()
	if !slices.IsSortedFunc(all, byName) {
		h.Errorf("the names are out of order: %+v", all)
	}
	for _, t := range all {
		if _, twice := names[t.Name]; twice {
			h.Fatalf("%q is there twice: %+v", t.Name, all)
		}
		if t.Waiting > 0 || t.Dead > 0 || t.Oldest != 0 {
			names[t.Name] = t
		}
	}
	return names
}

// wantTally waits until the store counts exactly this. Oldest is the truth.
func (h *house) wantTally(when string, want ...store.Tally) {
	h.Helper()
	var got map[string]store.Tally
	defer func() {
		if h.Failed() {
			h.Logf("%s: counted %+v, want %+v", when, got, want)
		}
	}()
	h.eventually(when+": counting by name", func() bool {
		got = h.tally()
		near := maps.Clone(got)
		for _, t := range want {
			n := near[t.Name]
			if vague := max(time.Second, time.Duration(float64(now.Time().Sub(t.Oldest.Time()))*store.MaxVague)); n.Oldest <= t.Oldest && n.Oldest >= t.Oldest.Add(-vague) {
				n.Oldest = t.Oldest
			}
			if n != t {
				return false
			}
			delete(near, t.Name)
		}
		return len(near) == 0
	})
}

// named creates a callback with a name, at a time.
func (h *house) named(name string, at callback.Time) *callback.Record {
	h.Helper()
	r := callback.New(h.store.Secret(), h.policy, callback.Spec{Name: name, ExpiresIn: 90 * 24 * time.Hour}, at)
	h.create(r)
	return r
}

// together does so many things, many of them at the same time.
func together(n int, do func(i int)) {
	var done sync.WaitGroup
	for worker := range 32 {
		done.Go(func() {
			for i := worker; i < n; i += 32 {
				do(i)
			}
		})
	}
	done.Wait()
}

// change changes a copy of a record.
func (h *house) change(id callback.UUID, change func(r *callback.Record)) store.Commit {
	h.Helper()
	_, c := h.update(store.ByID(id), func(r *callback.Record) (store.Change, error) {
		next := *r
		change(&next)
		return store.Change{Next: &next}, nil
	})
	return c
}

// die gives a callback's delivery up.
func (h *house) die(id callback.UUID) store.Commit {
	h.Helper()
	return h.change(id, func(r *callback.Record) {
		r.Delivery = &callback.Delivery{URL: "https://app.example.com/hook", Dead: true}
	})
}

func tallyByName(h *house) {
	h.wantTally("in an empty store")
	h.named("orders", now)
	h.named("orders", now)
	other := h.named("", now)
	gone := h.named("payments", now)
	h.update(store.ByID(gone.ID), h.closeFor("end"))
	c := h.die(gone.ID)
	h.beforeAndAfter(c, func(when string) {
		h.wantTally(when, store.Tally{Name: "orders", Waiting: 2, Oldest: now}, store.Tally{Waiting: 1, Oldest: now}, store.Tally{Name: "payments", Dead: 1})
	})
	// A callback that takes several calls can wait although a delivery was given up.
	h.beforeAndAfter(h.die(other.ID), func(when string) {
		h.wantTally(when, store.Tally{Name: "orders", Waiting: 2, Oldest: now}, store.Tally{Waiting: 1, Dead: 1, Oldest: now}, store.Tally{Name: "payments", Dead: 1})
	})
}

func tallyFollows(h *house) {
	ended, expired, removed, revived := h.named("orders", now), h.named("orders", now), h.named("orders", now), h.named("mail", now)
	h.wait(h.die(revived.ID))
	h.wantTally("at first", store.Tally{Name: "orders", Waiting: 3, Oldest: now}, store.Tally{Name: "mail", Waiting: 1, Dead: 1, Oldest: now})
	h.update(store.ByID(ended.ID), h.closeFor("end"))
	h.change(revived.ID, func(r *callback.Record) { r.Delivery = &callback.Delivery{URL: "https://app.example.com/hook"} })
	h.update(store.ByID(removed.ID), remove)
	h.update(store.ByID(expired.ID), func(r *callback.Record) (store.Change, error) {
		next, _ := r.Expire(h.policy, r.ExpiresAt)
		return store.Change{Next: next}, nil
	})
	_, c := h.update(store.ByID(ended.ID), nothing)
	h.beforeAndAfter(c, func(when string) {
		h.wantTally(when, store.Tally{Name: "mail", Waiting: 1, Oldest: now})
	})
	_, c = h.update(store.ByID(revived.ID), remove)
	h.beforeAndAfter(c, func(when string) { h.wantTally(when) })
}

func tallyKnowsTheOldest(h *house) {
	day := callback.Time(24 * time.Hour / time.Millisecond)
	const many = 1500
	ids := make([]callback.UUID, many)
	// More moments than anybody remembers one by one, in no order.
	together(many, func(i int) { ids[i] = h.named("many", now-callback.Time(i)*30_000).ID })
	first := h.named("few", now-30*day)
	h.named("few", now-day)
	last := h.named("few", now)
	_, c := h.update(store.ByID(last.ID), nothing)
	h.beforeAndAfter(c, func(when string) {
		h.wantTally(when, store.Tally{Name: "many", Waiting: many, Oldest: now - (many-1)*30_000}, store.Tally{Name: "few", Waiting: 3, Oldest: now - 30*day})
	})
	h.update(store.ByID(first.ID), remove)
	// All go that are older than two hours.
	together(many, func(i int) {
		if i > 240 {
			h.update(store.ByID(ids[i]), h.closeFor("end"))
		}
	})
	_, c = h.update(store.ByID(ids[many-1]), nothing)
	h.beforeAndAfter(c, func(when string) {
		h.wantTally(when, store.Tally{Name: "many", Waiting: 241, Oldest: now - 240*30_000}, store.Tally{Name: "few", Waiting: 2, Oldest: now - day})
	})
}

func tallySumsUp(h *house) {
	sum := func() (n int) {
		for _, t := range h.tally() {
			n += t.Waiting
		}
		return n
	}
	for i := range 300 {
		r := h.named(fmt.Sprint("name-", i%7), now)
		if i%3 == 0 {
			h.update(store.ByID(r.ID), h.closeFor("end"))
		}
	}
	h.wantWaiting("when all are made", 200)
	h.eventually("the sum is what waits", func() bool { return sum() == 200 })
	h.reopen()
	h.wantWaiting("after reopening", 200)
	h.eventually("the sum is what waits after reopening", func() bool { return sum() == 200 })
}

func tallyIsBounded(h *house) {
	const names = store.MaxTallied + 20
	ids := make([]callback.UUID, names)
	together(names, func(i int) { ids[i] = h.named(fmt.Sprintf("name-%03d", i), now).ID })
	check := func(when string) {
		h.eventually(when+": all are counted, some together", func() bool {
			got := h.tally()
			return len(got) == store.MaxTallied+1 && got[store.OtherNames].Waiting == names-store.MaxTallied
		})
	}
	check("at first")
	h.reopen()
	check("after reopening")
	together(names, func(i int) { h.update(store.ByID(ids[i]), remove) })
	h.wantTally("when all are gone")
}

func nodesTallyAlike(n *nodes) {
	for i := range n.all {
		n.at(i).named("orders", now-callback.Time(i))
	}
	dead := n.named("mail", now)
	n.at(1).die(dead.ID)
	for i := range n.all {
		n.at(i).wantTally("at each node", store.Tally{Name: "orders", Waiting: 3, Oldest: now - 2}, store.Tally{Name: "mail", Waiting: 1, Dead: 1, Oldest: now})
	}
	n.at(2).update(store.ByID(dead.ID), remove)
	for i := range n.all {
		n.at(i).wantTally("when one is gone", store.Tally{Name: "orders", Waiting: 3, Oldest: now - 2})
	}
}
