package engine

import (
	"cmp"
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
	"go.uber.org/zap"

	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/store"
	"github.com/caddy-callback/caddy-callback/module/store/badger"
	"github.com/caddy-callback/caddy-callback/module/store/postgres"
	"github.com/caddy-callback/caddy-callback/module/store/postgres/postgrestest"
	"github.com/caddy-callback/caddy-callback/module/store/storetest"
)

// races is the number of callbacks that the test races for; use 100000 for a long run.
var races = flag.Int("races", 500, "callbacks that TestHistoriesAreLinearizable lets 16 callers race for; ten times as many on PostgreSQL")

// attempt is what one of the racers does: it calls with a payload, closes, or looks.
type attempt struct {
	call, close bool
	payload     string
}

// outcome is what the racer saw.
type outcome struct {
	kind    callback.Kind
	phase   callback.Phase
	payload string
}

// position is the callback in the model: the accepted call is the result, and an end
// is never undone.
type position struct {
	phase   callback.Phase
	payload string
}

// oneCallback is what the product promises for one callback that many use at once.
var oneCallback = porcupine.Model{
	Init: func() any { return position{phase: callback.Waiting} },
	Step: func(state, input, output any) (bool, any) {
		at, in, out := state.(position), input.(attempt), output.(outcome)
		switch {
		case in.call && at.phase == callback.Waiting:
			return out.kind == callback.Accepted, position{callback.Resolved, in.payload}
		case in.call && at.phase == callback.Resolved && in.payload == at.payload:
			return out.kind == callback.Repeated, at
		case in.call && at.phase == callback.Resolved:
			return out.kind == callback.Conflict, at
		case in.call:
			return out.kind == callback.Gone, at
		case in.close && at.phase == callback.Waiting:
			return out.phase == callback.Closed, position{phase: callback.Closed}
		}
		return out.phase == at.phase && out.payload == at.payload, at
	},
	DescribeOperation: func(input, output any) string { return fmt.Sprintf("%+v: %+v", input, output) },
}

// try makes an attempt.
func (b *bed) try(cb *Callback, a attempt) (outcome, error) {
	ctx := context.Background()
	if a.call {
		v, err := b.tryCall(ctx, cb, a.payload)
		return outcome{kind: v.Kind}, err
	}
	var r *callback.Record
	var err error
	if a.close {
		r, err = b.CloseCallback(ctx, store.ByID(cb.ID), "raced for", "")
	} else {
		var found *Callback
		if found, err = b.Find(ctx, store.ByID(cb.ID)); err == nil {
			r = found.Record
		}
	}
	if err != nil {
		return outcome{}, err
	}
	saw := outcome{phase: r.Phase}
	if r.Call != nil {
		saw.payload = string(r.Call.Body.Data)
	}
	return saw, nil
}

// racers are sixteen callers that do different things with one callback.
func racers(round int) []attempt {
	all := []attempt{{}, {}, {}, {}, {close: true}}
	if round%3 == 0 {
		all = append(all, attempt{close: true})
	}
	for i := 0; len(all) < 16; i++ {
		all = append(all, attempt{call: true, payload: string(rune('a' + i%4))})
	}
	// The goroutine that is started last often runs first.
	rand.New(rand.NewPCG(uint64(round), 1)).Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	return all
}

// The promise is the product's, so the store is the embedded one.
func TestHistoriesAreLinearizable(t *testing.T) {
	s, err := badger.Open(badger.Options{Dir: t.TempDir(), MinFree: badger.MinMinFree, Log: zap.NewNop()})
	if err != nil {
		t.Fatal(err)
	}
	wantLinearizable(t, *races, 1, newBedOn(t, s, Limits{MaxMemory: 64 << 20, MaxWaiting: *races + 1, MaxHeld: 1000}, callback.Policy{}))
}

func TestHistoriesOfSeveralNodesAreLinearizable(t *testing.T) {
	m := storetest.NewMemory()
	wantLinearizable(t, *races, 1, newNode(t, m.Join(), callback.Policy{}), newNode(t, m.Join(), callback.Policy{}), newNode(t, m.Join(), callback.Policy{}))
}

// The store is a real database, and what one node has decided the others may not know yet.
func TestHistoriesOfNodesOnPostgreSQLAreLinearizable(t *testing.T) {
	url, schema := postgrestest.New(t)
	o := postgres.Options{URL: url, Schema: schema, Migrate: true, Secrets: callback.NewSecrets(callback.NewSecret()), Log: zap.NewNop()}
	var nodes []*bed
	for range 3 {
		s, err := postgres.Open(o)
		if err != nil {
			t.Fatal(err)
		}
		nodes = append(nodes, newNode(t, s, callback.Policy{}))
	}
	wantLinearizable(t, 10**races, 32, nodes...)
}

// wantLinearizable lets callers race for callbacks, each at one of the nodes, and checks that
// what they saw has an order. It races for some of the callbacks at once.
func wantLinearizable(t *testing.T, races, atOnce int, nodes ...*bed) {
	t.Helper()
	var next, resolved, closed atomic.Int64
	var done sync.WaitGroup
	for range atOnce {
		done.Go(func() {
			for round := int(next.Add(1)) - 1; round < races && !t.Failed(); round = int(next.Add(1)) - 1 {
				switch race(t, round, nodes) {
				case callback.Resolved:
					resolved.Add(1)
				case callback.Closed:
					closed.Add(1)
				}
			}
		})
	}
	done.Wait()
	t.Logf("%d were resolved, %d closed", resolved.Load(), closed.Load())
	if resolved.Load() == 0 || closed.Load() == 0 {
		t.Errorf("all races ended alike: %d were resolved, %d closed", resolved.Load(), closed.Load())
	}
}

// race lets callers race for one callback, and returns how it ended.
func race(t *testing.T, round int, nodes []*bed) callback.Phase {
	cb, err := nodes[round%len(nodes)].Create(t.Context(), Spec{Policy: nodes[0].policy, Spec: callback.Spec{ExpiresIn: time.Minute}})
	if err != nil {
		t.Error(err)
		return 0
	}
	began := time.Now()
	var mu sync.Mutex
	var history []porcupine.Operation
	var done sync.WaitGroup
	start := make(chan struct{})
	for i, a := range racers(round) {
		done.Go(func() {
			<-start
			called := time.Since(began).Nanoseconds()
			saw, err := nodes[i%len(nodes)].try(cb, a)
			op := porcupine.Operation{ClientId: i, Input: a, Call: called, Output: saw, Return: time.Since(began).Nanoseconds()}
			if err != nil {
				t.Error(err)
				return
			}
			mu.Lock()
			defer mu.Unlock()
			history = append(history, op)
		})
	}
	close(start)
	done.Wait()
	if !explained(history) && !porcupine.CheckOperations(oneCallback, history) {
		t.Errorf("round %d: no order of these explains them: %+v", round, history)
	}
	final, err := nodes[0].try(cb, attempt{})
	if err != nil {
		t.Error(err)
	}
	return final.phase
}

// explained reports whether the order explains a history that usually does: first those who saw
// the callback wait, then the one who ended it, and then all others as they came. Of histories
// that it does not explain nothing is known.
func explained(history []porcupine.Operation) bool {
	rank := func(op porcupine.Operation) int {
		in, out := op.Input.(attempt), op.Output.(outcome)
		switch {
		case out.phase == callback.Waiting:
			return 0
		case out.kind == callback.Accepted:
			return 1
		case in.close && out.phase == callback.Closed:
			return 2
		}
		return 3
	}
	slices.SortFunc(history, func(a, b porcupine.Operation) int {
		return cmp.Or(cmp.Compare(rank(a), rank(b)), cmp.Compare(a.Call, b.Call))
	})
	// Once the callback is closed, whoever closes it again is one of the others.
	ended := slices.IndexFunc(history, func(op porcupine.Operation) bool { return rank(op) > 0 })
	if ended >= 0 {
		slices.SortFunc(history[ended+1:], func(a, b porcupine.Operation) int { return cmp.Compare(a.Call, b.Call) })
	}
	state, latest := oneCallback.Init(), int64(0)
	for _, op := range history {
		var ok bool
		ok, state = oneCallback.Step(state, op.Input, op.Output)
		if !ok || op.Return < latest {
			return false
		}
		latest = max(latest, op.Call)
	}
	return true
}

func TestHistoriesThatNoOrderExplainsAreFound(t *testing.T) {
	t.Parallel()
	op := func(a attempt, o outcome, from, to int64) porcupine.Operation {
		return porcupine.Operation{Input: a, Output: o, Call: from, Return: to}
	}
	call := attempt{call: true, payload: "a"}
	accepted, waiting := op(call, outcome{kind: callback.Accepted}, 0, 2), outcome{phase: callback.Waiting}
	resolved, closed := outcome{phase: callback.Resolved, payload: "a"}, outcome{phase: callback.Closed}
	for name, tc := range map[string]struct {
		history []porcupine.Operation
		fine    bool
	}{
		"seen before its end is known":  {[]porcupine.Operation{op(attempt{}, waiting, 1, 3), accepted}, true},
		"closed twice":                  {[]porcupine.Operation{op(attempt{close: true}, closed, 3, 4), op(attempt{}, closed, 3, 4), op(attempt{close: true}, closed, 1, 2)}, true},
		"seen waiting after its end":    {[]porcupine.Operation{accepted, op(attempt{}, waiting, 3, 4)}, false},
		"resolved twice":                {[]porcupine.Operation{accepted, accepted}, false},
		"ended before anybody ended it": {[]porcupine.Operation{op(attempt{}, resolved, 0, 1), op(call, outcome{kind: callback.Accepted}, 2, 3)}, false},
		"seen with another payload":     {[]porcupine.Operation{accepted, op(attempt{}, outcome{phase: callback.Resolved, payload: "b"}, 3, 4)}, false},
	} {
		if explained(tc.history) != tc.fine || porcupine.CheckOperations(oneCallback, tc.history) != tc.fine {
			t.Errorf("%s: it is not said rightly whether an order explains it", name)
		}
	}
}
