package app

import (
	"errors"
	"sync/atomic"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyevents"
	"go.uber.org/zap"

	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/engine"
	"github.com/caddy-callback/caddy-callback/module/outage"
	"github.com/caddy-callback/caddy-callback/module/trend"
)

// maxPendingEvents bounds the events that wait for their handlers. Further events are
// dropped, so that a slow handler does not delay requests.
const maxPendingEvents = 1024

// errSlowHandlers is why events are dropped.
var errSlowHandlers = errors.New("the event's handlers are too slow")

// event is an event for Caddy's event handlers.
type event struct {
	name string
	data map[string]any
}

// events hands events to the handlers of a configuration, one after the other, in a
// goroutine of its own.
type events struct {
	ctx     caddy.Context
	app     *caddyevents.App
	dropped *outage.Outage
	pending chan event
}

func newEvents(ctx caddy.Context, log *zap.Logger) (*events, error) {
	app, err := ctx.App("events")
	if err != nil {
		return nil, err
	}
	dropped := outage.New(log, "an event was dropped; more of them are only counted", "no more events are dropped")
	return &events{ctx: ctx, app: app.(*caddyevents.App), dropped: dropped, pending: make(chan event, maxPendingEvents)}, nil
}

// run emits events until the configuration ends.
func (es *events) run() {
	for {
		select {
		case e := <-es.pending:
			es.app.Emit(es.ctx, e.name, e.data)
			es.dropped.Works()
		case <-es.ctx.Done():
			es.dropped.Over()
			return
		}
	}
}

// add queues an event, if a handler subscribes to it.
func (es *events) add(name string, r *callback.Record) {
	name = "callback." + name
	if !es.app.ShouldEmit(name) {
		return
	}
	e := event{name, map[string]any{
		"id": r.ID.String(), "name": r.Name, "correlation_id": r.CorrelationID, "phase": r.Phase.String(),
	}}
	select {
	case es.pending <- e:
	default:
		es.dropped.Failed(errSlowHandlers, 1, zap.String("event", e.name), zap.Stringer("id", r.ID))
	}
}

// emitting holds the events of the newest configuration.
var emitting atomic.Pointer[events]

// witness counts transitions, queues events for them, and tells those who listen.
type witness struct {
	feed  *Feed
	trend *trend.Trend
}

// Observe implements engine.Observer.
func (w witness) Observe(t engine.Transition, r *callback.Record, ended bool) {
	measured().observe(t, r, ended)
	w.feed.observe(t, r, ended)
	w.note(t, r, ended)
	name := ""
	switch {
	case t == engine.Created:
		name = "created"
	case t == engine.Delivered:
		name = "delivered"
	case ended:
		name = r.Phase.String()
	default:
		return
	}
	if es := emitting.Load(); es != nil {
		es.add(name, r)
	}
}

// Unmatched implements engine.Observer.
func (witness) Unmatched() { measured().unmatched.Inc() }
