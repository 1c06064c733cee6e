// Package engine takes callbacks through their life: it creates them, receives calls,
// tells waiters, and acts when something is due. Package callback decides what happens
// to a callback, and a store keeps it. The engine brings the two together and knows
// neither HTTP nor Caddy.
package engine

import (
	"cmp"
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/memory"
	"github.com/caddy-callback/caddy-callback/module/store"
)

// Limits bound what the engine takes on.
type Limits struct {
	// MaxMemory bounds the bytes of all bodies that are buffered at once, MaxBody those
	// of one.
	MaxMemory, MaxBody int64
	// MaxWaiting bounds the callbacks in phase waiting.
	MaxWaiting int
	// MaxHeld bounds the waiters of every kind.
	MaxHeld int
	// Concurrency bounds the jobs and deliveries that run at once.
	Concurrency int
}

// Engine is safe for concurrent use. One engine has one store.
type Engine struct {
	store store.Store
	// shared is the store if several nodes use it, else nil.
	shared store.Shared
	// roster is the store if it knows its nodes, else nil.
	roster  store.Roster
	log     *zap.Logger
	now     func() time.Time
	limits  atomic.Pointer[Limits]
	origin  callback.Origin
	waiters *waiters
	memory  memory.Pool

	observer Observer
	// others are callbacks that other nodes have changed; nil if nobody can want to know.
	others *others

	words   words
	early   *early
	asking  *asking
	flights *flights
	notes   *notes
	// lanes has the background work; worker does it.
	lanes  *lanes
	worker atomic.Pointer[Worker]
	kicked chan struct{}
	// unrecorded says that the store could not record the outcome of some work.
	unrecorded atomic.Bool
	outages    *outages

	// stopping is closed when the engine is.
	stopping   <-chan struct{}
	stop       context.CancelFunc
	background sync.WaitGroup
}

// New returns an engine that works on s, and begins to watch for what is due. o is told
// what happens.
func New(s store.Store, limits Limits, log *zap.Logger, o Observer) *Engine {
	return newEngine(s, limits, log, o, clockOf(s).now)
}

func newEngine(s store.Store, limits Limits, log *zap.Logger, o Observer, now func() time.Time) *Engine {
	ctx, stop := context.WithCancel(context.Background())
	e := &Engine{
		store: s, log: log, now: now, origin: s.Secret().Origin(s.ID()), waiters: newWaiters(), observer: o, stopping: ctx.Done(), stop: stop,
		early: newEarly(), asking: newAsking(), flights: newFlights(), notes: newNotes(), lanes: newLanes(), kicked: make(chan struct{}, 1),
		outages: newOutages(log),
	}
	e.shared, _ = s.(store.Shared)
	e.roster, _ = s.(store.Roster)
	e.SetLimits(limits)
	if e.others = newOthers(e.shared, o); e.others != nil {
		e.background.Go(func() { e.followOthers(ctx) })
	}
	e.background.Go(func() { e.sweep(ctx) })
	e.background.Go(func() { e.follow(ctx) })
	e.background.Go(func() { e.dispatch(ctx) })
	return e
}

// Now returns the time by which callbacks expire. It follows the system's clock, but
// only slowly when that is set.
func (e *Engine) Now() time.Time { return e.now() }

// Origin returns the mark of the store, which deliveries bear.
func (e *Engine) Origin() callback.Origin { return e.origin }

// SetLimits changes the limits. What is already over a lowered limit is not cut off.
func (e *Engine) SetLimits(l Limits) {
	e.limits.Store(&l)
	e.memory.SetLimits(l.MaxMemory, l.MaxBody)
}

// Close ends the background work and closes the store.
func (e *Engine) Close() error {
	e.stop()
	e.background.Wait()
	e.outages.over()
	return e.store.Close()
}

// Ready returns nil if new callbacks can be made, else why not.
func (e *Engine) Ready() error { return e.store.Ready() }

// TakesWork returns nil if Create makes a callback with a waiter, as far as it depends on
// no particular callback, else why not: ErrBusy, or what Ready returns.
func (e *Engine) TakesWork() error {
	if e.full(true) {
		return ErrBusy
	}
	return e.store.Ready()
}

// full reports whether there are as many callbacks, or waiters if one is needed, as there
// may be.
func (e *Engine) full(held bool) bool {
	l := e.limits.Load()
	return e.store.Waiting() >= l.MaxWaiting || held && e.Held() >= l.MaxHeld
}

// Waiting returns how many callbacks are in phase waiting.
func (e *Engine) Waiting() int { return e.store.Waiting() }

// Held returns how many waiters there are.
func (e *Engine) Held() int { return int(e.waiters.count.Load()) }

// Spec says what callback to make.
type Spec struct {
	// Policy is what its calls are judged by.
	Policy *callback.Policy
	callback.Spec
	// Held says that a waiter will be registered for the callback, so that nothing is
	// stored if there are too many waiters already.
	Held bool
}

// Callback is a callback as it was found or made.
type Callback struct {
	callback.Issued
	// Commit is the commit of the record.
	Commit store.Commit
	// made says that Create made it, and nobody has looked for it since.
	made bool
}

// callback returns a record as the engine's users see it. What is in files is not in
// memory beside that: nobody knows how long they keep it.
func (e *Engine) callback(r *callback.Record, p *callback.Policy, commit store.Commit) *Callback {
	return &Callback{Issued: callback.Issued{Record: r.Lean(), Policy: p, Secret: e.store.SecretOf(r)}, Commit: commit}
}

// Create makes a callback. It can be called at once. It is certain to survive a crash
// when its Commit is done. ErrBusy: too many callbacks wait. store.ErrExists: one of
// its aliases leads to another callback, or its correlation id does at the fixed URL.
func (e *Engine) Create(ctx context.Context, spec Spec) (*Callback, error) {
	if e.full(spec.Held) {
		return nil, ErrBusy
	}
	if err := e.store.Ready(); err != nil {
		return nil, err
	}
	if err := e.store.PutPolicy(ctx, spec.Policy); err != nil {
		return nil, err
	}
	if err := e.freeOfAcks(ctx, spec); err != nil {
		return nil, err
	}
	// Alone, the engine knows by itself which acks are awaited.
	spec.AwaitsID = spec.AwaitsID && e.shared != nil
	r := callback.New(e.store.Secret(), spec.Policy, spec.Spec, callback.At(e.now()))
	if e.shared != nil {
		if r.Job == nil && (r.Attended || !r.Fingerprint.IsZero()) {
			r.Flight = e.self()
		}
		r = e.assigned(r)
	}
	commit, err := e.createWithRequest(ctx, r)
	if err != nil {
		e.unclaimDoubtful(err, r.ID, r.Flight, flightOf, func() {})
		return nil, err
	}
	e.note(Created, r, false)
	e.offer(r)
	cb := e.callback(r, spec.Policy, commit)
	cb.made = true
	return cb, nil
}

// freeOfAcks refuses a correlation id that a request gives and an upstream's ack gave
// before: no call to the fixed URL would find the new callback.
func (e *Engine) freeOfAcks(ctx context.Context, spec Spec) error {
	if spec.CorrelationID == "" {
		return nil
	}
	for _, alias := range spec.Policy.AckAliases(spec.CorrelationID) {
		if _, _, err := e.store.Find(ctx, store.ByAlias(alias)); !errors.Is(err, store.ErrNotFound) {
			return cmp.Or(err, store.ErrExists)
		}
	}
	return nil
}

// createWithRequest stores a new record and the body of the request that it may have.
func (e *Engine) createWithRequest(ctx context.Context, r *callback.Record) (commit store.Commit, err error) {
	if r.Request == nil || !isLarge(r.Request.Body) {
		return e.store.Create(ctx, r)
	}
	// A request that is repeated under its Idempotency-Key need not be written again.
	for _, alias := range r.Aliases {
		if _, _, err := e.store.Find(ctx, store.ByAlias(alias)); !errors.Is(err, store.ErrNotFound) {
			return nil, cmp.Or(err, store.ErrExists)
		}
	}
	request := *r.Request
	r.Request = &request
	err = e.withFile(ctx, &request.Body, func() (*callback.Record, error) {
		commit, err = e.store.Create(ctx, r)
		if err != nil {
			return nil, err
		}
		return r, nil
	})
	return commit, err
}

// List returns a page of committed callbacks, the newest first, and where the next
// page begins.
func (e *Engine) List(ctx context.Context, q store.Query) ([]*Callback, store.Cursor, error) {
	records, next, err := e.store.List(ctx, q)
	if err != nil {
		return nil, store.Cursor{}, err
	}
	page := make([]*Callback, len(records))
	for i, r := range records {
		p, err := e.store.Policy(ctx, r.Policy)
		if err != nil {
			return nil, store.Cursor{}, err
		}
		page[i] = e.callback(r, p, store.Committed)
	}
	return page, next, nil
}

// Places returns where callbacks are in a list, and where its next page begins. It reads no
// more of them than it has to.
func (e *Engine) Places(ctx context.Context, q store.Query) ([]store.Cursor, store.Cursor, error) {
	q.Places = true
	records, next, err := e.store.List(ctx, q)
	if err != nil {
		return nil, store.Cursor{}, err
	}
	places := make([]store.Cursor, len(records))
	for i, r := range records {
		places[i] = store.Cursor{CreatedAt: r.CreatedAt, ID: r.ID}
	}
	return places, next, nil
}

// Find returns the newest record of a callback, or store.ErrNotFound.
func (e *Engine) Find(ctx context.Context, key store.Key) (*Callback, error) {
	r, commit, err := e.store.Find(ctx, key)
	if err != nil {
		return nil, err
	}
	p, err := e.store.Policy(ctx, r.Policy)
	if err != nil {
		return nil, err
	}
	return e.callback(r, p, commit), nil
}

// FindCommitted returns a callback once it is committed, so that a crash cannot undo
// what was shown. store.ErrNotFound: there is none.
func (e *Engine) FindCommitted(ctx context.Context, key store.Key) (*Callback, error) {
	cb, err := e.Find(ctx, key)
	if err != nil {
		return nil, err
	}
	return cb, store.Wait(ctx, cb.Commit)
}

// CloseCallback closes a callback, unless its end was decided before. It returns the
// newest record. by says who closes it, for its history: the name of a key, or nothing.
func (e *Engine) CloseCallback(ctx context.Context, key store.Key, reason, by string) (*callback.Record, error) {
	r, _, err := e.TryClose(ctx, key, reason, by)
	return r, err
}

// TryClose is CloseCallback, and reports whether it has closed the callback.
func (e *Engine) TryClose(ctx context.Context, key store.Key, reason, by string) (r *callback.Record, closed bool, err error) {
	r, err = e.transition(ctx, key, Closed, func(r *callback.Record, p *callback.Policy) store.Change {
		var next *callback.Record
		next, closed = r.Close(p, reason, by, callback.At(e.now()))
		return store.Change{Next: next}
	})
	return r, closed && err == nil, err
}

// Withdraw closes a callback whose request was not accepted, unless a call came
// before. concluding says that Conclude will follow.
func (e *Engine) Withdraw(ctx context.Context, id callback.UUID, reason string, concluding bool) (*callback.Record, error) {
	key := store.ByID(id)
	return e.transition(ctx, key, Closed, func(r *callback.Record, p *callback.Policy) store.Change {
		next, _ := r.Withdraw(p, reason, concluding, callback.At(e.now()))
		return store.Change{Next: next}
	})
}

// Conclude keeps the answer that the client of an ended callback got, for when the
// client repeats its request with the same Idempotency-Key. With nil the key can be
// used again.
func (e *Engine) Conclude(ctx context.Context, id callback.UUID, answer *callback.Response) error {
	return e.updateWith(ctx, store.ByID(id), answer, func(r *callback.Record) (*callback.Record, bool) { return r.Conclude(answer) })
}

// ErrGone is returned for a result whose body was removed.
var ErrGone = errors.New("the result is not kept any longer")

// Redeliver restarts the delivery of a callback's results. It reports whether there is
// one to deliver. ErrGone: there was one. by is as CloseCallback has it.
func (e *Engine) Redeliver(ctx context.Context, key store.Key, by string) (begun bool, err error) {
	gone := false
	_, err = e.transition(ctx, key, DeliveryRestarted, func(r *callback.Record, p *callback.Policy) store.Change {
		next, yes := r.Redeliver(by, callback.At(e.now()))
		if gone = yes && r.AsClientSees().Result(p).Gone; gone {
			return store.Change{}
		}
		begun = yes
		return store.Change{Next: next}
	})
	if err == nil && gone {
		err = ErrGone
	}
	return begun, err
}

// Acknowledge notes the upstream's ack, and keeps it if a is not nil. It returns when
// that is committed.
func (e *Engine) Acknowledge(ctx context.Context, key store.Key, a *callback.Response) error {
	return e.updateWith(ctx, key, a, func(r *callback.Record) (*callback.Record, bool) { return r.Acknowledge(a) })
}

// updateWith changes a callback by a response that it may keep, and waits for the commit.
func (e *Engine) updateWith(ctx context.Context, key store.Key, response *callback.Response, change func(*callback.Record) (*callback.Record, bool)) error {
	return e.withResponse(ctx, response, func() (*callback.Record, error) {
		r, commit, err := e.update(ctx, key, func(r *callback.Record) (store.Change, error) {
			next, _ := change(r)
			return store.Change{Next: next}, nil
		})
		if err != nil {
			return nil, err
		}
		return r, store.Wait(ctx, commit)
	})
}

// transition changes a callback, logs the change, tells the waiters, and queues work
// that is due.
func (e *Engine) transition(ctx context.Context, key store.Key, t Transition, change func(*callback.Record, *callback.Policy) store.Change) (*callback.Record, error) {
	changed, before := false, callback.Waiting
	r, commit, err := e.update(ctx, key, func(r *callback.Record) (store.Change, error) {
		p, err := e.store.Policy(ctx, r.Policy)
		if err != nil {
			return store.Change{}, err
		}
		c := change(r, p)
		changed, before = c.Next != nil, r.Phase
		return c, nil
	})
	if err != nil || !changed {
		return r, err
	}
	e.note(t, r, before == callback.Waiting && r.Phase.Final())
	r = r.Lean()
	e.waiters.tell(r, nil)
	e.offer(r)
	go e.tellCommitted(r, commit)
	return r, nil
}

// tellCommitted tells the durable waiters once the change is committed.
func (e *Engine) tellCommitted(r *callback.Record, commit store.Commit) {
	<-commit.Done()
	if commit.Err() == nil {
		e.waiters.tellDurable(r, nil)
	}
}
