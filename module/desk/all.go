package desk

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"reflect"
	"strconv"
	"sync"
	"time"

	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/memory"
	"github.com/caddy-callback/caddy-callback/module/problem"
	"github.com/caddy-callback/caddy-callback/module/store"
)

// Act is what is done to callbacks.
type Act string

// The acts.
const (
	Close     Act = "close"
	Redeliver Act = "redeliver"
	Resolve   Act = "resolve"
)

// Order says what to do to all callbacks that match.
type Order struct {
	Act Act
	// Query says which ones. Its Limit does not matter, and After is where a report says
	// that there are more.
	Query store.Query
	// Everything says that no filter is needed.
	Everything bool
	// Expect is how many there are at most, as somebody has confirmed; nil if nobody has
	// counted.
	Expect *int
	// Call is what callbacks are resolved with, and Lease the memory that its body takes.
	Call  *callback.Call
	Lease *memory.Lease
}

// Parameters of an order beside those that say what is counted.
const (
	paramAll    = "all"
	paramExpect = "expect"
)

// OrderParameters returns the names of the parameters that ParseOrder reads.
func OrderParameters() []string { return append(namesOf(counting), paramAll, paramExpect) }

// ParseOrder reads an order, without its call. The error is a problem that names the
// parameter.
func ParseOrder(act Act, values url.Values, now time.Time) (o Order, err error) {
	rest := make(url.Values)
	for name, all := range values {
		switch {
		case name != paramAll && name != paramExpect:
			rest[name] = all
		case len(all) > 1:
			return o, problem.InvalidField(name, "It is given twice; give it once.")
		case name == paramAll:
			if o.Everything = all[0] == "true"; !o.Everything && all[0] != "false" {
				return o, problem.InvalidField(name, problem.Sentence(mustBe("true or false")))
			}
		default:
			n, err := strconv.Atoi(all[0])
			if err != nil || n < 0 {
				return o, problem.InvalidField(name, problem.Sentence(mustBe("the number of callbacks that were counted")))
			}
			o.Expect = &n
		}
	}
	o.Act = act
	o.Query, err = parse(counting, rest, now)
	return o, err
}

// Matching returns the query for those that an order is about. Only those that wait can be
// closed or resolved, unless the order says otherwise: some take calls after their end.
func (o Order) Matching() store.Query {
	q := o.Query
	if q.Phase == 0 && o.Act != Redeliver {
		q.Phase = callback.Waiting
	}
	return q
}

// filtered reports whether a query has a filter.
func filtered(q store.Query) bool {
	q.After, q.Limit, q.OldestFirst = store.Cursor{}, 0, false
	return !reflect.DeepEqual(q, store.Query{})
}

// Reasons why a callback that matches is left as it is.
const (
	// SkippedEnded: it has ended before, or takes no call any more.
	SkippedEnded = "ended"
	// SkippedRemoved: it is not there any more.
	SkippedRemoved = "removed"
	// SkippedNothing: it has no result to deliver.
	SkippedNothing = "nothing-to-deliver"
)

// Report says what has become of an order.
type Report struct {
	// Matched is how many matched, Done to how many it was done, and Failed with how many
	// it has failed.
	Matched int `json:"matched"`
	Done    int `json:"done"`
	Failed  int `json:"failed"`
	// Skipped is how many were left as they are, by the reason.
	Skipped map[string]int `json:"skipped"`
	// Failures are the first that have failed, and why.
	Failures []Failure `json:"failures,omitempty"`
	// Next is where to go on: the work of one request is bounded. Empty at the end.
	Next string `json:"next,omitempty"`
}

// Failure is a callback that something has failed with.
type Failure struct {
	ID     string `json:"id"`
	Reason string `json:"reason"`
}

const (
	// mostActs is how many callbacks one request acts on at most, and actingTime is for how long
	// it does: less than the time that Caddy gives requests to the admin endpoint when the
	// configuration changes. mostFailures is how many of those that fail are named.
	mostActs     = 10_000
	actingTime   = 5 * time.Second
	mostFailures = 20
	// hands is how many callbacks are acted on at once, so that they share commits.
	hands = 32
)

// errUnfiltered is the problem of an order without a filter.
var errUnfiltered = problem.InvalidField(paramAll, "No filter is given, so all callbacks would be meant. Give one, or all=true.")

// All carries out an order, as far as one request does, and ends early when ctx does: what
// was done by then stays. An error means that nothing was done.
func (d *Desk) All(ctx context.Context, o Order) (Report, error) {
	if !o.Everything && !filtered(o.Query) {
		return Report{}, errUnfiltered
	}
	q, some := d.limited(o.Matching())
	if !some {
		return newReport(), nil
	}
	if o.Expect != nil && q.After == (store.Cursor{}) {
		if err := d.confirm(ctx, q, *o.Expect); err != nil {
			return Report{}, err
		}
	}
	return d.carryOut(ctx, o, q)
}

func newReport() Report { return Report{Skipped: make(map[string]int)} }

// confirm makes sure that no more callbacks match than somebody has confirmed.
func (d *Desk) confirm(ctx context.Context, q store.Query, expected int) error {
	q.Limit = store.MaxPageSize
	for n := 0; ; {
		places, next, err := d.places(ctx, q)
		if err != nil {
			return err
		}
		if n += len(places); n > expected {
			return problem.MoreMatch.With(fmt.Sprintf("More match than the %d that were confirmed, and nothing was done. Count again.", expected))
		}
		if q.After = next; next == (store.Cursor{}) {
			return nil
		}
	}
}

// carryOut acts on page after page.
func (d *Desk) carryOut(ctx context.Context, o Order, q store.Query) (Report, error) {
	most := cmp.Or(d.most, mostActs)
	if o.Expect != nil {
		most = min(most, *o.Expect)
	}
	report, until := newReport(), time.Now().Add(actingTime)
	for {
		if err := ctx.Err(); err != nil && report.Matched == 0 {
			return report, err
		}
		q.Limit = min(store.MaxPageSize, most-report.Matched)
		if q.Limit <= 0 || ctx.Err() != nil || time.Now().After(until) {
			report.Next = encodeCursor(q.After)
			return report, nil
		}
		places, next, err := d.places(ctx, q)
		if err != nil {
			report.Next = encodeCursor(q.After)
			return report, d.ended(report, err)
		}
		if n := d.actOn(ctx, o, places, &report); n < len(places) {
			if n > 0 {
				q.After = places[n-1]
			}
			continue
		}
		if q.After = next; next == (store.Cursor{}) {
			return report, nil
		}
	}
}

// ended returns the error of an order that has come to an end, nil if something was done: then
// the report has to tell.
func (d *Desk) ended(r Report, err error) error {
	if r.Matched > 0 {
		d.engine().Refused(err)
		return nil
	}
	return err
}

// actOn acts on callbacks, on some of them at once, and adds to the report what has become of
// them. It returns on how many it has acted when the context ended.
func (d *Desk) actOn(ctx context.Context, o Order, places []store.Cursor, report *Report) (n int) {
	next := make(chan callback.UUID)
	var lock sync.Mutex
	var all sync.WaitGroup
	for range min(hands, len(places)) {
		all.Go(func() {
			for id := range next {
				// What was begun is reported.
				skipped, err := d.act(context.WithoutCancel(ctx), o, id)
				lock.Lock()
				report.add(id, skipped, err)
				lock.Unlock()
			}
		})
	}
	for n < len(places) && ctx.Err() == nil {
		next <- places[n].ID
		n++
	}
	close(next)
	all.Wait()
	return n
}

// add counts a callback.
func (r *Report) add(id callback.UUID, skipped string, err error) {
	r.Matched++
	switch {
	case skipped != "":
		r.Skipped[skipped]++
	case err == nil:
		r.Done++
	default:
		r.Failed++
		if len(r.Failures) < mostFailures {
			r.Failures = append(r.Failures, Failure{id.String(), reasonOf(err)})
		}
	}
}

// reasonOf returns what a report says of an error.
func reasonOf(err error) string {
	var p problem.Problem
	if errors.As(err, &p) {
		return p.Slug
	}
	return problem.StoreUnavailable.Slug
}

// act does to one callback what was ordered. It says why the callback was left as it is.
func (d *Desk) act(ctx context.Context, o Order, id callback.UUID) (skipped string, err error) {
	switch o.Act {
	case Close:
		skipped, err = d.closeOne(ctx, id)
	case Redeliver:
		if err = d.Redeliver(ctx, id); err == nil {
			_, err = d.Find(ctx, id)
		}
		var p problem.Problem
		if errors.As(err, &p) && p.Slug == problem.NothingToDeliver.Slug {
			return SkippedNothing, nil
		}
	case Resolve:
		skipped, err = d.resolveOne(ctx, id, o)
	}
	if errors.Is(err, store.ErrNotFound) {
		return SkippedRemoved, nil
	}
	return skipped, err
}

func (d *Desk) closeOne(ctx context.Context, id callback.UUID) (skipped string, err error) {
	if err := d.Look(ctx, id); err != nil {
		return "", err
	}
	closed, err := d.close(ctx, id)
	if err == nil && !closed {
		skipped = SkippedEnded
	}
	return skipped, err
}

func (d *Desk) resolveOne(ctx context.Context, id callback.UUID, o Order) (skipped string, err error) {
	verdict, err := d.Resolve(ctx, id, o.Call, o.Lease)
	if err != nil {
		return "", err
	}
	switch verdict.Kind {
	case callback.Accepted, callback.Returned, callback.Progressed:
		return "", nil
	case callback.Repeated, callback.Gone, callback.Conflict:
		return SkippedEnded, nil
	case callback.Backlogged:
		return "", problem.ResultsWaiting(verdict.RetryAfter)
	case callback.Refused:
		return "", problem.Refused(verdict.Fault.Slug, verdict.Fault.Detail, http.StatusBadRequest)
	}
	return "", problem.InvalidRequest
}
