package integration

import (
	"fmt"
	"maps"
	"net/http"
	"strings"
	"testing"

	"github.com/caddy-callback/caddy-callback/integration/harness"
)

// report is what has become of an act on all callbacks that match.
type report struct {
	Matched, Done, Failed int
	Skipped               map[string]int
	Failures              []struct{ ID, Reason string }
	Next                  string
}

// act acts on all callbacks that match. Header lines come as names and values in turn.
func (s *stage) act(t *testing.T, what, query, body string, lines ...string) report {
	t.Helper()
	got := s.api(t, http.MethodPost, "/"+what+query, body, lines...)
	wantStatus(t, got, http.StatusOK)
	return decode[report](t, got)
}

// wantReport checks all counts of a report.
func wantReport(t *testing.T, got report, done, failed int, skipped map[string]int) {
	t.Helper()
	matched := done + failed
	for _, n := range skipped {
		matched += n
	}
	if got.Matched != matched || got.Done != done || got.Failed != failed || !maps.Equal(got.Skipped, skipped) || got.Next != "" {
		t.Errorf("the report says %+v, want %d done, %d failed and %v skipped", got, done, failed, skipped)
	}
}

// happened returns the last entry of a callback's history.
func (s *stage) happened(t *testing.T, id string, lines ...string) (last struct{ Kind, By string }) {
	t.Helper()
	got := s.api(t, http.MethodGet, "/"+id, "", lines...)
	wantStatus(t, got, http.StatusOK)
	history := decode[struct{ History []struct{ Kind, By string } }](t, got).History
	if len(history) == 0 {
		t.Fatalf("%s has no history", id)
	}
	return history[len(history)-1]
}

func TestAllThatMatchAreClosedOnceTheirNumberIsConfirmed(t *testing.T) {
	t.Parallel()
	s := openAPI(t, harness.Config{})
	for range 3 {
		s.create(t, `{"correlationId":"old"}`)
	}
	other := s.create(t, `{"correlationId":"new"}`)
	count := func(query string) int {
		got := s.api(t, http.MethodGet, "/count"+query, "")
		wantStatus(t, got, http.StatusOK)
		return decode[struct{ Count int }](t, got).Count
	}
	if all, old := count(""), count("?correlationId=old&phase=waiting"); all != 4 || old != 3 {
		t.Errorf("counted %d and %d", all, old)
	}
	p := wantProblem(t, s.api(t, http.MethodPost, "/close?correlationId=old&expect=2", ""), http.StatusConflict, "more-match")
	if !strings.Contains(p.Detail, "2") || count("?phase=waiting") != 4 {
		t.Errorf("%+v", p)
	}
	wantReport(t, s.act(t, "close", "?correlationId=old&expect=3", ""), 3, 0, nil)
	if count("?phase=closed") != 3 || s.show(t, other.ID).Phase != "waiting" {
		t.Error("others were closed than those that match")
	}
	// Without a phase, those that have ended do not match.
	wantReport(t, s.act(t, "close", "?correlationId=old&expect=0", ""), 0, 0, nil)
	wantReport(t, s.act(t, "close", "?phase=closed&correlationId=old", ""), 0, 0, map[string]int{"ended": 3})
	wantReport(t, s.act(t, "close", "?all=true", ""), 1, 0, nil)
}

func TestActOnAllNeedsAFilterOrSaysSo(t *testing.T) {
	t.Parallel()
	s := openAPI(t, harness.Config{})
	made := s.create(t, `{}`)
	for query, field := range map[string]string{
		"": "all", "?all=false": "all", "?expect=1": "all", "?name=": "all", "?all=yes": "all", "?all=true&all=true": "all", "?phase=done": "phase",
		"?name=a&limit=3": "limit", "?name=a&order=oldest": "order", "?name=a&expect=-1": "expect", "?name=a&expect=many": "expect", "?name=a&cursor=x": "cursor", "?nam=a": "nam",
	} {
		for _, what := range []string{"close", "resolve", "redeliver"} {
			p := wantProblem(t, s.api(t, http.MethodPost, "/"+what+query, ""), http.StatusBadRequest, "invalid-request")
			if p.Field != field || p.Detail == "" {
				t.Errorf("%s%s: %+v", what, query, p)
			}
		}
	}
	wantProblem(t, s.api(t, http.MethodGet, "/close?all=true", ""), http.StatusMethodNotAllowed, "method-not-allowed")
	if s.show(t, made.ID).Phase != "waiting" {
		t.Error("the callback was closed")
	}
}

func TestAllThatMatchAreResolvedWithOneCall(t *testing.T) {
	t.Parallel()
	s := openAPI(t, harness.Config{Hold: "name orders\nheader_prefix X-Acme-\nrequire status"})
	held := s.get(t)
	made := s.create(t, `{"correlationId":"x","requireCorrelationId":true}`)
	other := s.create(t, `{}`)
	got := s.act(t, "resolve", "?all=true", `{"by":"hand"}`, "X-Link-Status", "Ok")
	if got.Matched != 3 || got.Done != 2 || got.Failed != 1 || len(got.Failures) != 1 || got.Failures[0].ID != made.ID || got.Failures[0].Reason != "missing-header" {
		t.Errorf("%+v", got)
	}
	wantAnswer(t, held.Answer(t), http.StatusOK, `{"by":"hand"}`)
	if d := s.show(t, other.ID); d.Phase != "resolved" || d.LatestCall.Body != `{"by":"hand"}` || len(d.LatestCall.Query) != 0 {
		t.Errorf("%+v", d)
	}
	wantReport(t, s.act(t, "resolve", "?id="+made.ID, "", "X-Link-Correlation-Id", "x", "X-Link-Status", "Failed", "X-Link-Error-Code", "E7"), 1, 0, nil)
	if d := s.show(t, made.ID); d.Phase != "failed" || d.ErrorCode != "E7" {
		t.Errorf("%+v", d)
	}
	wantProblem(t, s.api(t, http.MethodPost, "/resolve?all=true", strings.Repeat("x", 64<<10+1)), http.StatusRequestEntityTooLarge, "too-large")
}

func TestKeyActsOnTheCallbacksThatItIsFor(t *testing.T) {
	t.Parallel()
	s := teamed(t, harness.Config{})
	orders, billing, nobodys := s.create(t, `{}`, bearer(ordersKey)...).ID, s.create(t, `{}`, bearer(billingKey)...).ID, s.create(t, `{}`, bearer(operatorKey)...).ID
	wantReport(t, s.act(t, "close", "?name=billing", "", bearer(ordersKey)...), 0, 0, nil)
	wantReport(t, s.act(t, "close", "?id="+billing, "", bearer(ordersKey)...), 0, 0, nil)
	wantReport(t, s.act(t, "close", "?all=true&expect=1", "", bearer(ordersKey)...), 1, 0, nil)
	for id, want := range map[string]string{billing: "created", nobodys: "created", orders: "closed"} {
		if last := s.happened(t, id, bearer(operatorKey)...); last.Kind != want || want == "closed" && last.By != "orders" {
			t.Errorf("%s: %+v", id, last)
		}
	}
	got := s.api(t, http.MethodGet, "/count", "", bearer(billingKey)...)
	if n := decode[struct{ Count int }](t, got).Count; n != 1 {
		t.Errorf("counted %d", n)
	}
	wantReport(t, s.act(t, "resolve", "?all=true", "", bearer(operatorKey)...), 2, 0, nil)
	if last := s.happened(t, billing, bearer(operatorKey)...); last.By != "operator" {
		t.Errorf("%+v", last)
	}
	s.NeverLog(operatorKey)
	wantProblem(t, s.api(t, http.MethodPost, "/close?all=true", "", bearer("nobody's")...), http.StatusUnauthorized, "key-unknown")
}

func TestAllThatWereGivenUpAreDeliveredAgain(t *testing.T) {
	t.Parallel()
	g := newTarget(t, http.StatusGone, http.StatusGone, http.StatusGone)
	s := newStage(t)
	s.Start(t, withAPI(s, harness.Config{Private: s.parks("name orders\ndeliver {\nallow " + g.URL + "\nretry 50ms\n}")}, "key off"))
	var given []parked
	for i := range 3 {
		x := s.order(t, g.URL)
		p := s.wantParked(t, x.Answer(t))
		x.resolve(t, fmt.Sprint("result ", i))
		g.delivered(t)
		s.deliveryIs(t, p, "dead")
		given = append(given, p)
	}
	waits := s.wantParked(t, s.order(t, g.URL).Answer(t))
	wantReport(t, s.act(t, "redeliver", "?id="+waits.ID, ""), 0, 0, map[string]int{"nothing-to-deliver": 1})
	wantReport(t, s.act(t, "redeliver", "?delivery=dead&expect=3", ""), 3, 0, nil)
	for _, p := range given {
		g.delivered(t)
		s.deliveryIs(t, p, "delivered")
	}
	// What was delivered is dead no more, so that the same again does nothing twice.
	wantReport(t, s.act(t, "redeliver", "?delivery=dead&expect=3", ""), 0, 0, nil)
}

// An act reaches further than one page, and goes on where the report says.
func TestActOnManyGoesOn(t *testing.T) {
	t.Parallel()
	s := openAPI(t, harness.Config{})
	const n = 1200
	for range n {
		s.create(t, `{}`)
	}
	got := s.act(t, "close", "?all=true&expect=1200", "")
	wantReport(t, got, n, 0, nil)
	if page := s.list(t, "?phase=waiting"); page.Waiting != 0 || len(page.Callbacks) != 0 {
		t.Errorf("%d wait", page.Waiting)
	}
}
