package engine

import (
	"testing"

	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/linear"
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
