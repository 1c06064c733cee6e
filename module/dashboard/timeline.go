package dashboard

import (
	"strconv"
	"time"

	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/engine"
)

// event is something that happened, as a time line shows it.
type event struct {
	// Gap says how much time went by since what is before it, if that is worth a word, and
	// Width how wide the gap is drawn, from 0 to 4: ten times as long is one step wider.
	Gap   string
	Width int
	At    callback.Time
	// Since is how long after the creation it happened.
	Since string
	Kind  string
	Class string
	// Says is what happened, as a sentence.
	Says       string
	Status     int
	Reason, By string
}

// happened says what each kind of happening means, and how it looks.
var happened = map[callback.HappeningKind]struct{ says, class string }{
	callback.HappenedCreated:        {"It was made.", ""},
	callback.HappenedSent:           {"The request was sent to the upstream.", ""},
	callback.HappenedAcked:          {"The upstream has accepted the request.", ""},
	callback.HappenedCorrelated:     {"The ack has named the correlation id.", ""},
	callback.HappenedRefused:        {"A call was refused.", "bad"},
	callback.HappenedCalled:         {"A call was accepted.", "good"},
	callback.HappenedProgressed:     {"A call reported progress.", ""},
	callback.HappenedReplied:        {"A call got its reply, and changed nothing.", ""},
	callback.HappenedAttempted:      {"The job was attempted.", ""},
	callback.HappenedPolled:         {"The upstream was asked for the result.", ""},
	callback.HappenedDecided:        {"A person has decided.", "good"},
	callback.HappenedResolved:       {"It was resolved.", "good"},
	callback.HappenedFailed:         {"It has failed.", "bad"},
	callback.HappenedExpired:        {"It has expired.", "bad"},
	callback.HappenedClosed:         {"It was closed.", ""},
	callback.HappenedDelivered:      {"The result was delivered.", "good"},
	callback.HappenedDeliveryFailed: {"An attempt to deliver the result has failed.", "bad"},
	callback.HappenedDeliveryDead:   {"The delivery was given up.", "bad"},
	callback.HappenedRedelivered:    {"The delivery was begun anew.", ""},
	callback.HappenedStripped:       {"The bodies were removed.", ""},
}

// events returns what has happened to a callback, the oldest first.
func (v *visit) events(cb *engine.Callback) (all []event) {
	before := cb.CreatedAt
	for _, h := range v.rt.Engine.History(cb) {
		means := happened[h.Kind]
		e := event{
			At: h.At, Kind: h.Kind.String(), Says: means.says, Class: means.class, Status: h.Status, Reason: h.Reason, By: h.By,
			Since: "+" + span(max(0, h.At.Time().Sub(cb.CreatedAt.Time()))),
		}
		e.Width = widthOf(h.At.Time().Sub(before.Time()))
		if e.Width > 0 {
			e.Gap = span(h.At.Time().Sub(before.Time())) + " later"
		}
		all, before = append(all, e), max(before, h.At)
	}
	return all
}

// widthOf returns how wide a gap is drawn.
func widthOf(gap time.Duration) (width int) {
	for limit := 10 * time.Second; gap >= limit && width < 4; limit *= 10 {
		width++
	}
	return width
}

// WidthClass is how the gap looks.
func (e event) WidthClass() string { return "gap-" + strconv.Itoa(e.Width) }
