package engine

import (
	"testing"

	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/linear"
	"github.com/caddy-callback/caddy-callback/module/memory"
)

func TestWaitersLeaveInAnyOrder(t *testing.T) {
	id := callback.NewUUID()
	for name, order := range map[string][]int{"first to last": {0, 1, 2, 3}, "last to first": {3, 2, 1, 0}, "from the middle": {2, 1, 3, 0}} {
		ws := newWaiters()
		var all []*Waiter
		for range order {
			w, err := ws.add(&Waiter{id: id}, len(order))
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, w)
		}
		for left, i := range order {
			all[i].Stop()
			all[i] = nil
			ws.tell(&callback.Record{ID: id, Phase: callback.Closed}, nil)
			for j, w := range all {
				if w == nil {
					continue
				}
				select {
				case <-w.C:
				default:
					t.Errorf("%s: waiter %d is not told when %d have left", name, j, left+1)
				}
			}
		}
		if ends, changes := ws.ids(); len(ends)+len(changes) != 0 || ws.count.Load() != 0 {
			t.Errorf("%s: %d waiters of %v are left", name, ws.count.Load(), append(ends, changes...))
		}
	}
}

// A waiter that is slow is told the latest change, and in any case the end.
func TestWaiterIsToldTheLatestChangeAndTheFirstEnd(t *testing.T) {
	id := callback.NewUUID()
	change := func(calls int) *callback.Record {
		return &callback.Record{ID: id, Phase: callback.Waiting, Calls: calls}
	}
	end := func(calls int) *callback.Record {
		return &callback.Record{ID: id, Phase: callback.Resolved, Calls: calls}
	}
	for name, c := range map[string]struct {
		told []*callback.Record
		want *callback.Record
	}{
		"changes":                      {[]*callback.Record{change(1), change(2), change(3)}, change(3)},
		"a change that is told late":   {[]*callback.Record{change(2), change(1)}, change(2)},
		"an end after a change":        {[]*callback.Record{change(2), end(3)}, end(3)},
		"an end that is told late":     {[]*callback.Record{end(3), change(2)}, end(3)},
		"further calls after the end":  {[]*callback.Record{change(1), end(2), end(3)}, end(2)},
		"the end, from which to begin": {[]*callback.Record{end(1), end(1)}, end(1)},
	} {
		ws, pool := newWaiters(), new(memory.Pool)
		pool.SetLimits(1000, 1000)
		w, err := ws.add(&Waiter{id: id, durable: true}, 1)
		if err != nil {
			t.Fatal(err)
		}
		ws.tellDurable(change(0), nil)
		w.Follow()
		for _, r := range c.told {
			lease := pool.For(memory.Nobody).Count(1)
			ws.tell(r, lease)
			ws.tellDurable(r, lease)
			lease.Release()
		}
		if used := pool.Used(); used != 1 {
			t.Errorf("%s: %d notices are kept", name, used)
		}
		select {
		case n := <-w.C:
			if n.Record.Phase != c.want.Phase || n.Record.Calls != c.want.Calls {
				t.Errorf("%s: told %+v, want %+v", name, n.Record, c.want)
			}
			n.Done()
		default:
			t.Errorf("%s: told nothing", name)
		}
		if w.Stop(); pool.Used() != 0 {
			t.Errorf("%s: %d notices are kept in the end", name, pool.Used())
		}
	}
}

// Who follows a callback waits for its end; who waits for any change does not.
func TestWhoFollowsACallbackAttendsIt(t *testing.T) {
	e, id := &Engine{waiters: newWaiters()}, callback.NewUUID()
	e.limits.Store(&Limits{MaxHeld: 10})
	looks, err := e.AwaitChange(id)
	if err != nil {
		t.Fatal(err)
	}
	defer looks.Stop()
	if e.waiters.attend(id) {
		t.Error("who waits for a change attends the callback")
	}
	one, _ := e.Await(id, true)
	defer one.Stop()
	one.Follow()
	if !e.waiters.attend(id) || !one.Alone() {
		t.Errorf("attended: %v, alone: %v", e.waiters.attend(id), one.Alone())
	}
	other, _ := e.Await(id, true)
	other.Follow()
	if one.Alone() {
		t.Error("two are alone")
	}
	other.Stop()
	if !one.Alone() {
		t.Error("who is left is not alone")
	}
}

func TestManyWaitersOfOneCallbackLeaveInTheTimeOfTheirNumber(t *testing.T) {
	linear.Check(t, 1000, func(n int) func() {
		id := callback.NewUUID()
		return func() {
			ws, all := newWaiters(), make([]*Waiter, n)
			for i := range all {
				all[i], _ = ws.add(&Waiter{id: id}, n)
			}
			for _, w := range all {
				w.Stop()
			}
		}
	})
}
