package engine

import (
	"context"
	"errors"
	"time"

	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/store"
)

// awaitedEvery is how often a call looks for the callback that an ack may name at another
// node. A hint is quicker.
const awaitedEvery = 500 * time.Millisecond

// clocksWithin is by how much the clocks of two nodes may differ, though both follow that of
// the store.
const clocksWithin = time.Second

// receiveAwaited is receiveEarly where the ack can come to another node: the store knows which
// acks are awaited. Those of requests that came after the call cannot mean it.
func (e *Engine) receiveAwaited(ctx context.Context, in Incoming, keys []string, meant []callback.Correlation) (callback.Verdict, *callback.Policy, error) {
	until := callback.At(e.now())
	call, err := e.early.enterAnyway(keys, meant)
	if err != nil {
		return callback.Verdict{}, nil, err
	}
	defer e.early.leave(call)
	timer, look := time.NewTimer(earlyFor), time.NewTicker(awaitedEvery)
	defer timer.Stop()
	defer look.Stop()
	for last := false; ; {
		// What is not awaited any more may have come since the last look.
		last = last || !e.awaitsElsewhere(ctx, keys, until)
		verdict, policy, err := e.takeCorrelated(ctx, in, meant)
		if last || !errors.Is(err, store.ErrNotFound) {
			return verdict, policy, err
		}
		select {
		case <-call.again:
		case <-look.C:
		case <-timer.C:
			last = true
		case <-ctx.Done():
			return callback.Verdict{}, nil, ctx.Err()
		}
	}
}

// awaitsElsewhere reports whether an ack is awaited, at whichever node, whose callback one of
// these keys can call, and whose request may have come before until. If the store cannot say,
// it is.
func (e *Engine) awaitsElsewhere(ctx context.Context, keys []string, until callback.Time) bool {
	if len(keys) == 0 {
		return false
	}
	yes, err := e.shared.AwaitsAck(ctx, callback.AwaitedOf(keys), until.Add(clocksWithin))
	return yes || err != nil
}

// ackCannotCome notes in the record that its callback gets no correlation id from an ack, unless
// its job goes on. Until then, calls that belong to nobody wait for that ack.
func (e *Engine) ackCannotCome(id callback.UUID) {
	for passes(e.tryAckCannotCome(id)) && e.pauses(unclaimEvery) {
	}
}

func (e *Engine) tryAckCannotCome(id callback.UUID) error {
	ctx, cancel := context.WithTimeout(context.Background(), unclaimWithin)
	defer cancel()
	_, _, err := e.update(ctx, store.ByID(id), func(r *callback.Record) (store.Change, error) {
		if r.Awaited == nil || r.Job != nil {
			return store.Change{}, nil
		}
		next := *r
		next.Awaited = nil
		return store.Change{Next: &next}, nil
	})
	return err
}
