package answer

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/engine"
)

func TestChainIsReadFromTheURL(t *testing.T) {
	for query, want := range map[string]Chain{
		"":                       {},
		"wait=30":                {Wait: 30 * time.Second},
		"wait=0.7":               {Wait: 700 * time.Millisecond},
		"wait=007.070":           {Wait: 7070 * time.Millisecond},
		"other=1&wait=30&hop=3":  {Wait: 30 * time.Second, hops: 3},
		"wait=30&hop=7":          {Wait: 30 * time.Second, hops: 7},
		"wait=301":               {Wait: maxPreferredWait},
		"wait=999999999":         {Wait: maxPreferredWait},
		"wait=0":                 {},
		"wait=0.000":             {},
		"hop=3":                  {},
		"wait=":                  {},
		"wait=9999999999":        {},
		"wait=-1":                {},
		"wait=%2B1":              {},
		"wait=1e3":               {},
		"wait=30s":               {},
		"wait=.5":                {},
		"wait=5.":                {},
		"wait=0.0001":            {},
		"wait=inf":               {},
		"wait=30&wait=30":        {},
		"WAIT=30":                {},
		"wait=30;hop=1":          {},
		"wait=30&hop=%":          {},
		"wait=30&hop=8":          {Wait: 30 * time.Second, hops: maxHops},
		"wait=30&hop=":           {Wait: 30 * time.Second, hops: maxHops},
		"wait=30&hop=0":          {Wait: 30 * time.Second, hops: maxHops},
		"wait=30&hop=-1":         {Wait: 30 * time.Second, hops: maxHops},
		"wait=30&hop=01":         {Wait: 30 * time.Second, hops: maxHops},
		"wait=30&hop=9":          {Wait: 30 * time.Second, hops: maxHops},
		"wait=30&hop=1&hop=1":    {Wait: 30 * time.Second, hops: maxHops},
		"wait=30&hop=1&hop=5":    {Wait: 30 * time.Second, hops: maxHops},
		"wait=30&hop=4294967297": {Wait: 30 * time.Second, hops: maxHops},
		"wait=30&hop=many&hop=1": {Wait: 30 * time.Second, hops: maxHops},
		"wait=30&" + url.QueryEscape("hop=1") + "=": {Wait: 30 * time.Second},
	} {
		if got := ChainOf(query); got != want {
			t.Errorf("%q is %+v, want %+v", query, got, want)
		}
	}
}

func TestChainWaitsInWholeMilliseconds(t *testing.T) {
	for wait, want := range map[time.Duration]string{
		30 * time.Second:          "?wait=30",
		700 * time.Millisecond:    "?wait=0.7",
		1500*time.Microsecond + 1: "?wait=0.002",
		time.Nanosecond:           "?wait=0.001",
		10 * time.Minute:          "?wait=300",
	} {
		if got := NewChain(wait).query(); got != want {
			t.Errorf("%v is %s, want %s", wait, got, want)
		}
	}
	if c := NewChain(0); c.Wait != 0 {
		t.Errorf("without a wait there is %+v", c)
	}
}

// A client that does not want to wait is not sent around, and the shorter of two waits counts.
func TestChainIsAsPatientAsItsClient(t *testing.T) {
	for preference, want := range map[string]time.Duration{
		"": 30 * time.Second, "wait=10": 10 * time.Second, "wait=60": 30 * time.Second, "respond-async": 30 * time.Second, "wait=0": 0,
	} {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.Header.Set("Prefer", preference)
		c := Chain{Wait: 30 * time.Second}
		if got := c.preferredBy(r.Header).Wait; got != want || c.GoesOn(r) != (want > 0) {
			t.Errorf("%q: waits for %v, goes on: %v", preference, got, c.GoesOn(r))
		}
	}
}

// follow follows a chain to its end, and returns how often it was sent on.
func follow(tb testing.TB, query string) (hops int) {
	tb.Helper()
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	for c := ChainOf(query); c.GoesOn(r); hops++ {
		if hops > 2*maxHops {
			tb.Fatalf("%q: the chain has no end", query)
		}
		w := httptest.NewRecorder()
		ServeChained(w, &engine.Callback{Issued: callback.Issued{Record: &callback.Record{}, Policy: &callback.Policy{}}}, c)
		next, found := strings.CutPrefix(w.Header().Get("Location"), "?")
		if w.Code != http.StatusSeeOther || !found {
			tb.Fatalf("%q: %d with %v", query, w.Code, w.Header())
		}
		if after := ChainOf(next); after.Wait != c.Wait || after.hops != c.hops+1 {
			tb.Fatalf("%q: after %+v comes %+v", query, c, after)
		}
		c = ChainOf(next)
	}
	return hops
}

func TestChainHasEightHops(t *testing.T) {
	for query, want := range map[string]int{"wait=30": 8, "wait=30&hop=1": 7, "wait=30&hop=7": 1, "wait=30&hop=8": 0, "wait=30&hop=x": 0, "wait=0": 0, "": 0} {
		if got := follow(t, query); got != want {
			t.Errorf("%q: %d hops, want %d", query, got, want)
		}
	}
}

// FuzzChain follows the links that are given out for any query.
func FuzzChain(f *testing.F) {
	for _, query := range []string{"", "wait=30", "wait=0.5&hop=3", "wait=1&hop=9", "hop=1&hop=2&wait=5", "wait=999999999&hop=-1", "wait=1&wait=2", "wait=%31"} {
		f.Add(query)
	}
	f.Fuzz(func(t *testing.T, query string) {
		if c := ChainOf(query); c.Wait < 0 || c.Wait > maxPreferredWait || c.hops < 0 || c.hops > maxHops {
			t.Fatalf("%q is %+v", query, c)
		}
		if hops := follow(t, query); hops > maxHops {
			t.Errorf("%q: %d hops", query, hops)
		}
	})
}
