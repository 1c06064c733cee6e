package engine

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
	"go.uber.org/zap"

	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/store"
	"github.com/caddy-callback/caddy-callback/module/store/badger"
	"github.com/caddy-callback/caddy-callback/module/store/storetest"
)

// races is the number of callbacks that the test races for; use 100000 for a long run.
var races = flag.Int("races", 500, "callbacks that TestHistoriesAreLinearizable lets 16 callers race for")

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
		r, err = b.CloseCallback(ctx, store.ByID(cb.ID), "raced for")
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
	wantLinearizable(t, newBedOn(t, s, Limits{MaxMemory: 64 << 20, MaxWaiting: *races + 1, MaxHeld: 1000}, callback.Policy{}))
}

func TestHistoriesOfSeveralNodesAreLinearizable(t *testing.T) {
	m := storetest.NewMemory()
	wantLinearizable(t, newNode(t, m.Join(), callback.Policy{}), newNode(t, m.Join(), callback.Policy{}), newNode(t, m.Join(), callback.Policy{}))
}

// wantLinearizable lets callers race for callbacks, each at one of the nodes, and checks that
// what they saw has an order.
func wantLinearizable(t *testing.T, nodes ...*bed) {
	t.Helper()
	began := time.Now()
	ended := map[callback.Phase]int{}
	for round := range *races {
		cb := nodes[round%len(nodes)].create(t)
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
		if !porcupine.CheckOperations(oneCallback, history) {
			t.Fatalf("round %d: no order of these explains them: %+v", round, history)
		}
		final, err := nodes[0].try(cb, attempt{})
		if err != nil {
			t.Fatal(err)
		}
		ended[final.phase]++
	}
	if ended[callback.Resolved] == 0 || ended[callback.Closed] == 0 {
		t.Errorf("all races ended alike: %v", ended)
	}
}
