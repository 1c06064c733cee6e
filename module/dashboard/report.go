package dashboard

import (
	"maps"
	"net/url"
	"slices"
	"sync"

	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/desk"
)

// mostReports is how many reports are kept.
const mostReports = 50

// reports has what has become of what was done to many callbacks, for whoever has done it. The
// zero value is empty.
type reports struct {
	mu   sync.Mutex
	kept []keptReport
}

// keptReport is a report, and whose it is.
type keptReport struct {
	id, by string
	act    desk.Act
	desk.Report
	// filters say which callbacks were meant.
	filters url.Values
}

// keep keeps a report, in place of the oldest if there are many, and returns its id.
func (rs *reports) keep(r keptReport) string {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	r.id = callback.NewUUID().String()
	rs.kept = append(rs.kept, r)
	if len(rs.kept) > mostReports {
		rs.kept = slices.Delete(rs.kept, 0, 1)
	}
	return r.id
}

// find returns a report of somebody's.
func (rs *reports) find(id, by string) (keptReport, bool) {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	i := slices.IndexFunc(rs.kept, func(r keptReport) bool { return r.id == id && r.by == by })
	if i < 0 {
		return keptReport{}, false
	}
	return rs.kept[i], true
}

// shownReport is a report as a page shows it.
type shownReport struct {
	Title    string
	Lines    []string
	Failures []link
	// Again leads to what is left to be done; empty for nowhere.
	Again string
}

// doneWords say what was done.
var doneWords = map[desk.Act]string{desk.Close: "closed", desk.Redeliver: "delivered again", desk.Resolve: "resolved"}

// skippedWords say why callbacks were left as they are.
var skippedWords = map[string]string{
	desk.SkippedEnded:   "had ended before, or take no call any more",
	desk.SkippedRemoved: "were not there any more",
	desk.SkippedNothing: "have no result to deliver",
}

// report returns a report as the page shows it; nil if there is none. Another node, or this one
// since it was started again, does not know it.
func (v *visit) report(id string) *shownReport {
	if id == "" {
		return nil
	}
	r, ok := v.d.reports.find(id, v.visitor.by)
	if !ok {
		return &shownReport{Title: "Done", Lines: []string{"The report is not kept any longer. What has become of the callbacks is in their history."}}
	}
	s := &shownReport{Title: plural(r.Done, "callback was ", "callbacks were ") + doneWords[r.act]}
	s.Lines = append(s.Lines, "Of "+plural(r.Matched, "callback that matched", "callbacks that matched")+", "+count(r.Done)+" were "+doneWords[r.act]+".")
	for _, reason := range slices.Sorted(maps.Keys(r.Skipped)) {
		words := skippedWords[reason]
		if words == "" {
			words = "were left as they are: " + reason
		}
		s.Lines = append(s.Lines, count(r.Skipped[reason])+" "+words+".")
	}
	if r.Failed > 0 {
		s.Lines = append(s.Lines, "With "+count(r.Failed)+" it has failed.")
	}
	for _, f := range r.Failures {
		s.Failures = append(s.Failures, link{f.ID + ": " + f.Reason, v.at.root + "callback/" + f.ID})
	}
	if r.Next != "" {
		rest := maps.Clone(r.filters)
		rest.Set(paramCursor, r.Next)
		s.Again = v.at.root + "list/" + string(r.act) + "?" + rest.Encode()
		s.Lines = append(s.Lines, "There may be more that match: what one request does is bounded.")
	}
	return s
}
