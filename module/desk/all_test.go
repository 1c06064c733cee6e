package desk

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/caddy-callback/caddy-callback/module/app"
	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/engine"
	"github.com/caddy-callback/caddy-callback/module/problem"
	"github.com/caddy-callback/caddy-callback/module/store"
	"github.com/caddy-callback/caddy-callback/module/store/storetest"
)

// bed is a desk with an engine, and the store that this has.
type bed struct {
	Desk
	store  store.Store
	policy *callback.Policy
	made   int
}

// quiet is an observer that does nothing.
type quiet struct{}

func (quiet) Observe(engine.Transition, *callback.Record, bool) {}
func (quiet) Unmatched()                                        {}

func newBed(t *testing.T, policy callback.Policy) *bed {
	t.Helper()
	policy.BaseURL, policy.Retain = "https://app.example.com", time.Hour
	if err := policy.Compile(); err != nil {
		t.Fatal(err)
	}
	s := storetest.NewMemory().Open()
	e := engine.New(s, engine.Limits{MaxMemory: 64 << 20, MaxBody: 1 << 20, MaxWaiting: 1 << 20, MaxHeld: 10}, zap.NewNop(), quiet{})
	t.Cleanup(func() { _ = e.Close() })
	if err := s.PutPolicy(t.Context(), &policy); err != nil {
		t.Fatal(err)
	}
	return &bed{Desk: Desk{Runtime: &app.Runtime{Engine: e}, By: "tester"}, store: s, policy: &policy}
}

// make makes callbacks with that name, each a moment after the one before.
func (b *bed) make(t *testing.T, n int, name string) (ids []callback.UUID) {
	t.Helper()
	now := b.engine().Now()
	for range n {
		b.made++
		r := callback.New(b.store.Secret(), b.policy, callback.Spec{Name: name, ExpiresIn: time.Hour}, callback.At(now.Add(time.Duration(b.made-1<<20)*time.Millisecond)))
		r.ExpiresAt = callback.At(now.Add(time.Hour))
		if _, err := b.store.Create(t.Context(), r); err != nil {
			t.Fatal(err)
		}
		ids = append(ids, r.ID)
	}
	return ids
}

// order carries an order out that is given as the query of a request.
func (b *bed) order(ctx context.Context, act Act, query string) (Report, error) {
	values, err := url.ParseQuery(query)
	if err != nil {
		return Report{}, err
	}
	o, err := ParseOrder(act, values, b.engine().Now())
	if err != nil {
		return Report{}, err
	}
	o.Call = &callback.Call{Method: http.MethodPost, Body: callback.NewBody([]byte("by hand"))}
	return b.All(ctx, o)
}

func (b *bed) want(t *testing.T, act Act, query string, done, failed int, skipped map[string]int) Report {
	t.Helper()
	got, err := b.order(t.Context(), act, query)
	if err != nil {
		t.Fatal(err)
	}
	if got.Done != done || got.Failed != failed || !maps.Equal(got.Skipped, skipped) {
		t.Errorf("%s?%s: %+v, want %d done, %d failed, %v skipped", act, query, got, done, failed, skipped)
	}
	return got
}

// wantProblem checks that an error is a problem of that type, about a field if it is one.
func wantProblem(t *testing.T, err error, slug, field string) {
	t.Helper()
	var p problem.Problem
	if !errors.As(err, &p) || p.Slug != slug || field != "" && (len(p.Members) != 1 || p.Members[0].Value != field) {
		t.Errorf("the error is %#v, want %s of %q", err, slug, field)
	}
}

func (b *bed) phase(t *testing.T, id callback.UUID) callback.Phase {
	t.Helper()
	cb, err := b.engine().Find(t.Context(), store.ByID(id))
	if err != nil {
		t.Fatal(err)
	}
	return cb.Phase
}

func TestOneRequestDoesOnlySoMuch(t *testing.T) {
	t.Parallel()
	b := newBed(t, callback.Policy{})
	const most, n = 1100, 2500
	b.most = most
	b.make(t, n, "orders")
	query, rest := "name=orders&expect=", n
	for cursor := ""; rest > 0; {
		got, err := b.order(t.Context(), Close, query+strconv.Itoa(rest)+cursor)
		if err != nil {
			t.Fatal(err)
		}
		if got.Matched > most || got.Matched != got.Done || got.Matched == 0 {
			t.Fatalf("%+v", got)
		}
		rest -= got.Matched
		if got.Next == "" {
			break
		}
		cursor = "&cursor=" + got.Next
	}
	if rest != 0 {
		t.Errorf("%d were left", rest)
	}
	counted, err := b.Count(t.Context(), store.Query{Phase: callback.Closed})
	if err != nil || counted.Count != n {
		t.Errorf("counted %+v, %v", counted, err)
	}
}

func TestNoMoreAreActedUponThanWereConfirmed(t *testing.T) {
	t.Parallel()
	b := newBed(t, callback.Policy{})
	ids := b.make(t, 5, "orders")
	_, err := b.order(t.Context(), Close, "name=orders&expect=4")
	wantProblem(t, err, "more-match", "")
	// Where it goes on nothing is counted any more, and it ends after as many.
	page, err := b.List(t.Context(), store.Query{Limit: 1})
	if err != nil {
		t.Fatal(err)
	}
	page.Release()
	got := b.want(t, Close, "name=orders&expect=2&cursor="+page.Next, 2, 0, nil)
	if got.Next == "" {
		t.Error("the report does not say that there are more")
	}
	for i, want := range []callback.Phase{callback.Waiting, callback.Waiting, callback.Closed, callback.Closed, callback.Waiting} {
		if got := b.phase(t, ids[i]); got != want {
			t.Errorf("%d is %v, want %v", i, got, want)
		}
	}
	b.want(t, Close, "name=orders&expect=3", 3, 0, nil)
	b.want(t, Close, "name=orders&expect=0", 0, 0, nil)
}

func TestActOnAllEndsWithItsContext(t *testing.T) {
	t.Parallel()
	b := newBed(t, callback.Policy{})
	b.make(t, 100, "")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := b.order(ctx, Close, "all=true"); !errors.Is(err, context.Canceled) {
		t.Errorf("the error is %v", err)
	}
	// One that ends on the way leaves a report of what was done, and where to go on.
	ctx, cancel = context.WithCancel(t.Context())
	places := make([]store.Cursor, 0, 100)
	page, err := b.List(ctx, store.Query{})
	if err != nil {
		t.Fatal(err)
	}
	page.Release()
	for _, cb := range page.Callbacks {
		places = append(places, store.Cursor{CreatedAt: cb.CreatedAt, ID: cb.ID})
	}
	report := newReport()
	cancel()
	if n := b.actOn(ctx, Order{Act: Close}, places, &report); n != report.Matched || n > hands {
		t.Errorf("%d were begun, and the report is %+v", n, report)
	}
}

func TestWhatHasEndedMeanwhileIsSkipped(t *testing.T) {
	t.Parallel()
	b := newBed(t, callback.Policy{})
	ids := b.make(t, 4, "")
	removed := callback.NewUUID()
	if err := b.Close(t.Context(), ids[0]); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Resolve(t.Context(), ids[1], &callback.Call{Method: http.MethodPost}, nil); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		act  Act
		id   callback.UUID
		want string
	}{
		{Close, ids[0], SkippedEnded}, {Close, ids[1], SkippedEnded}, {Close, removed, SkippedRemoved}, {Close, ids[2], ""},
		{Resolve, ids[0], SkippedEnded}, {Resolve, ids[1], SkippedEnded}, {Resolve, removed, SkippedRemoved}, {Resolve, ids[3], ""},
		{Redeliver, ids[0], SkippedNothing}, {Redeliver, ids[3], SkippedNothing}, {Redeliver, removed, SkippedRemoved},
	} {
		got, err := b.act(t.Context(), Order{Act: c.act, Call: &callback.Call{Method: http.MethodPost, Body: callback.NewBody([]byte("other"))}}, c.id)
		if got != c.want || err != nil {
			t.Errorf("%s: skipped %q, %v, want %q", c.act, got, err, c.want)
		}
	}
}

// A callback that takes many calls can be closed after its end, and resolved again.
func TestCallbackThatTakesMoreCallsIsClosedAfterItsEnd(t *testing.T) {
	t.Parallel()
	b := newBed(t, callback.Policy{Multiple: true})
	id := b.make(t, 1, "")[0]
	b.want(t, Resolve, "all=true", 1, 0, nil)
	b.want(t, Resolve, "phase=resolved", 1, 0, nil)
	b.want(t, Close, "phase=resolved", 1, 0, nil)
	b.want(t, Close, "phase=resolved", 0, 0, map[string]int{SkippedEnded: 1})
	b.want(t, Resolve, "phase=resolved", 0, 0, map[string]int{SkippedEnded: 1})
	if got := b.phase(t, id); got != callback.Resolved {
		t.Errorf("it is %v", got)
	}
}

func TestReportNamesWhatHasFailedAndWhy(t *testing.T) {
	t.Parallel()
	b := newBed(t, callback.Policy{RequireStatus: true})
	b.make(t, mostFailures+5, "")
	got := b.want(t, Resolve, "all=true", 0, mostFailures+5, nil)
	if len(got.Failures) != mostFailures || got.Failures[0].Reason != "missing-header" {
		t.Errorf("%+v", got.Failures)
	}
	if reason := reasonOf(store.ErrFull); reason != "store-unavailable" {
		t.Errorf("a full store is %s", reason)
	}
}

func TestDeskHasOnlyWhatItsClientSees(t *testing.T) {
	t.Parallel()
	b := newBed(t, callback.Policy{})
	mine, others := b.make(t, 3, "mine"), b.make(t, 3, "others")
	b.Names = []string{"mine"}
	for query, want := range map[string]int{"": 3, "name=mine": 3, "name=others": 0, "id=" + others[0].String(): 0, "id=" + mine[0].String(): 1} {
		values, _ := url.ParseQuery(query)
		q, err := ParseQuery(values, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		page, err := b.List(t.Context(), q)
		if err != nil || len(page.Callbacks) != want {
			t.Errorf("%s: %d, %v", query, len(page.Callbacks), err)
		}
		page.Release()
		if counted, err := b.Count(t.Context(), q); err != nil || counted.Count != want {
			t.Errorf("%s: counted %d, %v", query, counted.Count, err)
		}
	}
	for name, do := range map[string]func(id callback.UUID) error{
		"find":      func(id callback.UUID) error { _, err := b.Find(t.Context(), id); return err },
		"look":      func(id callback.UUID) error { return b.Look(t.Context(), id) },
		"close":     func(id callback.UUID) error { return b.Close(t.Context(), id) },
		"redeliver": func(id callback.UUID) error { return b.Redeliver(t.Context(), id) },
		"purge":     func(id callback.UUID) error { return b.Purge(t.Context(), id) },
		"resolve": func(id callback.UUID) error {
			_, err := b.Resolve(t.Context(), id, &callback.Call{Method: http.MethodPost}, nil)
			return err
		},
	} {
		if err := do(others[0]); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("%s: %v", name, err)
		}
	}
	b.want(t, Close, "name=others", 0, 0, nil)
	b.want(t, Close, "all=true&expect=3", 3, 0, nil)
	for _, id := range others {
		if b.phase(t, id) != callback.Waiting {
			t.Errorf("%s was closed by a client that does not see it", id)
		}
	}
}

func TestNamesOfKeysAreTakenTogether(t *testing.T) {
	t.Parallel()
	only := map[string][]string{"a": {"orders"}, "b": {"bills", "refunds"}}
	for _, c := range []struct{ keys, want []string }{
		{[]string{"a"}, []string{"orders"}}, {[]string{"a", "b"}, []string{"orders", "bills", "refunds"}}, {[]string{"a", "all"}, nil}, {nil, []string{}},
	} {
		if got := NamesOf(callback.Caller{Names: c.keys, Only: only}); !slices.Equal(got, c.want) || (got == nil) != (c.want == nil) {
			t.Errorf("%v sees %#v, want %#v", c.keys, got, c.want)
		}
	}
}

func TestOrderSaysWhatIsWrongWithIt(t *testing.T) {
	t.Parallel()
	b := newBed(t, callback.Policy{})
	id := b.make(t, 1, "")[0]
	for query, field := range map[string]string{
		"": "all", "all=false": "all", "all=1": "all", "all=true&all=true": "all", "expect=3": "all", "expect=x&all=true": "expect", "expect=-1&all=true": "expect",
		"expect=1&expect=2": "expect", "limit=3&all=true": "limit", "order=oldest&name=a": "order", "phase=gone": "phase", "name=a&name=b": "name", "cursor=x&all=true": "cursor",
		"delivery=pending": "delivery", "createdAfter=soon": "createdAfter", "confirm=false": "confirm", "id=1": "id", "correlationId=": "correlationId", "name=": "all",
	} {
		_, err := b.order(t.Context(), Close, query)
		wantProblem(t, err, "invalid-request", field)
	}
	if b.phase(t, id) != callback.Waiting {
		t.Error("it was closed")
	}
	for query, want := range map[string]callback.Phase{"": callback.Waiting, "phase=resolved": callback.Resolved} {
		values, _ := url.ParseQuery(query)
		o, err := ParseOrder(Close, values, time.Now())
		if err != nil || o.Matching().Phase != want {
			t.Errorf("%s means those that are %v, %v", query, o.Matching().Phase, err)
		}
	}
}
