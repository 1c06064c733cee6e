package dashboard

import (
	"cmp"

	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/engine"
)

// blockWords are what a callback waits for that has a job.
var blockWords = map[callback.Block]string{
	callback.CallBlock: "the upstream to take the request", callback.ThenBlock: "the block then", callback.PollBlock: "the next poll", callback.FetchBlock: "its result to be fetched",
}

// waitsFor says what a callback waits for; empty if it waits for nothing any more.
func (v *visit) waitsFor(cb *engine.Callback) string {
	switch {
	case cb.Phase == callback.Waiting && cb.Job != nil:
		return cmp.Or(blockWords[cb.Job.Block], "its job") + v.again(cb.Job.Attempts, cb.Job.NextAt)
	case cb.Phase == callback.Waiting && !cb.Step.IsZero():
		return "its step"
	case cb.Confirm && undecided(cb):
		return "a person"
	case cb.Phase == callback.Waiting:
		return "the call"
	case cb.Delivery == nil:
		return ""
	case cb.Delivery.Dead:
		return "nobody: its delivery was given up"
	case cb.Delivery.Done < cb.Delivery.Total:
		return "its delivery" + v.again(cb.Delivery.Attempts, cb.Delivery.NextAt)
	}
	return ""
}

// again says which attempt comes next, and when.
func (v *visit) again(failed int, at callback.Time) string {
	if failed == 0 {
		return ""
	}
	in := at.Time().Sub(v.rt.Engine.Now())
	if in <= 0 {
		return ", attempt " + count(failed+1) + " now"
	}
	return ", attempt " + count(failed+1) + " in " + since(in)
}

// ends says how long a callback still waits, or since when it has ended.
func (v *visit) ends(cb *engine.Callback) string {
	now := v.rt.Engine.Now()
	if cb.Phase != callback.Waiting {
		return "ended " + since(now.Sub(cb.FinishedAt.Time())) + " ago"
	}
	if in := cb.ExpiresAt.Time().Sub(now); in > 0 {
		return "in " + since(in)
	}
	return "now"
}
