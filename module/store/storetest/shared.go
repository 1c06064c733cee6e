package storetest

import (
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/store"
)

// RunShared checks that several stores which are open on one directory at the same time are
// nodes on the same callbacks, as store.Shared has it. open opens one of them; Run has to
// pass, too.
func RunShared(t *testing.T, open func(t *testing.T, dir string) store.Shared) {
	for name, run := range map[string]func(n *nodes){
		"what one node writes all see":                                    allSeeWhatOneWrites,
		"a write is committed when it returns":                            sharedWriteIsCommitted,
		"changes by all nodes are counted":                                changesByAllNodesCount,
		"an alias belongs to one callback, whichever node gives it":       aliasIsOneNodes,
		"a change is hinted at to the other nodes":                        changeIsHintedAt,
		"what has ended is told of many at once":                          endedAreTold,
		"callbacks that await an ack are known to all":                    awaitedIsKnown,
		"callbacks past their retention are forgotten":                    manyAreForgotten,
		"nodes have numbers of their own, and live until they are closed": nodesHaveNumbers,
		"who the nodes are is known":                                      nodesAreListed,
		"hints are lost where nobody takes them":                          lostHintsCount,
		"work is hidden that another node owns":                           ownedWorkIsHidden,
		"all nodes count those that wait, and have one clock":             nodesCountAlike,
		"all nodes count what every one has under each name":              nodesTallyAlike,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			run(newNodes(t, open))
		})
	}
}

// nodes are three stores on one directory. The house has the first of them.
type nodes struct {
	*house
	all []store.Shared
}

func newNodes(t *testing.T, open func(t *testing.T, dir string) store.Shared) *nodes {
	n := &nodes{house: newHouse(t, func(t *testing.T, dir string) store.Store { return open(t, dir) })}
	n.all = []store.Shared{n.store.(store.Shared)}
	for range 2 {
		s := open(t, n.dir)
		n.all = append(n.all, s)
		t.Cleanup(func() {
			if err := s.Close(); err != nil && !errors.Is(err, store.ErrClosed) {
				t.Errorf("closing a node: %v", err)
			}
		})
	}
	return n
}

// at returns the house of one of the nodes.
func (n *nodes) at(i int) *house {
	h := *n.house
	h.store = n.all[i]
	return &h
}

func allSeeWhatOneWrites(n *nodes) {
	if n.all[0].ID() != n.all[1].ID() || *n.all[0].Secret() != *n.all[2].Secret() {
		n.Error("the nodes have not one store")
	}
	r := n.newRecord()
	r.Aliases = []callback.Digest{{1}}
	body := n.at(1).putBody(patterned(300 << 10))
	r.Latest = &callback.Call{Method: "POST", Body: stripped(body)}
	n.wait(n.at(1).create(r))
	for i := range n.all {
		h := n.at(i)
		for _, key := range append(n.keysOf(r.ID), store.ByAlias(callback.Digest{1})) {
			h.wantRecord("at each node", key, r)
		}
		h.wantBody("at each node", body, patterned(300<<10))
		if p, err := h.store.Policy(n.Context(), n.policy.Hash()); i > 0 && !errors.Is(err, store.ErrNotFound) {
			n.Errorf("a policy that nobody has stored: %v, %v", p, err)
		}
		if i == 0 {
			continue
		}
		changed, _ := h.update(store.ByID(r.ID), h.closeFor(string(rune('0'+i))))
		r = changed
	}
	if err := n.store.PutPolicy(n.Context(), n.policy); err != nil {
		n.Fatal(err)
	}
	if p, err := n.all[2].Policy(n.Context(), n.policy.Hash()); err != nil || p.Hash() != n.policy.Hash() {
		n.Errorf("the policy is %v, %v", p, err)
	}
	n.update(store.ByID(r.ID), remove)
	n.at(2).wantNotFound("after it was deleted", n.keysOf(r.ID)...)
	n.at(2).wantBodyGone("after its callback", body)
}

func sharedWriteIsCommitted(n *nodes) {
	r := n.newRecord()
	if !isDone(n.create(r)) {
		n.Error("a creation is not committed when it returns")
	}
	if _, c := n.at(1).update(store.ByID(r.ID), n.closeFor("end")); !isDone(c) {
		n.Error("an update is not committed when it returns")
	}
	if _, c, err := n.all[2].Find(n.Context(), store.ByID(r.ID)); err != nil || !isDone(c) {
		n.Errorf("what is found is not committed: %v", err)
	}
}

func changesByAllNodesCount(n *nodes) {
	r := n.newRecord()
	n.create(r)
	const each = 25
	var done sync.WaitGroup
	for i := range n.all {
		for range 4 {
			done.Go(func() {
				for range each {
					_, _, err := n.all[i].Update(n.Context(), store.ByID(r.ID), func(r *callback.Record) (store.Change, error) {
						next := *r
						next.Calls++
						return store.Change{Next: &next}, nil
					})
					if err != nil {
						n.Error(err)
					}
				}
			})
		}
	}
	done.Wait()
	for i := range n.all {
		if got, _, err := n.all[i].Find(n.Context(), store.ByID(r.ID)); err != nil || got.Calls != 3*4*each {
			n.Errorf("node %d has counted %d changes of %d: %v", i, got.Calls, 3*4*each, err)
		}
	}
}

func aliasIsOneNodes(n *nodes) {
	for round := range 20 {
		alias := callback.Digest{byte(round), 1}
		given := make([]*callback.Record, len(n.all))
		for i := range n.all {
			given[i] = n.newRecord()
			given[i].Aliases = []callback.Digest{alias}
		}
		var won []int
		var mu sync.Mutex
		var done sync.WaitGroup
		for i := range n.all {
			done.Go(func() {
				_, err := n.all[i].Create(n.Context(), given[i])
				if err != nil && !errors.Is(err, store.ErrExists) {
					n.Error(err)
				}
				mu.Lock()
				defer mu.Unlock()
				if err == nil {
					won = append(won, i)
				}
			})
		}
		done.Wait()
		if len(won) != 1 {
			n.Fatalf("round %d: nodes %v have given the alias", round, won)
		}
		for i := range n.all {
			n.at(i).wantRecord("at each node", store.ByAlias(alias), given[won[0]])
		}
		n.update(store.ByAlias(alias), remove)
	}
}

// heard waits until a node has been hinted at a callback, and returns the aliases of the hint.
func (n *nodes) heard(i int, id callback.UUID) []callback.Digest {
	n.Helper()
	limit := time.After(patience)
	for {
		select {
		case h := <-n.all[i].Changes():
			if h.ID == id {
				return h.Aliases
			}
		case <-limit:
			n.Fatalf("node %d has not heard of a change", i)
		}
	}
}

func changeIsHintedAt(n *nodes) {
	r := n.newRecord()
	r.Aliases = []callback.Digest{{1}, {2}}
	n.create(r)
	for _, i := range []int{1, 2} {
		if aliases := n.heard(i, r.ID); !slices.Equal(aliases, r.Aliases) {
			n.Errorf("a creation is hinted at with the aliases %v", aliases)
		}
	}
	n.at(1).update(store.ByID(r.ID), func(r *callback.Record) (store.Change, error) {
		next := *r
		next.Aliases = []callback.Digest{{2}, {3}}
		return store.Change{Next: &next}, nil
	})
	for _, i := range []int{0, 2} {
		if aliases := n.heard(i, r.ID); !slices.Equal(aliases, []callback.Digest{{3}}) {
			n.Errorf("an update is hinted at with the aliases %v", aliases)
		}
	}
	n.update(store.ByID(r.ID), remove)
	n.heard(1, r.ID)
}

func endedAreTold(n *nodes) {
	var all, ended []callback.UUID
	for i := range 50 {
		r := n.newRecord()
		n.create(r)
		all = append(all, r.ID)
		switch i % 5 {
		case 1:
			n.at(1).update(store.ByID(r.ID), n.closeFor("end"))
		case 2:
			n.update(store.ByID(r.ID), remove)
		default:
			continue
		}
		ended = append(ended, r.ID)
	}
	unknown := callback.NewUUID()
	got, err := n.all[2].Ended(n.Context(), append(all, unknown))
	order := func(a, b callback.UUID) int { return slices.Compare(a[:], b[:]) }
	if slices.SortFunc(got, order); err != nil || !slices.Equal(got, slices.SortedFunc(slices.Values(append(ended, unknown)), order)) {
		n.Errorf("%d have ended, want %d: %v", len(got), len(ended)+1, err)
	}
	if got, err := n.all[2].Ended(n.Context(), nil); err != nil || len(got) > 0 {
		n.Errorf("of none %d have ended: %v", len(got), err)
	}
}

func awaitedIsKnown(n *nodes) {
	erp, shop, other := callback.Digest{1}, callback.Digest{2}, callback.Digest{3}
	r := n.newRecord()
	r.Awaited = []callback.Digest{erp, shop}
	n.create(r)
	want := func(when string, want bool, until callback.Time, of ...callback.Digest) {
		n.Helper()
		for i := range n.all {
			if got, err := n.all[i].AwaitsAck(n.Context(), of, until); err != nil || got != want {
				n.Errorf("%s: node %d says %t, %v", when, i, got, err)
			}
		}
	}
	want("one of its keys", true, r.CreatedAt, shop)
	want("one of two", true, r.CreatedAt+1, other, erp)
	want("another key", false, r.CreatedAt, other)
	want("no key", false, r.CreatedAt)
	want("a call that came before it", false, r.CreatedAt-1, erp)
	changed, _ := n.at(1).update(store.ByID(r.ID), func(r *callback.Record) (store.Change, error) {
		next := *r
		next.Awaited = []callback.Digest{shop}
		return store.Change{Next: &next}, nil
	})
	want("a key that was taken away", false, r.CreatedAt, erp)
	want("a key that is left", true, r.CreatedAt, shop)
	n.at(2).update(store.ByID(changed.ID), func(r *callback.Record) (store.Change, error) {
		next, _ := r.Close(n.policy, "end", "", now)
		next.Awaited = r.Awaited
		return store.Change{Next: next}, nil
	})
	want("after its end", false, r.CreatedAt, shop)
}

func manyAreForgotten(n *nodes) {
	body := n.putBody(patterned(70 << 10))
	var gone []*callback.Record
	for i := range 10 {
		r := n.newRecord()
		r.Aliases = []callback.Digest{{byte(i), 1}}
		r.Phase, r.FinishedAt, r.KeepUntil = callback.Closed, now, now.Add(time.Minute)
		if i == 0 {
			r.Latest = &callback.Call{Method: "POST", Body: stripped(body)}
		}
		n.wait(n.create(r))
		gone = append(gone, r)
	}
	waits, later, untold := n.newRecord(), n.newRecord(), n.newRecord()
	later.Phase, later.FinishedAt, later.KeepUntil = callback.Closed, now, now.Add(time.Hour)
	untold.Phase, untold.FinishedAt, untold.KeepUntil = callback.Closed, now, now.Add(time.Minute)
	untold.Parent = callback.NewUUID()
	for _, r := range []*callback.Record{waits, later, untold} {
		n.wait(n.create(r))
	}
	forgotten := func(i int, until callback.Time, limit, want int) {
		n.Helper()
		if got, err := n.all[i].Forget(n.Context(), until, limit); err != nil || got != want {
			n.Errorf("%d are forgotten, want %d: %v", got, want, err)
		}
	}
	forgotten(0, now.Add(time.Minute)-1, 100, 0)
	forgotten(1, now.Add(time.Minute), 4, 4)
	forgotten(2, now.Add(time.Minute), 100, 6)
	forgotten(0, now.Add(time.Minute), 100, 0)
	for _, r := range gone {
		n.at(1).wantNotFound("after it was forgotten", append(n.keysOf(r.ID), store.ByAlias(r.Aliases[0]))...)
	}
	for _, r := range []*callback.Record{waits, later, untold} {
		n.at(1).wantRecord("what is kept", store.ByID(r.ID), r)
	}
	n.wantBodyGone("after its callback was forgotten", body)
}

func nodesHaveNumbers(n *nodes) {
	numbers := make(map[callback.Node]bool)
	for _, s := range n.all {
		numbers[s.Node()] = true
		for _, other := range n.all {
			n.eventually("knowing each other", func() bool { return other.Lives(s.Node()) })
		}
	}
	if len(numbers) != len(n.all) || numbers[0] || n.all[0].Lives(0) || n.all[0].Lives(1<<62) {
		n.Errorf("the nodes are %v", numbers)
	}
	gone := n.all[2].Node()
	if err := n.all[2].Close(); err != nil {
		n.Fatal(err)
	}
	n.eventually("knowing that a node has left", func() bool { return !n.all[0].Lives(gone) && !n.all[1].Lives(gone) })
	next := n.open(n.T, n.dir).(store.Shared)
	defer next.Close()
	if numbers[next.Node()] {
		n.Error("a node has got the number of another one")
	}
}

func nodesAreListed(n *nodes) {
	roster := func(i int) store.Roster { return n.all[i].(store.Roster) }
	want := func(when string, numbers ...callback.Node) {
		n.Helper()
		slices.Sort(numbers)
		for i := range numbers {
			n.eventually(when+": counting the nodes", func() bool { return roster(i).Living() == len(numbers) })
			all, err := roster(i).Nodes(n.Context())
			if err != nil {
				n.Fatal(err)
			}
			var got []callback.Node
			for _, one := range all {
				got = append(got, one.Node)
				if here := store.ThisNode(); one.Release != here.Release || one.Host != here.Host || one.Silent < 0 || one.Silent > patience {
					n.Errorf("%s: a node is listed as %+v", when, one)
				}
			}
			if !slices.Equal(got, numbers) {
				n.Errorf("%s: node %d lists %v, want %v", when, i, got, numbers)
			}
		}
	}
	want("three nodes", n.all[0].Node(), n.all[1].Node(), n.all[2].Node())
	if err := n.all[2].Close(); err != nil {
		n.Fatal(err)
	}
	want("when one has left", n.all[0].Node(), n.all[1].Node())
	if _, err := roster(2).Nodes(n.Context()); !errors.Is(err, store.ErrClosed) {
		n.Errorf("a node that has left lists nodes: %v", err)
	}
}

func lostHintsCount(n *nodes) {
	r := n.newRecord()
	n.create(r)
	idle := n.all[1].(store.Roster)
	n.eventually("losing hints that nobody takes", func() bool {
		for range 100 {
			n.update(store.ByID(r.ID), func(r *callback.Record) (store.Change, error) {
				next := *r
				next.Calls++
				return store.Change{Next: &next}, nil
			})
		}
		return idle.LostHints() > 0
	})
}

func ownedWorkIsHidden(n *nodes) {
	r := n.newRecord()
	r.Job, r.Owner = &callback.Job{NextAt: now}, n.all[2].Node()
	n.create(r)
	free := n.newRecord()
	free.Job = &callback.Job{NextAt: now + 1}
	n.create(free)
	due := func(i int) []callback.UUID {
		n.Helper()
		ids, err := n.all[i].Due(n.Context(), now+1, 10)
		if err != nil {
			n.Fatal(err)
		}
		return ids
	}
	n.eventually("knowing the owner", func() bool { return n.all[0].Lives(r.Owner) })
	if got := due(0); !slices.Equal(got, []callback.UUID{free.ID}) {
		n.Errorf("a node is shown %v, want %s alone", got, free.ID)
	}
	if got := due(2); !slices.Equal(got, []callback.UUID{r.ID, free.ID}) {
		n.Errorf("the owner is shown %v", got)
	}
	if ids, err := n.all[0].Due(n.Context(), now+1, 1); err != nil || len(ids) != 1 {
		n.Errorf("what is hidden counts: %v, %v", ids, err)
	}
	if err := n.all[2].Close(); err != nil {
		n.Fatal(err)
	}
	n.eventually("taking over what a node has left", func() bool { return len(due(0)) == 2 })
}

func nodesCountAlike(n *nodes) {
	for range 5 {
		for i := range n.all {
			n.at(i).create(n.newRecord())
		}
	}
	for i := range n.all {
		n.at(i).wantWaiting("at each node", 15)
		if off := n.all[i].Now().Sub(n.all[0].Now()).Abs(); off > time.Second {
			n.Errorf("the clocks of two nodes are off by %v", off)
		}
	}
}
