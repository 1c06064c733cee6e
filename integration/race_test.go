package integration

import (
	"encoding/json"
	"flag"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/caddy-callback/caddy-callback/integration/harness"
)

// A long run lets 16 race 100,000 times.
var races = flag.Int("races", 200/harness.TimeFactor, "callbacks that TestRacesForACallbackHaveOneOrder lets 16 callers race for")

// seen is what a racer was told: the status of an answer, or what the API shows.
type seen struct {
	status  int
	phase   string
	payload string
}

// racer is one of the concurrent clients: it calls with a payload, closes the
// callback, or reads it.
type racer struct {
	close   bool
	payload string
}

// race is what the product promises about one callback, whatever is done to it at
// once: there is an order of all operations in which each answer is right.
var race = porcupine.Model{
	Init: func() any { return seen{phase: "waiting"} },
	Step: func(state, input, output any) (bool, any) {
		at, in, out := state.(seen), input.(racer), output.(seen)
		switch {
		case in.payload != "" && at.phase == "waiting":
			return out.status == http.StatusOK, seen{phase: "resolved", payload: in.payload}
		case in.payload != "" && at.phase == "closed":
			return out.status == http.StatusGone, at
		case in.payload == at.payload && at.phase == "resolved":
			return out.status == http.StatusOK, at
		case in.payload != "":
			return out.status == http.StatusConflict, at
		case in.close && at.phase == "waiting":
			return out.status == http.StatusNoContent, seen{phase: "closed"}
		case in.close:
			return out.status == http.StatusNoContent, at
		}
		return out.phase == at.phase && out.payload == at.payload, at
	},
	DescribeOperation: func(input, output any) string { return fmt.Sprintf("%+v: %+v", input, output) },
}

// racersOf returns sixteen racers that want different things.
func racersOf(round int) []racer {
	all := []racer{{}, {}, {}, {close: true}}
	if round%3 == 0 {
		all = append(all, racer{close: true})
	}
	for i := 0; len(all) < 16; i++ {
		all = append(all, racer{payload: fmt.Sprint("payload ", i%4)})
	}
	return all
}

// send does what the racer wants.
func (r racer) send(t *testing.T, client *http.Client, c created) (saw seen, err error) {
	t.Helper()
	req := harness.NewRequest(t, http.MethodGet, apiURL+"/"+c.ID, "", "")
	switch {
	case r.payload != "":
		req = harness.NewRequest(t, http.MethodPost, c.CallbackURL, "text/plain", r.payload)
	case r.close:
		req = harness.NewRequest(t, http.MethodDelete, apiURL+"/"+c.ID, "", "")
	}
	got, err := harness.Send(client, req).Outcome()
	if err != nil {
		return seen{}, err
	}
	if r.payload != "" || r.close {
		return seen{status: got.Status}, nil
	}
	var d document
	if err := json.Unmarshal(got.Body, &d); err != nil {
		return seen{}, fmt.Errorf("%d %s: %w", got.Status, short(got.Body), err)
	}
	if d.LatestCall != nil {
		saw.payload = d.LatestCall.Body
	}
	saw.phase = d.Phase
	return saw, nil
}

// run lets racers race for a callback, and returns what they saw.
func run(t *testing.T, client *http.Client, c created, racers []racer) (history []porcupine.Operation) {
	t.Helper()
	began := time.Now()
	history = make([]porcupine.Operation, len(racers))
	var done sync.WaitGroup
	start := make(chan struct{})
	for i, r := range racers {
		done.Go(func() {
			<-start
			op := porcupine.Operation{ClientId: i, Input: r, Call: time.Since(began).Nanoseconds()}
			saw, err := r.send(t, client, c)
			if err != nil {
				t.Error(err)
			}
			op.Output, op.Return = saw, time.Since(began).Nanoseconds()
			history[i] = op
		})
	}
	close(start)
	done.Wait()
	return history
}

func TestRacesForACallbackHaveOneOrder(t *testing.T) {
	t.Parallel()
	s := openAPI(t, harness.Config{Callback: "retain 10s"})
	client := s.Client(t, harness.HTTP1)
	var resolved, closed atomic.Int64
	concurrently(*races, 4, func(round int) {
		if t.Failed() {
			return
		}
		c := s.create(t, "{}")
		if history := run(t, client, c, racersOf(round)); !porcupine.CheckOperations(race, history) {
			t.Errorf("round %d: no order of these explains them: %+v", round, history)
		}
		switch last, err := (racer{}).send(t, client, c); {
		case err != nil:
			t.Error(err)
		case last.phase == "resolved":
			resolved.Add(1)
		default:
			closed.Add(1)
		}
	})
	if *races >= 200 && (resolved.Load() == 0 || closed.Load() == 0) {
		t.Errorf("all races ended alike: %d resolved, %d closed", resolved.Load(), closed.Load())
	}
	if !t.Failed() {
		t.Logf("figures: %d races of 16: %d resolved, %d closed; each history is linearizable, none was resolved twice",
			*races, resolved.Load(), closed.Load())
	}
}
