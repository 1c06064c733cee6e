package dashboard

import (
	"net/url"
	"slices"

	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/engine"
	"github.com/caddy-callback/caddy-callback/module/store"
)

var onePage = load("one", "resolve", "content", "question")

// oneData is what the page of one callback shows.
type oneData struct {
	Frame frame
	Live  live
	row
	callback *engine.Callback
	// Facts are what is known of it, and Times when it was made, and when it ends or has ended.
	Facts []setting
	Times []timed
	// Above are the callbacks of which this one is a step, the outermost first, Below the steps
	// that it waits for.
	Above, Below []row
	History      []event
	// Question is what a person is asked; nil if none is.
	Question *question
	// Data is what the app that has made it gave with it, as JSON.
	Data     string
	Delivery *delivery
	Calls    []shownCall
	Bodies   []shownBody
	// CanClose, CanRedeliver and CanResolve say what can be done.
	CanClose, CanRedeliver, CanResolve bool
	// WhyNothing says why nothing can be done; empty if something can.
	WhyNothing string
	Form       resolveForm
}

// resolveForm is the form that makes a call in the partner's place.
type resolveForm struct{ ID string }

// timed is a name and a moment.
type timed struct {
	Name string
	At   callback.Time
	// Says puts the moment in relation to now.
	Says string
}

// delivery is how the results are delivered.
type delivery struct {
	State, Class, URL, Error string
	Attempts                 int
	Status                   int
	Times                    []timed
	// Behind is how many results wait behind the one that is delivered next.
	Behind int
}

// one shows a callback.
func (v *visit) one() error {
	cb, err := v.desk().Find(v.r.Context(), v.at.id)
	if err != nil {
		return err
	}
	data := oneData{
		Frame: v.frame(), row: v.newRow(cb), callback: cb, Facts: factsOf(cb), Times: v.timesOf(cb), History: v.events(cb),
		Question: v.questionOf(cb, callback.MaxAsked), Delivery: v.deliveryOf(cb), Calls: v.callsOf(cb), Form: resolveForm{ID: cb.ID.String()},
	}
	events := v.at.root + "events?" + url.Values{"id": {cb.ID.String()}}.Encode()
	if data.Live = v.live(events, refreshEvery); cb.Phase.Final() && data.Waits == "" {
		data.Live = live{}
	}
	data.Live.Stays = true
	if cb.Own != nil {
		data.Data = pretty(cb.Own.Data, mostData)
	}
	data.Above, data.Below = v.above(cb), v.below(cb)
	if data.Bodies, err = v.bodiesOf(cb); err != nil {
		return err
	}
	v.canDo(&data)
	return v.write(onePage, show{title: "Callback", data: data, refresh: data.Live.refresh()})
}

// mostData bounds what is shown of a callback's data, in bytes.
const mostData = 16 << 10

// canDo finds out what can be done.
func (v *visit) canDo(data *oneData) {
	cb := data.callback
	_, gone := v.desk().Gone(cb)
	takes := !gone && (cb.Phase == callback.Waiting || cb.Policy.Multiple && cb.ShutAt == 0)
	data.CanResolve, data.CanClose = takes && data.Question == nil, takes
	data.CanRedeliver = cb.Phase.Final() && cb.Delivery != nil && !cb.Stripped()
	switch {
	case !v.visitor.acts:
		data.WhyNothing = "Your key may see, but not act."
		data.CanResolve, data.CanClose, data.CanRedeliver = false, false, false
	case !takes && !data.CanRedeliver:
		data.WhyNothing = "The callback has ended, and has no result that could be delivered again."
	}
}

// factsOf is what is known of a callback in single words.
func factsOf(cb *engine.Callback) (facts []setting) {
	add := func(name, value string) {
		if value != "" {
			facts = append(facts, setting{name, value})
		}
	}
	if f := cb.Failure; f != nil {
		add("Document status", f.DocumentStatus)
		add("Technical status", f.TechnicalStatus)
		add("Error code", f.ErrorCode)
		add("Error text", f.ErrorText)
	}
	add("Closed because", cb.Reason)
	if j := cb.Job; j != nil {
		add("Last error of the job", j.Error)
	}
	if cb.Calls > 0 {
		add("Calls that were taken", count(cb.Calls))
	}
	if cb.Stripped() {
		add("Bodies", "They were removed, as retain_bodies says.")
	}
	return facts
}

// timesOf is when a callback was made, and when it ends or has ended.
func (v *visit) timesOf(cb *engine.Callback) []timed {
	now := v.rt.Engine.Now()
	ago := func(at callback.Time) string { return since(now.Sub(at.Time())) + " ago" }
	times := []timed{{"Made", cb.CreatedAt, ago(cb.CreatedAt)}}
	if cb.Phase == callback.Waiting {
		return append(times, timed{"Expires", cb.ExpiresAt, "in " + since(cb.ExpiresAt.Time().Sub(now))})
	}
	times = append(times, timed{"Ended", cb.FinishedAt, ago(cb.FinishedAt)})
	if cb.KeepUntil != 0 {
		times = append(times, timed{"Kept until", cb.KeepUntil, "in " + since(cb.KeepUntil.Time().Sub(now))})
	}
	return times
}

// deliveryOf is how the results of a callback are delivered; nil if they are not.
func (v *visit) deliveryOf(cb *engine.Callback) *delivery {
	d := cb.Delivery
	if d == nil {
		return nil
	}
	now := v.rt.Engine.Now()
	shown := &delivery{State: "waits for the result", URL: cb.DeliveryURL(), Error: d.Error, Attempts: d.Attempts, Status: d.Status, Behind: len(cb.Outbox)}
	switch {
	case d.Dead:
		shown.State, shown.Class = "given up", "bad"
	case d.Total > 0 && d.Done >= d.Total:
		shown.State, shown.Class = "delivered", "good"
	case d.Done < d.Total:
		shown.State, shown.Class = "pending", "wait"
		shown.Times = append(shown.Times, timed{"Next attempt", d.NextAt, "in " + since(d.NextAt.Time().Sub(now))})
	}
	if d.DeliveredAt != 0 {
		shown.Times = append(shown.Times, timed{"Last delivered", d.DeliveredAt, since(now.Sub(d.DeliveredAt.Time())) + " ago"})
	}
	return shown
}

// mostSteps bounds how far the chain of steps is followed in each direction.
const mostSteps = 5

// above returns the callbacks of which a callback is a step, the outermost first.
func (v *visit) above(cb *engine.Callback) []row {
	rows := v.chain(cb, func(cb *engine.Callback) callback.UUID { return cb.Parent })
	slices.Reverse(rows)
	return rows
}

// below returns the steps that a callback waits for.
func (v *visit) below(cb *engine.Callback) []row {
	return v.chain(cb, func(cb *engine.Callback) callback.UUID { return cb.Step })
}

// chain follows what each callback leads to. What the visitor does not see ends it.
func (v *visit) chain(cb *engine.Callback, next func(*engine.Callback) callback.UUID) (rows []row) {
	for range mostSteps {
		id := next(cb)
		if id.IsZero() {
			return rows
		}
		found, err := v.rt.Engine.Find(v.r.Context(), store.ByID(id))
		if err != nil || !v.visitor.sees(found.Name) {
			return rows
		}
		rows, cb = append(rows, v.newRow(found)), found
	}
	return rows
}
