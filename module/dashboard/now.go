package dashboard

import (
	"cmp"
	"errors"
	"net/url"
	"slices"
	"time"

	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/store"
	"github.com/caddy-callback/caddy-callback/module/trend"
)

var nowPage = load("now")

// nowData is what the view "now" shows.
type nowData struct {
	Frame  frame
	Live   live
	Alerts []alert
	Tiles  []tile
	Plots  []plot
	// Minutes are the plots as a table, the newest first.
	Minutes []minuteRow
	Names   []nameRow
	// MoreNames is how many names are not shown.
	MoreNames int
	Nodes     []nodeRow
}

// tile is one number.
type tile struct {
	Name, Value, Note string
	// To leads to more about it; empty for nowhere.
	To string
	// Bad says that it needs attention.
	Bad bool
}

// minuteRow is one minute of the plots.
type minuteRow struct {
	At                           moment
	Made, Ended, Resolved, Calls string
	Waiting, Half, Most          string
}

// nameRow is what there is under one name.
type nameRow struct {
	Name               string
	Waiting, Dead      string
	Oldest             string
	Made, Ended, Calls string
	To, ToDead         string
}

// nodeRow is one node.
type nodeRow struct {
	Number        callback.Node
	This          bool
	Release, Host string
	Silent        string
}

// moment is a time as templates show it.
type moment time.Time

// Time implements what page's "when" wants.
func (m moment) Time() time.Time { return time.Time(m) }

const (
	// refreshEvery is after how many seconds the page is loaded again.
	refreshEvery = 10
	// mostRows bounds the names that are shown.
	mostRows = 50
)

// now shows how things are.
func (v *visit) now() error {
	if v.withSlash() {
		return nil
	}
	asked, err := v.asksSomebody()
	if err != nil {
		return err
	}
	l := v.live("", refreshEvery)
	hour := v.rt.Trend.Hour(v.visitor.names)
	tally := v.tally()
	data := nowData{
		Frame: v.frame(), Live: l, Alerts: v.alerts(tally, &hour), Tiles: v.tiles(tally),
		Plots:   []plot{plotEnds(&hour), plotWaiting(&hour), plotCalls(&hour)},
		Minutes: minuteRows(&hour), Nodes: v.nodes(),
	}
	if asked {
		data.Alerts = append(data.Alerts, alert{Text: "Somebody has to decide.", To: v.at.root + "approvals", What: "Look at what is asked"})
	}
	data.Names, data.MoreNames = v.nameRows(tally)
	return v.write(nowPage, show{title: "Now", data: data, refresh: l.refresh()})
}

// tally returns what there is under each name for the visitor, the names with most first.
func (v *visit) tally() []store.Tally {
	all := slices.DeleteFunc(v.rt.Engine.Tally(), func(t store.Tally) bool {
		return !v.visitor.sees(t.Name) || t.Waiting+t.Dead == 0 && v.rt.Trend.Rests(t.Name)
	})
	slices.SortStableFunc(all, func(a, b store.Tally) int {
		return cmp.Or(cmp.Compare(b.Waiting, a.Waiting), cmp.Compare(b.Dead, a.Dead))
	})
	return all
}

// sumUp returns how many wait, how many deliveries were given up, and when the oldest that waits
// was created; zero for never.
func sumUp(tally []store.Tally) (waiting, dead int, oldest callback.Time) {
	for _, t := range tally {
		waiting, dead = waiting+t.Waiting, dead+t.Dead
		if t.Oldest != 0 && (oldest == 0 || t.Oldest < oldest) {
			oldest = t.Oldest
		}
	}
	return waiting, dead, oldest
}

// age returns how long ago that was; empty for never.
func (v *visit) age(at callback.Time) string {
	if at == 0 {
		return ""
	}
	return since(v.rt.Engine.Now().Sub(at.Time()))
}

// link returns a link to the list with these filters, names and values in turn.
func (v *visit) link(filters ...string) string {
	q := make(url.Values)
	for pair := range slices.Chunk(filters, 2) {
		q.Set(pair[0], pair[len(pair)-1])
	}
	return v.at.root + "list?" + q.Encode()
}

// tiles are the numbers of the page. How much the server has to do is not told to a visitor that
// does not see all callbacks.
func (v *visit) tiles(tally []store.Tally) []tile {
	waiting, dead, oldest := sumUp(tally)
	e := v.rt.Engine
	if v.visitor.names == nil {
		waiting = e.Waiting()
	}
	all := []tile{
		{Name: "Waiting", Value: count(waiting), To: v.link("phase", "waiting")},
		{Name: "Oldest waiting", Value: cmp.Or(v.age(oldest), "none"), To: v.link("phase", "waiting", "order", "oldest")},
		{Name: "Deliveries given up", Value: count(dead), To: v.link("delivery", "dead"), Bad: dead > 0},
	}
	if v.visitor.names != nil {
		return all
	}
	l := e.Load()
	all[0].Note = "of " + count(v.d.app.MaxWaiting) + " at most"
	all = append(all,
		tile{Name: "Held", Value: count(e.Held()), Note: "of " + count(v.d.app.MaxHeld) + " at most, on this server"},
		tile{Name: "Jobs", Value: count(l.JobsRunning), Note: "under way, " + count(l.JobsQueued) + " due"},
		tile{Name: "Deliveries", Value: count(l.DeliveriesRunning), Note: "under way, " + count(l.DeliveriesQueued) + " due"},
		v.storeTile(),
	)
	if n := e.Living(); n > 1 {
		all = append(all, tile{Name: "Nodes", Value: count(n)})
	}
	return all
}

// storeTile says whether the store takes new callbacks.
func (v *visit) storeTile() tile {
	t := tile{Name: "Store", Value: "ready"}
	if err := v.rt.Engine.Ready(); err != nil {
		t.Value, t.Bad = "not ready", true
	}
	if free, least, ok := v.rt.Engine.Space(); ok {
		t.Note = bytesOf(free) + " free, " + bytesOf(least) + " needed"
	}
	return t
}

// alert is something that needs attention.
type alert struct {
	Text string
	// To leads to it, with What as the text of the link.
	To, What string
}

// alerts is what needs attention.
func (v *visit) alerts(tally []store.Tally, hour *[trend.Minutes]trend.Minute) (all []alert) {
	if v.visitor.names == nil {
		all = v.limitsReached()
	}
	for _, t := range tally[:min(len(tally), mostRows)] {
		if t.Dead > 0 {
			all = append(all, alert{Text: plural(t.Dead, "delivery was", "deliveries were") + " given up" + under(t.Name) + ".", To: v.link("delivery", "dead", "name", t.Name), What: "Look at them"})
		}
	}
	for _, of := range []struct {
		phase callback.Phase
		says  string
	}{{callback.Expired, "expired without having been called"}, {callback.Failed, "failed"}} {
		n := 0
		for _, m := range hour {
			n += m.Ended[of.phase]
		}
		if n > 0 {
			all = append(all, alert{
				Text: plural(n, "callback has ", "callbacks have ") + of.says + " in the last hour.",
				To:   v.link("phase", of.phase.String(), "createdAfter", "7d"), What: "Look at those of the last days",
			})
		}
	}
	return all
}

// under says under which name something is.
func under(name string) string {
	if name == "" {
		return ""
	}
	return " under the name " + name
}

// limitsReached says which limits are reached, or nearly so.
func (v *visit) limitsReached() (all []alert) {
	const near = 0.8
	e := v.rt.Engine
	if err := e.Ready(); err != nil {
		text := "The store takes no new callbacks, and the log says why."
		if errors.Is(err, store.ErrFull) {
			text = "The store takes no new callbacks: there is too little space on its disk."
		}
		all = append(all, alert{Text: text})
	} else if free, least, ok := e.Space(); ok && free < 2*least {
		all = append(all, alert{Text: "There is little space for the store: " + bytesOf(free) + " are free, and below " + bytesOf(least) + " it takes no new callbacks."})
	}
	for _, of := range []struct {
		what, option string
		n, most      int
	}{{"callbacks wait", "max_waiting", e.Waiting(), v.d.app.MaxWaiting}, {"clients are held", "max_held", e.Held(), v.d.app.MaxHeld}} {
		if float64(of.n) >= near*float64(of.most) {
			all = append(all, alert{Text: count(of.n) + " " + of.what + ", and " + of.option + " allows " + count(of.most) + "."})
		}
	}
	return all
}

// minuteRows are the minutes as a table.
func minuteRows(hour *[trend.Minutes]trend.Minute) (rows []minuteRow) {
	for _, m := range hour {
		if !m.Known {
			continue
		}
		row := minuteRow{At: moment(m.At), Made: count(m.Made), Ended: count(m.EndedInAll()), Resolved: count(m.Ended[callback.Resolved]), Calls: count(m.Calls), Waiting: "not counted", Half: "no call", Most: "no call"}
		if m.Waiting >= 0 {
			row.Waiting = count(m.Waiting)
		}
		if m.Calls > 0 {
			row.Half, row.Most = span(m.Half), span(m.Most)
		}
		rows = append(rows, row)
	}
	slices.Reverse(rows)
	return rows
}

// nameRows is what there is under each name.
func (v *visit) nameRows(tally []store.Tally) (rows []nameRow, more int) {
	for _, t := range tally[:min(len(tally), mostRows)] {
		made, ended, calls := 0, 0, 0
		for _, m := range v.rt.Trend.Hour([]string{t.Name}) {
			made, ended, calls = made+m.Made, ended+m.EndedInAll(), calls+m.Calls
		}
		row := nameRow{Name: t.Name, Waiting: count(t.Waiting), Dead: count(t.Dead), Oldest: v.age(t.Oldest), Made: count(made), Ended: count(ended), Calls: count(calls)}
		if t.Name != "" {
			row.To = v.link("name", t.Name)
		}
		if t.Dead > 0 && t.Name != "" {
			row.ToDead = v.link("name", t.Name, "delivery", "dead")
		}
		rows = append(rows, row)
	}
	return rows, max(0, len(tally)-mostRows)
}

// nodes are those that share the store. They are not told to a visitor that does not see all
// callbacks.
func (v *visit) nodes() (rows []nodeRow) {
	if v.visitor.names != nil {
		return nil
	}
	nodes, self, err := v.rt.Engine.Nodes(v.r.Context())
	if err != nil || self == 0 {
		return nil
	}
	for _, n := range nodes {
		rows = append(rows, nodeRow{Number: n.Node, This: n.Node == self, Release: n.Release, Host: n.Host, Silent: since(n.Silent)})
	}
	return rows
}
