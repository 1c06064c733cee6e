package engine

import (
	"cmp"
	"context"
	"errors"

	"go.uber.org/zap"

	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/deliver"
	"github.com/caddy-callback/caddy-callback/module/failpoint"
	"github.com/caddy-callback/caddy-callback/module/store"
)

// Worker does the background work of callbacks. Its methods return soon after their
// context has ended; what they return then is not recorded.
type Worker interface {
	// CanAttempt reports whether the configuration says how a callback's job is done, and
	// CanDeliver how its results are delivered.
	CanAttempt(r *callback.Record) bool
	CanDeliver(r *callback.Record) bool
	// Attempt tries to do a callback's job once.
	Attempt(ctx context.Context, cb *Callback) callback.Attempt
	// Deliver tries once to send a callback's result to its client. number tells which
	// of the callback's results it is.
	Deliver(ctx context.Context, cb *Callback, number int) callback.Sent
}

// SetWorker sets the worker that does the background work. With nil the work waits.
func (e *Engine) SetWorker(w Worker) {
	if w == nil {
		e.worker.Store(nil)
		return
	}
	e.worker.Store(&w)
	e.kick()
}

// offer queues the work of a callback, if it has any that is due and this node owns.
func (e *Engine) offer(r *callback.Record) {
	if t, due := workOf(r, callback.At(e.now())); due && e.owns(r) && e.lanes.add(t.lane, r.ID) {
		e.kick()
	}
}

// task is work of a callback that is due.
type task struct {
	lane
	kind  taskKind
	since callback.Time
}

// taskKind is the kind of a task.
type taskKind uint8

const (
	// telling: the parent of a step is to be told of its end.
	telling taskKind = iota + 1
	attempting
	delivering
)

// workOf returns the work of a callback that is due at this time; false if there is none. Of
// a job and a delivery it is the one that has been due for longer.
func workOf(r *callback.Record, now callback.Time) (t task, due bool) {
	if r.Untold() {
		return task{lane{name: "steps"}, telling, r.FinishedAt}, true
	}
	if r.Phase == callback.Waiting && r.Job != nil && r.Job.NextAt <= now && now < r.ExpiresAt {
		t = task{lane{name: "route " + r.Name}, attempting, r.Job.NextAt}
	}
	parcel, _, pending := r.ToDeliver()
	if pending && r.Delivery.NextAt <= now && (t.kind == 0 || r.Delivery.NextAt < t.since) {
		t = task{lane{name: "deliveries " + r.Name, host: deliver.Host(parcel.DeliveryURL())}, delivering, r.Delivery.NextAt}
	}
	return t, t.kind != 0
}

// kick makes dispatch look for work that can begin.
func (e *Engine) kick() {
	select {
	case e.kicked <- struct{}{}:
	default:
	}
}

// dispatch begins work as long as there is some, and then waits for more.
func (e *Engine) dispatch(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			e.lanes.close()
			return
		case <-e.kicked:
		}
		worker := e.worker.Load()
		if worker == nil {
			continue
		}
		for {
			l, id, ok := e.lanes.take(e.limits.Load().Concurrency)
			if !ok {
				break
			}
			e.background.Go(func() {
				again := e.work(ctx, *worker, id)
				e.lanes.done(l, id)
				// Work that became due meanwhile was not queued.
				if again {
					e.offerNewest(ctx, id)
				}
				e.kick()
			})
		}
	}
}

// offerNewest queues the work of a callback by its newest record.
func (e *Engine) offerNewest(ctx context.Context, id callback.UUID) {
	if cb, err := e.Find(ctx, store.ByID(id)); err == nil {
		e.offer(cb.Record)
	}
}

// work does the work of a callback that is due, and reports whether the outcome was
// recorded or nothing was due. It begins nothing before the record that asks for the
// work is committed, and nothing while the store cannot record outcomes: the same work
// would be done over and over.
func (e *Engine) work(ctx context.Context, worker Worker, id callback.UUID) bool {
	if e.unrecorded.Load() && e.store.Ready() != nil {
		return false
	}
	e.unrecorded.Store(false)
	cb, err := e.Find(ctx, store.ByID(id))
	if err != nil || store.Wait(ctx, cb.Commit) != nil {
		return false
	}
	now := callback.At(e.now())
	t, due := workOf(cb.Record, now)
	if !due || !e.owns(cb.Record) {
		return true
	}
	switch {
	case e.shared != nil && !e.can(cb.Record, t, now):
		err = e.giveBack(ctx, id)
	case t.kind == telling:
		err = e.tellParent(ctx, cb)
	case t.kind == attempting:
		err = e.attempt(ctx, worker, cb)
	default:
		err = e.deliver(ctx, worker, cb)
	}
	if errors.Is(err, store.ErrFull) || errors.Is(err, store.ErrFailed) {
		e.unrecorded.Store(true)
	}
	if errors.Is(err, store.ErrNotFound) || errors.Is(err, errLost) {
		// The callback was removed meanwhile, or is another node's: nothing is to be done
		// for it here.
		err = nil
	}
	if err != nil && ctx.Err() == nil {
		e.outages.work.Failed(causeOf(err), 1, zap.Stringer("id", id), zap.Error(err))
	}
	return err == nil
}

// attempt tries to do a callback's job once.
func (e *Engine) attempt(ctx context.Context, worker Worker, cb *Callback) error {
	block := cb.Job.Block
	_ = failpoint.Hit("attempt.begun")
	attempt := worker.Attempt(ctx, cb)
	if attempt.Done != nil {
		defer attempt.Done()
	}
	_ = failpoint.Hit("attempt.done")
	if err := cmp.Or(ctx.Err(), attempt.Lost); err != nil {
		return err
	}
	recorded := func() (*callback.Record, error) {
		return e.record(ctx, cb, cmp.Or(attemptTransitions[attempt.Kind], JobEnded), func(r *callback.Record) *callback.Record {
			next, _ := r.Attempted(cb.Policy, block, attempt, callback.At(e.now()))
			return next
		})
	}
	if attempt.Call != nil && isLarge(attempt.Call.Body) {
		return e.withFile(ctx, &attempt.Call.Body, recorded)
	}
	return e.withResponse(ctx, attempt.Response, recorded)
}

// BeginPolling notes that an upstream which has accepted its request is asked for the result
// from a time on, too. It does not wait for the commit.
func (e *Engine) BeginPolling(ctx context.Context, id callback.UUID, job callback.Job) (store.Commit, error) {
	r, commit, err := e.update(ctx, store.ByID(id), func(r *callback.Record) (store.Change, error) {
		next, _ := r.Poll(job)
		return store.Change{Next: next}, nil
	})
	if err == nil {
		e.offer(r)
	}
	return commit, err
}

// attemptTransitions are the results of attempts that do not end their job.
var attemptTransitions = map[callback.AttemptKind]Transition{
	callback.AttemptAcked: JobAccepted, callback.AttemptContinued: JobPassedOn, callback.AttemptUnknown: JobUnknown, callback.AttemptRetry: JobRetried,
	callback.AttemptPolled: JobPolled,
}

// deliver tries once to send a callback's result, or progress, to its client.
func (e *Engine) deliver(ctx context.Context, worker Worker, cb *Callback) error {
	record, number, pending := cb.ToDeliver()
	if !pending {
		return nil
	}
	parcel := *cb
	parcel.Record = record
	_ = failpoint.Hit("send.begun")
	sent := worker.Deliver(ctx, &parcel, number)
	sent.Round = cb.Delivery.Round
	_ = failpoint.Hit("send.done")
	if ctx.Err() != nil {
		return ctx.Err()
	}
	what := DeliveryRetried
	switch {
	case sent.Waits:
		what = DeliveryWaits
	case sent.OK:
		what = Delivered
	case cb.GivesUp(sent):
		what = DeliveryGivenUp
	}
	_, err := e.record(ctx, cb, what, func(r *callback.Record) *callback.Record {
		next, _ := r.Delivered(cb.Policy, number, sent, callback.At(e.now()))
		return next
	})
	return err
}

// record stores the outcome of a callback's work, and waits for its commit. Only then is
// anybody told: no partner would repeat an outcome that is lost. It returns the newest
// record, unless the outcome was not taken. errLost: another node owns the work.
func (e *Engine) record(ctx context.Context, cb *Callback, t Transition, next func(*callback.Record) *callback.Record) (*callback.Record, error) {
	changed, before := false, callback.Waiting
	r, commit, err := e.update(ctx, store.ByID(cb.ID), func(r *callback.Record) (store.Change, error) {
		if r.Owner != cb.Owner {
			return store.Change{}, errLost
		}
		n := next(r)
		changed, before = n != nil, r.Phase
		return store.Change{Next: n}, nil
	})
	if err != nil {
		return nil, err
	}
	r = r.Lean()
	if changed {
		e.note(t, r, before == callback.Waiting && r.Phase.Final())
	}
	if err := store.Wait(ctx, commit); err != nil {
		return r, err
	}
	if changed {
		e.waiters.tell(r, nil)
		e.waiters.tellDurable(r, nil)
	}
	return r, nil
}

// tellParent ends the parent of a step that has ended.
func (e *Engine) tellParent(ctx context.Context, step *Callback) error {
	parent, err := e.Find(ctx, store.ByID(step.Parent))
	if err == nil {
		err = e.tell(ctx, parent, step)
	}
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return err
	}
	e.offerNewest(ctx, step.Parent)
	_, err = e.record(ctx, step, StepTold, func(r *callback.Record) *callback.Record {
		next, _ := r.Tell()
		return next
	})
	return err
}

// tell ends a callback with the result of its step.
func (e *Engine) tell(ctx context.Context, parent, step *Callback) error {
	result, err := e.resultOf(ctx, step)
	if err != nil && !errors.Is(err, store.ErrDamaged) {
		return err
	}
	return e.withResponse(ctx, result, func() (*callback.Record, error) {
		return e.record(ctx, parent, StepFollowed, func(r *callback.Record) *callback.Record {
			next, _ := r.Follow(parent.Policy, step.Record, result, callback.At(e.now()))
			return next
		})
	})
}

// resultOf returns a callback's result as a response with a body of its own; nil if the
// result has no body.
func (e *Engine) resultOf(ctx context.Context, cb *Callback) (*callback.Response, error) {
	if cb.Phase != callback.Resolved && cb.Phase != callback.Failed {
		return nil, nil
	}
	result := cb.Result(cb.Policy)
	if result.Body == nil {
		return nil, nil
	}
	content, err := e.Bodies(cb.ID).Result(ctx, result, cb.Policy)
	if err != nil {
		return nil, err
	}
	defer func() { _ = content.Close() }()
	body, err := e.keep(ctx, content)
	if err != nil {
		return nil, err
	}
	return &callback.Response{Status: result.Status, Header: result.Header, Body: body}, nil
}
