package engine

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/store/storetest"
)

// callAsked makes a call about which an app is asked.
func (m member) callAsked(t *testing.T, cb *Callback, body string, app func()) (callback.Verdict, error) {
	t.Helper()
	v, _, err := m.Receive(t.Context(), Incoming{
		State: m.shared.Secret().State(cb.ID), Call: &callback.Call{Method: "POST", Body: callback.NewBody([]byte(body))},
		Ask: func(context.Context, *Callback, *callback.Call, callback.Fields) *callback.Asked {
			app()
			return &callback.Asked{}
		},
	})
	return v, err
}

// The app must not accept a call, and the caller be told of a conflict.
func TestAppIsAskedAboutOneCallAtATimeWhereverTheyCome(t *testing.T) {
	membersWith(t, 3, callback.Policy{Ask: "/decide"}, func(t *testing.T, _ *storetest.Memory, nodes []member) {
		cb := nodes[0].create(t)
		var asked atomic.Int64
		kinds := make(map[callback.Kind]int)
		var mu sync.Mutex
		var done sync.WaitGroup
		for i, n := range nodes {
			done.Go(func() {
				v, err := n.callAsked(t, cb, string(rune('a'+i)), func() {
					asked.Add(1)
					time.Sleep(2 * time.Second)
				})
				if err != nil {
					t.Error(err)
				}
				mu.Lock()
				defer mu.Unlock()
				kinds[v.Kind]++
			})
		}
		done.Wait()
		if asked.Load() != 1 || kinds[callback.Accepted] != 1 || kinds[callback.Conflict] != 2 {
			t.Errorf("the app was asked %d times, and the calls are %v", asked.Load(), kinds)
		}
		synctest.Wait()
		if r := nodes[1].find(t, cb.ID); r.Asking != 0 {
			t.Errorf("node %d still asks", r.Asking)
		}
	})
}

func TestNodeThatWasGivenUpKeepsNobodyFromAsking(t *testing.T) {
	membersWith(t, 2, callback.Policy{Ask: "/decide"}, func(t *testing.T, m *storetest.Memory, nodes []member) {
		cb := nodes[0].create(t)
		release, late := make(chan struct{}), make(chan callback.Verdict)
		go func() {
			v, _ := nodes[0].callAsked(t, cb, "a", func() { <-release })
			late <- v
		}()
		synctest.Wait()
		m.GiveUp(nodes[0].shared)
		if v, err := nodes[1].callAsked(t, cb, "b", func() {}); err != nil || v.Kind != callback.Accepted {
			t.Errorf("the call at the other node is %v, %v", v.Kind, err)
		}
		close(release)
		if v := <-late; v.Kind != callback.Conflict {
			t.Errorf("the call at the node that was given up is %v", v.Kind)
		}
	})
}
