package app

import (
	"time"

	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/engine"
)

// countEvery is how often is counted how many callbacks wait, and countFirst how long after the
// start that is done first.
const (
	countFirst = time.Second
	countEvery = 15 * time.Second
)

// count notes how many callbacks wait, now and again, until the runtime ends.
func (rt *Runtime) count() {
	next := time.NewTimer(countFirst)
	defer next.Stop()
	for {
		select {
		case <-next.C:
			next.Reset(countEvery)
		case <-rt.stopCounting:
			return
		}
		names := make(map[string]int)
		for _, t := range rt.Engine.Tally() {
			names[t.Name] = t.Waiting
		}
		rt.Trend.Waits(rt.Engine.Waiting(), names)
	}
}

// note lets the trend know of a transition.
func (w witness) note(t engine.Transition, r *callback.Record, ended bool) {
	if w.trend == nil {
		return
	}
	switch t {
	case engine.Created:
		w.trend.Made(r.Name)
		return
	case engine.Called, engine.Resolved, engine.Failed:
		if r.Call != nil && (ended || t == engine.Called) {
			w.trend.Called(r.Name, r.Call.ReceivedAt.Time().Sub(r.CreatedAt.Time()))
		}
	}
	if ended {
		w.trend.Ended(r.Name, r.Phase)
	}
}
