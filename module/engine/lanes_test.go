package engine

import (
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/linear"
)

// takeAll takes work until there is none that may begin.
func takeAll(ls *lanes, limit int) (taken map[lane][]callback.UUID) {
	taken = make(map[lane][]callback.UUID)
	for {
		l, id, ok := ls.take(limit)
		if !ok {
			return taken
		}
		taken[l] = append(taken[l], id)
	}
}

func TestNameAndHostGetHalfOfWhatIsDoneAtOnce(t *testing.T) {
	const limit = 8
	for name, tc := range map[string]struct {
		queued []lane
		want   int
	}{
		"one route":                          {[]lane{{"a", ""}}, 4},
		"two routes":                         {[]lane{{"a", ""}, {"b", ""}}, 8},
		"three routes":                       {[]lane{{"a", ""}, {"b", ""}, {"c", ""}}, 8},
		"deliveries of one name":             {[]lane{{"a", "1"}, {"a", "2"}, {"a", "3"}, {"a", "4"}}, 4},
		"deliveries to one host":             {[]lane{{"a", "1"}, {"b", "1"}, {"c", "1"}}, 4},
		"deliveries to a host of two names":  {[]lane{{"a", "1"}, {"b", "1"}, {"b", "2"}}, 7},
		"deliveries of one name, and routes": {[]lane{{"a", "1"}, {"a", "2"}, {"b", ""}}, 8},
	} {
		ls := newLanes()
		for range 2 * limit {
			for _, l := range tc.queued {
				ls.add(l, callback.NewUUID())
			}
		}
		sum, ofName, ofHost := 0, make(map[string]int), make(map[string]int)
		for l, ids := range takeAll(ls, limit) {
			sum += len(ids)
			ofName[l.name] += len(ids)
			ofHost[l.host] += len(ids)
		}
		delete(ofHost, "")
		if sum != tc.want || slices.Max(slices.Collect(maps.Values(ofName))) > limit/2 {
			t.Errorf("%s: %d run: %v", name, sum, ofName)
		}
		for host, n := range ofHost {
			if n > limit/2 {
				t.Errorf("%s: %d run for host %s", name, n, host)
			}
		}
	}
}

func TestNamesTakeTheirTurns(t *testing.T) {
	ls := newLanes()
	for range 100 {
		ls.add(lane{"busy", "1"}, callback.NewUUID())
		ls.add(lane{"busy", "2"}, callback.NewUUID())
	}
	ls.add(lane{"quiet", "1"}, callback.NewUUID())
	ls.add(lane{"busy", "3"}, callback.NewUUID())
	var order []lane
	for range 4 {
		l, id, _ := ls.take(8)
		ls.done(l, id)
		order = append(order, l)
	}
	if want := []lane{{"busy", "1"}, {"quiet", "1"}, {"busy", "2"}, {"busy", "3"}}; !slices.Equal(order, want) {
		t.Errorf("%v", order)
	}
}

func TestLanesForgetWhatIsDone(t *testing.T) {
	ls := newLanes()
	first, second := callback.NewUUID(), callback.NewUUID()
	for _, id := range []callback.UUID{first, second} {
		if !ls.add(lane{"a", "1"}, id) || ls.add(lane{"b", "2"}, id) {
			t.Error("a callback's work is queued other than once")
		}
	}
	for _, want := range []callback.UUID{first, second} {
		l, id, ok := ls.take(1)
		if !ok || id != want || !ls.knows(id) {
			t.Errorf("%v, %v, %t", l, id, ok)
		}
		if _, _, more := ls.take(1); more {
			t.Error("more than the limit runs")
		}
		ls.done(l, id)
	}
	if ls.knows(first) || ls.running+ls.queued+len(ls.names)+ls.turn.Len()+len(ls.ofName)+len(ls.ofHost)+len(ls.known) != 0 {
		t.Errorf("left over: %+v", ls)
	}
	ls.close()
	if ls.add(lane{"a", ""}, first) {
		t.Error("work is queued after the end")
	}
}

func TestDeliveriesToManyHostsTakeTheirTurnsInTheTimeOfTheirNumber(t *testing.T) {
	linear.Check(t, maxQueued/8, func(n int) func() {
		return func() {
			ls := newLanes()
			for i := range n {
				ls.add(lane{"a", fmt.Sprint(i)}, callback.NewUUID())
			}
			for range n {
				l, id, ok := ls.take(64)
				if !ok {
					t.Error("work is left over")
					return
				}
				ls.done(l, id)
			}
		}
	})
}

func TestLanesOfWork(t *testing.T) {
	const now = callback.Time(1_800_000_000_000)
	step := callback.Record{Phase: callback.Resolved, Parent: callback.NewUUID()}
	job := callback.Record{Phase: callback.Waiting, Name: "orders", ExpiresAt: now + 1, Job: &callback.Job{NextAt: now}}
	late := job
	late.ExpiresAt = now
	delivery := func(url string) callback.Record {
		return callback.Record{Phase: callback.Resolved, Name: "orders", Delivery: &callback.Delivery{URL: url, Total: 1, NextAt: now}, Call: new(callback.Call)}
	}
	// reporting has a job and progress that are due at these times.
	reporting := func(job, delivery callback.Time) callback.Record {
		return callback.Record{
			Phase: callback.Waiting, Name: "orders", ExpiresAt: now + 10, Job: &callback.Job{NextAt: job},
			Delivery: &callback.Delivery{URL: "https://a.example/", Total: 1, NextAt: delivery}, Outbox: []callback.Parcel{{Phase: callback.Waiting, Call: new(callback.Call)}},
		}
	}
	for name, tc := range map[string]struct {
		r    callback.Record
		want lane
		due  bool
	}{
		"step":                                 {step, lane{name: "steps"}, true},
		"job":                                  {job, lane{name: "route orders"}, true},
		"job after its end":                    {late, lane{}, false},
		"delivery":                             {delivery("https://a.example/x"), lane{"deliveries orders", "a.example:443"}, true},
		"other spelling":                       {delivery("https://A.Example.:443/y"), lane{"deliveries orders", "a.example:443"}, true},
		"progress":                             {reporting(now+1, now), lane{"deliveries orders", "a.example:443"}, true},
		"progress, for less time than the job": {reporting(now-1, now), lane{name: "route orders"}, true},
		"progress, for more time than the job": {reporting(now, now-1), lane{"deliveries orders", "a.example:443"}, true},
		"nothing":                              {callback.Record{Phase: callback.Resolved}, lane{}, false},
	} {
		if got, due := workOf(&tc.r, now); due != tc.due || got.lane != tc.want {
			t.Errorf("%s: %v, %t", name, got, due)
		}
		if _, due := workOf(&tc.r, now.Add(-time.Second)); due && name != "step" {
			t.Errorf("%s: due too early", name)
		}
	}
}
