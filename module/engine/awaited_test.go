package engine

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/store/storetest"
)

// awaiting makes a callback whose ack is to name its correlation id.
func (m member) awaiting(t *testing.T) (cb *Callback, came func()) {
	t.Helper()
	cb, err := m.Create(t.Context(), Spec{Policy: m.policy, Spec: callback.Spec{ExpiresIn: time.Hour, AwaitsID: true}})
	if err != nil {
		t.Fatal(err)
	}
	return cb, m.ExpectAck(cb.ID, m.policy.Keys)
}

func erpMembers(t *testing.T, n int, test func(t *testing.T, m *storetest.Memory, nodes []member)) {
	t.Helper()
	membersWith(t, n, callback.Policy{Keys: []string{"erp", "shop"}}, test)
}

func TestCallThatOvertakesAnAckWaitsForItAtAnyNode(t *testing.T) {
	erpMembers(t, 2, func(t *testing.T, _ *storetest.Memory, nodes []member) {
		a, b := nodes[0], nodes[1]
		for _, at := range nodes {
			cb, came := a.awaiting(t)
			call := at.early(t, "job-7 of "+cb.ID.String(), "erp")
			time.Sleep(3 * time.Second)
			wantStillWaiting(t, call)
			a.correlate(t, cb, "job-7 of "+cb.ID.String())
			came()
			got := <-call
			if got.err != nil || got.kind != callback.Accepted || got.took > 3*time.Second+awaitedEvery {
				t.Errorf("got %+v", got)
			}
			b.wantPhase(t, callback.Resolved, cb)
		}
	})
}

func TestCallOfNobodyIsAnsweredAtOnceAtAnyNode(t *testing.T) {
	erpMembers(t, 2, func(t *testing.T, _ *storetest.Memory, nodes []member) {
		a, b := nodes[0], nodes[1]
		a.create(t)
		wantUnmatched(t, b.early(t, "nobody's", "erp"), 0)
		_, came := a.awaiting(t)
		defer came()
		wantUnmatched(t, b.early(t, "nobody's", "another"), 0)
		wantUnmatched(t, b.early(t, "nobody's"), 0)
		if !b.Expects(t.Context(), callback.Caller{Names: []string{"erp"}}, "nobody's") || b.Expects(t.Context(), callback.Caller{Names: []string{"another"}}, "nobody's") {
			t.Error("what is awaited at another node is not known")
		}
	})
}

// A partner calls only about a request that it has got.
func TestCallDoesNotWaitForTheAcksOfLaterRequestsAtAnotherNode(t *testing.T) {
	erpMembers(t, 2, func(t *testing.T, _ *storetest.Memory, nodes []member) {
		a, b := nodes[0], nodes[1]
		first, came := a.awaiting(t)
		time.Sleep(time.Millisecond)
		call := b.early(t, "nobody's", "erp")
		time.Sleep(clocksWithin + time.Millisecond)
		_, later := a.awaiting(t)
		defer later()
		a.correlate(t, first, "job-8")
		came()
		wantUnmatched(t, call, clocksWithin+awaitedEvery)
	})
}

// The call comes a moment after the request, which has come later by the clock of its node.
func TestCallWaitsForAnAckAtANodeWhoseClockIsAhead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := storetest.NewMemory()
		ahead, s := func() time.Time { return time.Now().Add(clocksWithin / 2) }, m.Join()
		policy := callback.Policy{Keys: []string{"erp"}}
		a, b := member{newNodeAt(t, s, policy, ahead), s}, newNode(t, m.Join(), policy)
		cb, came := a.awaiting(t)
		time.Sleep(time.Millisecond)
		call := b.early(t, "job-9", "erp")
		time.Sleep(time.Second)
		wantStillWaiting(t, call)
		a.correlate(t, cb, "job-9")
		came()
		if got := <-call; got.err != nil || got.kind != callback.Accepted {
			t.Errorf("got %+v", got)
		}
	})
}

func TestCallWaitsForNoAckThatCannotComeToAnotherNode(t *testing.T) {
	erpMembers(t, 2, func(t *testing.T, _ *storetest.Memory, nodes []member) {
		a, b := nodes[0], nodes[1]
		_, came := a.awaiting(t)
		call := b.early(t, "nobody's", "erp")
		came()
		wantUnmatched(t, call, awaitedEvery)
		wantUnmatched(t, b.early(t, "nobody's", "erp"), 0)
		_, came = a.awaiting(t)
		defer came()
		wantUnmatched(t, b.early(t, "nobody's", "shop"), earlyFor)
	})
}

func TestCallsThatWaitForAnAckAtAnotherNodeAreBounded(t *testing.T) {
	erpMembers(t, 2, func(t *testing.T, _ *storetest.Memory, nodes []member) {
		a, b := nodes[0], nodes[1]
		_, came := a.awaiting(t)
		var calls []<-chan taken
		for range maxEarly {
			calls = append(calls, b.early(t, "nobody's", "erp"))
		}
		if got := <-b.early(t, "nobody's", "erp"); got.err != ErrBusy {
			t.Errorf("one more: %+v", got)
		}
		wantUnmatched(t, b.early(t, "nobody's", "another"), 0)
		came()
		for _, call := range calls {
			<-call
		}
		synctest.Wait()
		if ea := b.Engine.early; len(ea.patient) > 0 || len(ea.wanted) > 0 {
			t.Errorf("%d keys and %d aliases are left", len(ea.patient), len(ea.wanted))
		}
	})
}
