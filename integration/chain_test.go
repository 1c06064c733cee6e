package integration

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/caddy-callback/caddy-callback/integration/harness"
)

// wantChained checks that a client was sent on to its result, and returns where.
func (s *stage) wantChained(t *testing.T, got *harness.Response, query string) string {
	t.Helper()
	wantStatus(t, got, http.StatusSeeOther)
	wantHeader(t, got.Header, "Content-Type", "application/json")
	wantNotStored(t, got.Header)
	// It would be how long to wait before following.
	wantHeader(t, got.Header, "Retry-After")
	location := got.Header.Get("Location")
	if _, asked, _ := strings.Cut(location, "?"); asked != query {
		t.Errorf("Location is %q, want one with %s", location, query)
	}
	return location
}

// wantBegun checks that the answer begins a chain, and returns the result's URL with and
// without its query.
func (s *stage) wantBegun(t *testing.T, got *harness.Response, query string) (location, result string) {
	t.Helper()
	location = s.wantChained(t, got, query)
	p := decode[parked](t, got)
	s.NeverLog(anyUUID.FindString(p.StatusURL))
	if p.Status != "processing" || !statusURLForm.MatchString(p.StatusURL) || location != p.ResultURL+"?"+query {
		t.Errorf("Location is %q, and the document %+v", location, p)
	}
	return location, p.ResultURL
}

func TestChainLeadsToTheResult(t *testing.T) {
	t.Parallel()
	s := start(t, harness.Config{TLS: true, Timeout: "300ms", Hold: "on_timeout redirect"})
	for _, protocol := range harness.Protocols {
		t.Run(string(protocol), func(t *testing.T) {
			t.Parallel()
			x := s.send(t, protocol, http.MethodPost, "text/plain", "an order")
			location, result := s.wantBegun(t, x.Answer(t), "wait=0.3")
			begin := time.Now()
			got := s.fetch(t, location)
			if took := time.Since(begin); took < 300*time.Millisecond {
				t.Errorf("the result was waited for only %v", took)
			}
			s.wantChained(t, got, "wait=0.3&hop=1")
			wantHeader(t, got.Header, "Vary", "Prefer")
			if status := decode[document](t, got); status.Phase != "waiting" {
				t.Errorf("the client is told %+v", status)
			}
			waiting := harness.Send(s.Client(t, harness.HTTP1), harness.NewRequest(t, http.MethodGet, result+"?wait=60&hop=1", "", ""))
			x.resolve(t, "done")
			wantAnswer(t, waiting.Answer(t), http.StatusOK, "done")
			wantAnswer(t, s.fetch(t, location), http.StatusOK, "done")
		})
	}
}

func TestChainEndsWithWhatAPendingResultAnswers(t *testing.T) {
	t.Parallel()
	s := start(t, harness.Config{Timeout: "50ms", Hold: "on_timeout redirect"})
	for _, method := range []string{http.MethodGet, http.MethodHead, http.MethodPost} {
		x := s.send(t, harness.HTTP1, method, "", "")
		answer := x.Answer(t)
		wantStatus(t, answer, http.StatusSeeOther)
		location := answer.Header.Get("Location")
		result, _, _ := strings.Cut(location, "?")
		// A POST that is sent on becomes a GET.
		if method == http.MethodPost {
			method = http.MethodGet
		}
		for hop := 1; hop <= 8; hop++ {
			got := s.callURL(t, method, location, "")
			wantStatus(t, got, http.StatusSeeOther)
			if next := got.Header.Get("Location"); next != fmt.Sprintf("?wait=0.05&hop=%d", hop) {
				t.Fatalf("hop %d leads to %q", hop, next)
			}
			location = result + got.Header.Get("Location")
		}
		got := s.callURL(t, method, location, "")
		wantStatus(t, got, http.StatusAccepted)
		wantHeader(t, got.Header, "Retry-After", "5")
		wantHeader(t, got.Header, "Location")
		plain := s.callURL(t, method, result, "")
		if plain.Status != got.Status || string(plain.Body) != string(got.Body) {
			t.Errorf("the chain ends with %s, and the result is %s", short(got.Body), short(plain.Body))
		}
		// What is not a link of ours leads no further.
		for _, query := range []string{"?wait=0.05&hop=0", "?wait=0.05&hop=9", "?wait=0.05&hop=1&hop=1", "?wait=0.05&hop=-7", "?wait=soon", "?hop=1"} {
			wantStatus(t, s.callURL(t, method, result+query, ""), http.StatusAccepted)
		}
		x.resolve(t, "late")
		wantStatus(t, s.callURL(t, method, location, ""), http.StatusOK)
	}
}

func TestChainIsAsPatientAsTheClientPrefers(t *testing.T) {
	t.Parallel()
	s := start(t, harness.Config{Timeout: "30s", Hold: "on_timeout redirect"})
	s.wantParked(t, s.prefer(t, "respond-async").Answer(t))
	s.wantParked(t, s.prefer(t, "respond-async, wait=1").Answer(t))
	s.wantParked(t, s.prefer(t, "wait=0").Answer(t))

	answer := s.prefer(t, "wait=1").Answer(t)
	location, result := s.wantBegun(t, answer, "wait=1")
	wantHeader(t, answer.Header, "Preference-Applied", "wait=1")
	// Clients send the header along when they are sent on.
	got := s.callURL(t, http.MethodGet, location, "", "Prefer", "wait=1")
	s.wantChained(t, got, "wait=1&hop=1")
	wantHeader(t, got.Header, "Preference-Applied", "wait=1")
	begin := time.Now()
	got = s.callURL(t, http.MethodGet, result+"?wait=1", "", "Prefer", "wait=200")
	s.wantChained(t, got, "wait=1&hop=1")
	wantHeader(t, got.Header, "Preference-Applied", "wait=1")
	s.wantChained(t, s.callURL(t, http.MethodGet, result+"?wait=200", "", "Prefer", "wait=1"), "wait=200&hop=1")
	wantStatus(t, s.callURL(t, http.MethodGet, result+"?wait=200", "", "Prefer", "wait=0"), http.StatusAccepted)
	if took := time.Since(begin); took < 2*time.Second || took > 10*harness.TimeFactor*time.Second {
		t.Errorf("two waits of a second took %v", took)
	}
}

func TestChainTellsEveryEnd(t *testing.T) {
	t.Parallel()
	s := start(t, harness.Config{Timeout: "200ms", Hold: "on_timeout redirect\nexpires_in 4s"})
	failed, expires := s.get(t), s.get(t)
	location, _ := s.wantBegun(t, failed.Answer(t), "wait=0.2")
	wantStatus(t, failed.callWith(t, statusHeader, "Failed", "no"), http.StatusOK)
	wantProblem(t, s.fetch(t, location), http.StatusFailedDependency, "failed")
	_, result := s.wantBegun(t, expires.Answer(t), "wait=0.2")
	wantProblem(t, s.fetch(t, result+"?wait=60&hop=2"), http.StatusGatewayTimeout, "expired")
}

func TestRequestsWithOneKeyAreSentToOneResult(t *testing.T) {
	t.Parallel()
	s := start(t, harness.Config{Timeout: "300ms", Hold: "on_timeout redirect"})
	path := s.path()
	first := s.forward(t, harness.HTTP1, withKey(t, path, "k-1", "order"))
	location, _ := s.wantBegun(t, first.Answer(t), "wait=0.3")
	again, _ := s.wantBegun(t, s.again(t, withKey(t, path, "k-1", "order")).Answer(t), "wait=0.3")
	if again != location {
		t.Errorf("the repetition is sent to %s, the first request to %s", again, location)
	}
	first.resolve(t, "done")
	wantAnswer(t, s.fetch(t, location), http.StatusOK, "done")
	wantAnswer(t, s.again(t, withKey(t, path, "k-1", "order")).Answer(t), http.StatusOK, "done")
	s.wantArrivals(t, path, 0)
}

func TestExitAndReloadLeaveAChainWhereItIs(t *testing.T) {
	t.Parallel()
	s := start(t, harness.Config{Timeout: "300ms", Hold: "on_timeout redirect"})
	x := s.get(t)
	_, result := s.wantBegun(t, x.Answer(t), "wait=0.3")
	waiting := harness.Send(s.Client(t, harness.HTTP1), harness.NewRequest(t, http.MethodGet, result+"?wait=3&hop=1", "", ""))
	s.changing(t, 1)
	plain := harness.Config{Timeout: "1m"}
	s.MustReload(t, plain)
	s.wantChained(t, waiting.Answer(t), "wait=3&hop=2")

	held := s.get(t)
	s.Acknowledged(t)
	waiting = harness.Send(s.Client(t, harness.HTTP1), harness.NewRequest(t, http.MethodGet, result+"?wait=60&hop=2", "", ""))
	s.changing(t, 1)
	s.Terminate(t)
	// A server that exits takes nobody any more.
	wantStatus(t, waiting.Answer(t), http.StatusAccepted)
	wantPickUp(t, wantProblem(t, held.Answer(t), http.StatusGatewayTimeout, "shutting-down"))
	s.Exited(t, exitWithin)

	s.Start(t, plain)
	waiting = harness.Send(s.Client(t, harness.HTTP1), harness.NewRequest(t, http.MethodGet, result+"?wait=60&hop=2", "", ""))
	x.resolve(t, "after the restart")
	wantAnswer(t, waiting.Answer(t), http.StatusOK, "after the restart")
}

func TestChainGoesOnAtEveryNode(t *testing.T) {
	t.Parallel()
	nodes := startNodes(t, 3, harness.Config{Timeout: "300ms", Hold: "on_timeout redirect"})
	a, b, c := nodes[0], nodes[1], nodes[2]
	x := a.get(t)
	location, result := a.wantBegun(t, x.Answer(t), "wait=0.3")
	next := b.wantChained(t, b.fetch(t, location), "wait=0.3&hop=1")
	c.wantChained(t, c.fetch(t, result+next), "wait=0.3&hop=2")
	waiting := harness.Send(c.Client(t, harness.HTTP1), harness.NewRequest(t, http.MethodGet, result+"?wait=60&hop=2", "", ""))
	c.changing(t, 1)
	x.at(b).resolve(t, "done")
	wantAnswer(t, waiting.Answer(t), http.StatusOK, "done")
}
