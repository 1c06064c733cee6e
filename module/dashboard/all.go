package dashboard

import (
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/caddy-callback/caddy-callback/module/desk"
	"github.com/caddy-callback/caddy-callback/module/memory"
	"github.com/caddy-callback/caddy-callback/module/problem"
)

var allPage = load("all", "resolve")

// allData is what somebody confirms before something is done to many callbacks.
type allData struct {
	Frame frame
	Act   desk.Act
	// Verb says what is done, as the beginning of a sentence.
	Verb string
	// Count is how many match, as far as was counted, and On leads to where more are counted;
	// empty if all were.
	Count int
	On    string
	// Says is the number and what it counts.
	Says string
	// Filters say which callbacks are meant.
	Filters []setting
	// To is where the form goes, List where the callbacks are listed.
	To, List string
	// Danger says that what is done cannot be undone.
	Danger bool
	Form   resolveForm
}

// setting is a name and its value.
type setting struct{ Name, Value string }

var verbs = map[desk.Act]string{desk.Close: "Close", desk.Redeliver: "Redeliver", desk.Resolve: "Resolve"}

// paramCounted is how many were counted before, and paramFrom where counting goes on.
const (
	paramCounted = "counted"
	paramFrom    = "from"
)

// order returns what is to be done to all that match, and the filters with their moments instead
// of ages: what is confirmed is done to the same callbacks, and not to those that come later.
func (v *visit) order() (o desk.Order, filters url.Values, counted int, err error) {
	act := desk.Act(v.at.part)
	if verbs[act] == "" {
		return o, nil, 0, errNoPage
	}
	filters = v.filters()
	counted, _ = strconv.Atoi(filters.Get(paramCounted))
	for _, own := range []string{paramCounted, paramFrom, "order"} {
		filters.Del(own)
	}
	now := v.rt.Engine.Now()
	if o, err = desk.ParseOrder(act, filters, now); err != nil {
		return o, nil, 0, err
	}
	o.Everything = true
	filters = frozen(filters, o, now)
	return o, filters, max(0, counted), nil
}

// frozen returns filters that mean the same callbacks later.
func frozen(filters url.Values, o desk.Order, now time.Time) url.Values {
	const form = "2006-01-02T15:04:05.000Z07:00"
	if o.Query.From != 0 {
		filters.Set("createdAfter", o.Query.From.Time().Format(form))
	}
	before := now.UTC()
	if o.Query.Before != 0 {
		before = o.Query.Before.Time()
	}
	filters.Set("createdBefore", before.Format(form))
	return filters
}

// all asks somebody to confirm what is to be done to all that match.
func (v *visit) all() error {
	o, filters, before, err := v.order()
	if err != nil {
		return err
	}
	q := o.Matching()
	if from := v.r.URL.Query().Get(paramFrom); from != "" {
		at, err := desk.ParseQuery(url.Values{paramCursor: {from}}, v.rt.Engine.Now())
		if err != nil {
			return err
		}
		q.After = at.After
	}
	counted, err := v.desk().Count(v.r.Context(), q)
	if err != nil {
		return err
	}
	data := allData{
		Frame: v.frame(), Act: o.Act, Verb: verbs[o.Act], Count: before + counted.Count, To: "?" + filters.Encode(),
		List: v.at.root + "list?" + without(filters, paramCursor).Encode(), Danger: o.Act == desk.Close, Form: resolveForm{ID: "all"},
	}
	data.Says = plural(data.Count, "callback", "callbacks")
	if counted.Next != "" {
		on := maps.Clone(filters)
		on.Set(paramFrom, counted.Next)
		on.Set(paramCounted, strconv.Itoa(data.Count))
		data.On = "?" + on.Encode()
	}
	if q.Phase != 0 {
		data.Filters = append(data.Filters, setting{"phase", q.Phase.String()})
	}
	for name, values := range filters {
		if name != "phase" && name != paramCursor {
			data.Filters = append(data.Filters, setting{name, values[0]})
		}
	}
	slices.SortFunc(data.Filters, func(a, b setting) int { return strings.Compare(a.Name, b.Name) })
	return v.write(allPage, show{title: data.Verb + " all that match", data: data})
}

// doAll does what was confirmed, and sends the browser to the report.
func (v *visit) doAll() error {
	o, filters, _, err := v.order()
	if err != nil {
		return err
	}
	f, err := v.readForm()
	if err != nil {
		return err
	}
	defer f.Release()
	expected, err := strconv.Atoi(f.Get(fieldExpect))
	if err != nil || expected < 0 {
		return problem.InvalidField(fieldExpect, "It must be the number of callbacks that was confirmed.")
	}
	o.Expect = &expected
	if o.Act == desk.Resolve {
		if o.Call, o.Lease, err = v.call(f, memory.Nobody); err != nil {
			return err
		}
		defer o.Lease.Release()
	}
	report, err := v.desk().All(v.r.Context(), o)
	if err != nil {
		return err
	}
	id := v.d.reports.keep(keptReport{by: v.visitor.by, act: o.Act, Report: report, filters: filters})
	back := without(filters, paramCursor)
	back.Set(paramReport, id)
	v.goTo("list?" + back.Encode())
	return nil
}
