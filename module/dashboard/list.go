package dashboard

import (
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/desk"
	"github.com/caddy-callback/caddy-callback/module/engine"
	"github.com/caddy-callback/caddy-callback/module/problem"
	"github.com/caddy-callback/caddy-callback/module/store"
)

var listPage = load("list", "rows")

// listData is what a list of callbacks shows.
type listData struct {
	Frame  frame
	Live   live
	Filter filter
	List   list
	// Acts lead to what can be done to all that match.
	Acts   []link
	Report *shownReport
}

// list is a page of callbacks.
type list struct {
	Rows []row
	// Next leads to the next page, First to the first one; empty for none.
	Next, First string
	// More says that the next page goes on looking: there was no time to look at all.
	More bool
	// Empty says why there is nothing on the first page.
	Empty string
}

// row is a callback in a list.
type row struct {
	To              string
	ID              callback.UUID
	Phase           string
	Class           string
	Name            string
	CorrelationID   string
	CreatedAt       callback.Time
	Age, Waits, End string
}

// link leads somewhere.
type link struct{ Text, To string }

// phaseClasses say how phases look.
var phaseClasses = map[callback.Phase]string{callback.Waiting: "wait", callback.Resolved: "good", callback.Failed: "bad", callback.Expired: "bad"}

const (
	// pageRows is how many callbacks are on a page.
	pageRows = 50
	// lookFor is for how long one page looks for callbacks that match.
	lookFor = 300 * time.Millisecond
)

// list shows the callbacks that match.
func (v *visit) list() error {
	query := v.filters()
	if q := query.Get(paramSearch); q != "" {
		return v.search(strings.TrimSpace(q))
	}
	q, err := desk.ParseQuery(query, v.rt.Engine.Now())
	if err != nil {
		return err
	}
	events, every := "", 0
	if q.After == (store.Cursor{}) {
		events, every = v.eventsOf(query), refreshEvery
	}
	data := listData{Frame: v.frame(), Live: v.live(events, every), Filter: v.newFilter(query)}
	data.Live.Stays = true
	if data.List, err = v.look(q, query); err != nil {
		return err
	}
	if len(data.List.Rows) == 0 && data.List.Next == "" && data.List.First == "" {
		data.List.Empty = v.whyNone(query)
	}
	if v.visitor.acts {
		data.Acts = v.actsOnAll(q, query)
	}
	data.Report = v.report(v.r.URL.Query().Get(paramReport))
	return v.write(listPage, show{title: "Callbacks", data: data, refresh: data.Live.refresh()})
}

// Parameters of the list that the desk does not know.
const (
	paramSearch = "q"
	paramReport = "report"
	paramCursor = "cursor"
)

// filters returns the parameters that say what is listed. Fields of the form that nobody has
// filled in say nothing.
func (v *visit) filters() url.Values {
	query := v.r.URL.Query()
	for _, own := range []string{paramLive, paramReport, "limit"} {
		query.Del(own)
	}
	for name, values := range query {
		if !slices.ContainsFunc(values, func(s string) bool { return s != "" }) {
			query.Del(name)
		}
	}
	return query
}

// search sends the browser on to the callback with that id, or to those with that correlation
// id.
func (v *visit) search(text string) error {
	if id, ok := callback.ParseUUID(strings.ToLower(text)); ok {
		if _, err := v.desk().Find(v.r.Context(), id); err == nil {
			v.goTo("callback/" + id.String())
			return nil
		}
	}
	if !callback.ValidCorrelationID(text) {
		return problem.InvalidField(paramSearch, "There is no callback with such an id, and none can have such a correlation id: at most 256 printable ASCII characters.")
	}
	v.goTo("list?" + url.Values{"correlationId": {text}}.Encode())
	return nil
}

// look returns a page of callbacks.
func (v *visit) look(q store.Query, query url.Values) (list, error) {
	var rows []row
	l, err := v.lookFor(q, query, func(cb *engine.Callback) { rows = append(rows, v.newRow(cb)) })
	l.Rows = rows
	return l, err
}

// lookFor finds the callbacks of a page, and returns the page without its rows. It goes on looking
// for a while where few match.
func (v *visit) lookFor(q store.Query, query url.Values, found func(*engine.Callback)) (l list, err error) {
	n := 0
	if query.Get(paramCursor) != "" {
		l.First = "?" + without(query, paramCursor).Encode()
	}
	for until := time.Now().Add(lookFor); ; {
		q.Limit = pageRows - n
		page, err := v.desk().List(v.r.Context(), q)
		if err != nil {
			return l, err
		}
		for _, cb := range page.Callbacks {
			found(cb)
		}
		n += len(page.Callbacks)
		next := page.Next
		page.Release()
		full := n >= pageRows
		if next == "" || full || time.Now().After(until) {
			if next != "" {
				query = without(query, paramCursor)
				query.Set(paramCursor, next)
				l.Next, l.More = "?"+query.Encode(), !full
			}
			return l, nil
		}
		again, err := desk.ParseQuery(url.Values{paramCursor: {next}}, v.rt.Engine.Now())
		if err != nil {
			return l, err
		}
		q.After = again.After
	}
}

// without returns a query without a parameter.
func without(query url.Values, name string) url.Values {
	rest := make(url.Values, len(query))
	for n, values := range query {
		if n != name {
			rest[n] = values
		}
	}
	return rest
}

func (v *visit) newRow(cb *engine.Callback) row {
	return row{
		To: v.at.root + "callback/" + cb.ID.String(), ID: cb.ID, Phase: cb.Phase.String(), Class: phaseClasses[cb.Phase], Name: cb.Name,
		CorrelationID: cb.CorrelationID, CreatedAt: cb.CreatedAt, Age: v.age(cb.CreatedAt), Waits: v.waitsFor(cb), End: v.ends(cb),
	}
}

// whyNone says why no callback is listed.
func (v *visit) whyNone(query url.Values) string {
	if len(without(query, "order")) > 0 {
		return "No callback matches these filters. Callbacks that have ended are forgotten when the time is over that retain gives."
	}
	if v.visitor.names != nil {
		return "There is no callback with a name that your key is for."
	}
	return "There is no callback. A callback is made by a request to a site with the directive callback, or through the API."
}

// filter is the form that says what is listed.
type filter struct {
	Phases, After, Before []choice
	Name, CorrelationID   string
	ID, Order             string
	Dead, Confirm         bool
	Names                 []string
	// On says that something is filtered, Clear leads to the list without filters.
	On    bool
	Clear string
	// Other leads to the same list in the other order.
	Other link
}

// choice is an option of a form.
type choice struct {
	Value, Text string
	Chosen      bool
}

// ages are the ages that can be chosen.
var ages = [][2]string{{"5m", "5 minutes"}, {"1h", "1 hour"}, {"24h", "1 day"}, {"7d", "7 days"}, {"30d", "30 days"}}

// mostNames bounds the names that are proposed.
const mostNames = 100

// newFilter returns the form, filled in as the query says.
func (v *visit) newFilter(query url.Values) filter {
	f := filter{
		Name: query.Get("name"), CorrelationID: query.Get("correlationId"), ID: query.Get("id"), Order: query.Get("order"),
		Dead: query.Get("delivery") != "", Confirm: query.Get("confirm") != "",
		After: choices(query.Get("createdAfter"), "any", ages), Before: choices(query.Get("createdBefore"), "any", ages),
		On: len(without(query, "order")) > 0, Clear: "./list",
	}
	phases := make([][2]string, 0, callback.Closed)
	for p := callback.Waiting; p <= callback.Closed; p++ {
		phases = append(phases, [2]string{p.String(), p.String()})
	}
	f.Phases = choices(query.Get("phase"), "any", phases)
	other := without(without(query, "order"), paramCursor)
	f.Other.Text = "Newest first"
	if f.Order != "oldest" {
		other.Set("order", "oldest")
		f.Other.Text = "Oldest first"
	}
	f.Other.To = "?" + other.Encode()
	for _, t := range v.tally() {
		if t.Name != "" && len(f.Names) < mostNames {
			f.Names = append(f.Names, t.Name)
		}
	}
	slices.Sort(f.Names)
	return f
}

// choices returns the options of a form, with what is chosen among them.
func choices(chosen, none string, of [][2]string) []choice {
	all := []choice{{Text: none, Chosen: chosen == ""}}
	found := chosen == ""
	for _, c := range of {
		all = append(all, choice{c[0], c[1], c[0] == chosen})
		found = found || c[0] == chosen
	}
	if !found {
		all = append(all, choice{chosen, chosen, true})
	}
	return all
}

// actsOnAll returns what can be done to all that match. What has ended can only be delivered
// again.
func (v *visit) actsOnAll(q store.Query, query url.Values) (acts []link) {
	to := func(act desk.Act, text string) {
		acts = append(acts, link{text, v.at.root + "list/" + string(act) + "?" + without(without(query, paramCursor), "order").Encode()})
	}
	if q.Phase == 0 || q.Phase == callback.Waiting {
		to(desk.Resolve, "Resolve all that match")
		to(desk.Close, "Close all that match")
	}
	if q.Phase != callback.Waiting {
		to(desk.Redeliver, "Redeliver all that match")
	}
	return acts
}
