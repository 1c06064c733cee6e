package dashboard

import (
	"net/url"
	"slices"

	"github.com/caddy-callback/caddy-callback/module/app"
	"github.com/caddy-callback/caddy-callback/module/desk"
	"github.com/caddy-callback/caddy-callback/module/store"
)

var livePage = load("live")

// Whether a page stays up to date by itself.
const (
	paramLive = "live"
	liveOff   = "off"
)

// live says how a page stays up to date.
type live struct {
	// On says that it does.
	On bool
	// Every is after how many seconds it is loaded again.
	Every int
	// Events is where the script hears of changes; empty if only time counts.
	Events string
	// Toggle leads to the same page, paused or live.
	Toggle string
	// Stays says that without the script the page is not loaded again: it has a form in which
	// somebody may be writing.
	Stays bool
}

// live returns how the page stays up to date. events is where the script hears of changes.
func (v *visit) live(events string, every int) live {
	query := v.r.URL.Query()
	l := live{On: query.Get(paramLive) != liveOff, Every: every, Events: events}
	if query.Del(paramLive); l.On {
		query.Set(paramLive, liveOff)
	}
	l.Toggle = "?" + query.Encode()
	return l
}

// refresh returns after how many seconds a browser without the script loads the page again; 0
// for never.
func (l live) refresh() int {
	if !l.On || l.Stays {
		return 0
	}
	return l.Every
}

// eventsOf returns where the script hears of changes to what a query lists. A stream knows fewer
// filters than a list: it then tells of more changes.
func (v *visit) eventsOf(query url.Values) string {
	known := make(url.Values)
	for _, name := range desk.WatchParameters() {
		// What is listed in one phase leaves the list with its next.
		if value := query.Get(name); value != "" && name != "phase" {
			known.Set(name, value)
		}
	}
	return v.at.root + "events?" + known.Encode()
}

// stream tells the script of changes.
func (v *visit) stream() error {
	return v.desk().ServeChanges(v.w, v.r, v.d.ctx.Done())
}

// liveData is what the view "live" shows.
type liveData struct {
	Frame  frame
	Live   live
	Filter filter
	// Since is the change after which the page tells of all.
	Since   string
	Changes []change
	// Lost says that there were changes that are not known any more, Cut that there were more
	// than are shown.
	Lost, Cut bool
}

// change is something that has happened to a callback.
type change struct {
	app.Change
	To, Class, Says string
}

const (
	// paramSince is the change after which the view "live" tells of all.
	paramSince = "since"
	// mostChanges is how many changes are shown.
	mostChanges = 100
)

// tail shows what happens to callbacks, the newest first. A first visit begins with nothing; its
// address then says from where on it tells.
func (v *visit) tail() error {
	query := v.filters()
	since := query.Get(paramSince)
	query.Del(paramSince)
	q, err := desk.ParseWatch(query)
	if err != nil {
		return err
	}
	listener, err := v.rt.Feed.Listen(since)
	if err != nil {
		return err
	}
	defer listener.Stop()
	if since == "" {
		query.Set(paramSince, listener.Take(nil).ID(-1))
		v.goTo("live?" + query.Encode())
		return nil
	}
	data := liveData{Frame: v.frame(), Filter: v.newFilter(query), Since: since}
	data.Changes, data.Lost, data.Cut = v.changes(listener, q)
	data.Live = v.live(v.at.root+"events?"+query.Encode(), refreshEvery)
	return v.write(livePage, show{title: "Live", data: data, refresh: data.Live.refresh()})
}

// changes returns what a listener has heard that the visitor sees and the query means, the newest
// first.
func (v *visit) changes(l *app.Listener, q store.Query) (all []change, lost, cut bool) {
	room := make([]app.Change, mostChanges)
	for {
		heard := l.Take(room)
		lost = lost || heard.Lost
		if len(heard.Changes) == 0 {
			break
		}
		for _, c := range heard.Changes {
			if v.desk().Tells(q, c) {
				all = append(all, v.newChange(c))
			}
		}
		if more := len(all) - mostChanges; more > 0 {
			all, cut = slices.Delete(all, 0, more), true
		}
	}
	slices.Reverse(all)
	return all, lost, cut
}

func (v *visit) newChange(c app.Change) change {
	shown := change{Change: c, To: v.at.root + "callback/" + c.ID.String()}
	for kind, means := range happened {
		if kind.String() == c.What {
			shown.Says, shown.Class = means.says, means.class
		}
	}
	return shown
}
