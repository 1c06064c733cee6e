package integration

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/caddy-callback/caddy-callback/integration/harness"
)

// fixedURL is the one URL for all callbacks of a partner that has a key.
const fixedURL = harness.BaseURL + "/cb"

// callFixed calls the fixed URL.
func (s *stage) callFixed(t *testing.T, id, body string, lines ...string) *harness.Response {
	t.Helper()
	return s.callURL(t, http.MethodPost, fixedURL, body, append(lines, correlationHeader, id)...)
}

// getOrder sends a request with an order's number, and waits until the partner has it.
func (s *stage) getOrder(t *testing.T, path, order string) *exchange {
	t.Helper()
	req := harness.NewRequest(t, http.MethodGet, harness.HTTP1.URL(path), "", "")
	req.Header.Set("X-Order", order)
	return s.forward(t, harness.HTTP1, req)
}

func TestFixedURLNeedsAKeyThatMaySend(t *testing.T) {
	t.Parallel()
	s := keyed(t, harness.Config{Hold: "key env\n" + showStatus})
	x := s.get(t)
	id := x.received.Header.Get(correlationHeader)
	wantUnauthorized(t, s.callFixed(t, id, "no"), "key-required")
	wantUnauthorized(t, s.callFixed(t, id, "no", bearer("wrong")...), "key-unknown")
	wantProblem(t, s.callFixed(t, id, "no", bearer(readerKey)...), http.StatusForbidden, "key-not-allowed")
	x.wantPhase(t, "waiting")
	wantAnswer(t, s.callFixed(t, id, "yes", bearer(envKey)...), http.StatusOK, "")
	wantAnswer(t, x.Answer(t), http.StatusOK, "yes")
}

func TestFixedURLFindsEachCallbackByItsCorrelationID(t *testing.T) {
	t.Parallel()
	s := keyed(t, harness.Config{Hold: "key env\nrespond \"noted\" 202"})
	first, second := s.get(t), s.get(t)
	for body, x := range map[string]*exchange{"second": second, "first": first} {
		id := x.received.Header.Get(correlationHeader)
		for range 2 {
			wantAnswer(t, s.callFixed(t, id, body, bearer(envKey)...), http.StatusAccepted, "noted")
		}
		wantAnswer(t, x.Answer(t), http.StatusOK, body)
		wantProblem(t, s.callFixed(t, id, "another", bearer(envKey)...), http.StatusConflict, "already-resolved")
	}
}

func TestFixedURLReadsTheCorrelationIDWhereTheServerSays(t *testing.T) {
	t.Parallel()
	s := keyed(t, harness.Config{
		Public: "callback_server {\n\tcorrelation_id json job.id\n}",
		Hold:   "key env\ncorrelation_id request header X-Order",
	})
	x := s.getOrder(t, s.path(), "A-7")
	body := `{"job":{"id":"A-7"}}`
	wantAnswer(t, s.callURL(t, http.MethodPost, fixedURL, body, append(bearer(envKey), "Content-Type", jsonType)...), http.StatusOK, "")
	wantAnswer(t, x.Answer(t), http.StatusOK, body)
}

// Partners that keep a UUID as one give it back in another spelling.
func TestCorrelationIDOfOursIsTakenInAnySpelling(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.Setenv("CB_KEY", envKey)
	s.Start(t, harness.Config{
		Callback: "key env {env.CB_KEY} send",
		Public:   "callback_server",
		Hold:     "key env",
		Sites:    s.Site("json", "callback_server {\n\tcorrelation_id json job\n}"),
	})
	for name, spell := range map[string]func(string) string{
		"capitals": strings.ToUpper, "braces": func(id string) string { return "{" + id + "}" }, "URN": func(id string) string { return "urn:uuid:" + id },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			x := s.get(t)
			id := spell(x.received.Header.Get(correlationHeader))
			wantAnswer(t, s.callURL(t, http.MethodPost, x.url, "paid", append(bearer(envKey), correlationHeader, id)...), http.StatusOK, "")
			wantAnswer(t, x.Answer(t), http.StatusOK, "paid")
			x = s.get(t)
			wantAnswer(t, s.callFixed(t, spell(x.received.Header.Get(correlationHeader)), "paid", bearer(envKey)...), http.StatusOK, "")
			wantAnswer(t, x.Answer(t), http.StatusOK, "paid")
			x = s.get(t)
			body := `{"job":"` + spell(x.received.Header.Get(correlationHeader)) + `"}`
			wantAnswer(t, s.callURL(t, http.MethodPost, "http://json.test/cb", body, append(bearer(envKey), "Content-Type", jsonType)...), http.StatusOK, "")
			wantAnswer(t, x.Answer(t), http.StatusOK, body)
		})
	}
	t.Run("twice", func(t *testing.T) {
		t.Parallel()
		x := s.get(t)
		id := x.received.Header.Get(correlationHeader)
		req := harness.NewRequest(t, http.MethodPost, fixedURL, "text/plain", "paid")
		req.Header = http.Header{correlationHeader: {id, id}, statusHeader: {"Ok", "Ok"}, "Authorization": {"Bearer " + envKey}}
		wantAnswer(t, s.public(t, req), http.StatusOK, "")
		wantAnswer(t, x.Answer(t), http.StatusOK, "paid")
		req.Header[correlationHeader] = []string{id, "another"}
		wantProblem(t, s.public(t, req), http.StatusBadRequest, "invalid-correlation-id")
	})
}

func TestFixedURLKnowsNoCallbacksOfOthers(t *testing.T) {
	t.Parallel()
	s := keyed(t, harness.Config{Hold: "key env\n" + showStatus})
	x := s.get(t)
	before := s.metrics(t)
	t.Cleanup(func() { s.wantMetrics(t, before, map[string]float64{"unmatched_calls_total": 2}) })
	for name, call := range map[string]struct{ id, key string }{
		"unknown id":    {"nobody's", envKey},
		"another's key": {x.received.Header.Get(correlationHeader), otherKey},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			asked := time.Now()
			wantProblem(t, s.callFixed(t, call.id, "no", bearer(call.key)...), http.StatusNotFound, "unknown-state")
			if took := time.Since(asked); took > 5*time.Second {
				t.Errorf("the answer took %v", took)
			}
			x.wantPhase(t, "waiting")
		})
	}
}

func TestSameCorrelationIDOfTwoKeysIsTwoCallbacks(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.Setenv("CB_KEY", envKey)
	s.Setenv("CB_OTHER_KEY", otherKey)
	s.Start(t, harness.Config{
		Callback: "key env {env.CB_KEY} send\nkey other {env.CB_OTHER_KEY} send\n",
		Private: harness.Hold("/env", "", "key env\ncorrelation_id request header X-Order") +
			s.HoldAndForward("/other", "", "key other\ncorrelation_id request header X-Order"),
	})
	env, other := s.getOrder(t, "/env", "A-7"), s.getOrder(t, "/other", "A-7")
	wantAnswer(t, s.callFixed(t, "A-7", "for other", bearer(otherKey)...), http.StatusOK, "")
	wantAnswer(t, other.Answer(t), http.StatusOK, "for other")
	wantAnswer(t, s.callFixed(t, "A-7", "for env", bearer(envKey)...), http.StatusOK, "")
	wantAnswer(t, env.Answer(t), http.StatusOK, "for env")
}

func TestAckNamesTheCorrelationID(t *testing.T) {
	t.Parallel()
	s := keyed(t, harness.Config{Hold: "key env\ncorrelation_id ack json jobId"})
	s.partner.Handle("/jobs", harness.Ack(http.StatusAccepted, http.Header{"Content-Type": {jsonType}}, `{"jobId":"job-7"}`))
	x := s.getOrder(t, "/jobs", "")
	wantAnswer(t, s.callFixed(t, "job-7", "done", bearer(envKey)...), http.StatusOK, "")
	answer := x.Answer(t)
	wantAnswer(t, answer, http.StatusOK, "done")
	wantHeader(t, answer.Header, correlationHeader, "job-7")
}

func TestCallThatOvertakesTheAckIsKept(t *testing.T) {
	t.Parallel()
	s := keyed(t, harness.Config{Hold: "key env\ncorrelation_id ack json jobId"})
	release := make(chan struct{})
	ack := harness.Ack(http.StatusAccepted, http.Header{"Content-Type": {jsonType}}, `{"jobId":"job-8"}`)
	s.partner.Handle("/jobs", func(w http.ResponseWriter, r *http.Request) {
		<-release
		ack(w, r)
	})
	x := s.getOrder(t, "/jobs", "")
	req := harness.NewRequest(t, http.MethodPost, fixedURL, "text/plain", "early")
	req.Header.Set(correlationHeader, "job-8")
	req.Header.Set("Authorization", "Bearer "+envKey)
	early := harness.Send(s.Client(t, harness.HTTP1), req)
	// Long enough for the call to arrive; if it has not, the test proves less.
	harness.Until(time.Now().Add(500 * time.Millisecond))
	close(release)
	wantAnswer(t, early.Answer(t), http.StatusOK, "")
	wantAnswer(t, x.Answer(t), http.StatusOK, "early")
}

// While an ack is awaited, a call can belong to it. After that it belongs to nobody.
func TestCallOfNobodyWaitsOnlyForAcks(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.Setenv("CB_KEY", envKey)
	lines := "key env\ncorrelation_id ack json jobId"
	s.Start(t, harness.Config{
		Callback: "key env {env.CB_KEY} send\n",
		Private: harness.Hold("/hold*", "3s", lines) +
			"callback /park* park {\n\tname parked\n\t" + strings.ReplaceAll(lines, "\n", "\n\t") + "\n\tcall {\n\t\t" + s.toPartner() + "\t}\n}\n" +
			s.toPartner(),
	})
	for name, path := range map[string]string{"hold": "/hold", "a job": "/park"} {
		for end, ack := range map[string]http.HandlerFunc{
			"an ack":        harness.Ack(http.StatusAccepted, http.Header{"Content-Type": {jsonType}}, `{"jobId":"`+name+`"}`),
			"no ack":        harness.Ack(http.StatusBadRequest, nil, "no"),
			"no id":         harness.Ack(http.StatusAccepted, http.Header{"Content-Type": {jsonType}}, `{}`),
			"nothing known": harness.Ack(http.StatusBadGateway, nil, "no"),
		} {
			path := path + "/" + strings.ReplaceAll(end, " ", "-")
			release := make(chan struct{})
			s.partner.Handle(path, func(w http.ResponseWriter, r *http.Request) {
				<-release
				ack(w, r)
			})
			req := harness.NewRequest(t, http.MethodPost, harness.HTTP1.URL(path), "text/plain", "job")
			pending := harness.Send(s.Client(t, harness.HTTP1), req)
			s.partner.Received(t, path)
			call := harness.NewRequest(t, http.MethodPost, fixedURL, "text/plain", "early")
			call.Header = http.Header{correlationHeader: {"nobody's"}, "Authorization": {"Bearer " + envKey}}
			early, asked := harness.Send(s.Client(t, harness.HTTP1), call), time.Now()
			// Long enough for the call to arrive; if it has not, the test proves less.
			harness.Until(time.Now().Add(100 * time.Millisecond))
			close(release)
			wantProblem(t, early.Answer(t), http.StatusNotFound, "unknown-state")
			if took := time.Since(asked); took < 100*time.Millisecond || took > 5*time.Second {
				t.Errorf("%s, %s: the answer took %v", name, end, took)
			}
			pending.Answer(t)
		}
	}
}

// 410 would tell the partner to give up the URL, which all callbacks share.
func TestCallbackThatHasEndedIsUnknownAtTheFixedURL(t *testing.T) {
	t.Parallel()
	s := keyed(t, harness.Config{Hold: "key env\nexpires_in 2s\n" + showStatus, Timeout: "1s"})
	x := s.get(t)
	wantProblem(t, x.Answer(t), http.StatusGatewayTimeout, "timeout")
	harness.Eventually(t, "it has expired", func() bool { return s.status(t, x.statusURL(t)).Phase == "expired" })
	id := x.received.Header.Get(correlationHeader)
	for range 2 {
		wantProblem(t, s.callFixed(t, id, "late", bearer(envKey)...), http.StatusNotFound, "unknown-state")
	}
	wantProblem(t, s.callURL(t, http.MethodPost, x.url, "late", bearer(envKey)...), http.StatusGone, "expired")
}

func TestCorrelationIDThatIsTakenIsRefused(t *testing.T) {
	t.Parallel()
	s := keyed(t, harness.Config{Hold: "key env\ncorrelation_id request header X-Order"})
	x := s.getOrder(t, s.path(), "A-7")
	wantHeader(t, x.received.Header, correlationHeader, "A-7")
	path := s.path()
	req := harness.NewRequest(t, http.MethodGet, harness.HTTP1.URL(path), "", "")
	req.Header.Set("X-Order", "A-7")
	wantProblem(t, s.public(t, req), http.StatusConflict, "correlation-taken")
	if n := s.partner.Arrived(path); n != 0 {
		t.Errorf("the partner got the refused request %d times", n)
	}
	wantAnswer(t, s.callFixed(t, "A-7", "done", bearer(envKey)...), http.StatusOK, "")
	wantAnswer(t, x.Answer(t), http.StatusOK, "done")
}

// A client of a directive that takes the id from the request must not get what the partner
// says of a job of its own numbering, in whatever order the two come.
func TestCorrelationIDOfThePartnerIsNotTakenByARequest(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.Setenv("CB_KEY", envKey)
	s.Start(t, harness.Config{
		Callback: "key env {env.CB_KEY} send\n",
		Private: harness.Hold("/asked*", "", showStatus+"key env\ncorrelation_id request header X-Order") +
			s.HoldAndForward("/acked*", "", showStatus+"key env\ncorrelation_id ack json jobId"),
	})
	for _, id := range []string{"job-1", "job-2"} {
		s.partner.Handle("/acked/"+id, harness.Ack(http.StatusAccepted, http.Header{"Content-Type": {jsonType}}, `{"jobId":"`+id+`"}`))
	}
	t.Run("the request first", func(t *testing.T) {
		t.Parallel()
		asked := s.getOrder(t, "/asked/job-1", "job-1")
		acked := s.getOrder(t, "/acked/job-1", "")
		harness.Eventually(t, "the ack is read", func() bool { return s.status(t, acked.statusURL(t)).CorrelationID == "job-1" })
		for range 2 {
			wantAnswer(t, s.callFixed(t, "job-1", "for the other", bearer(envKey)...), http.StatusOK, "")
		}
		wantAnswer(t, acked.Answer(t), http.StatusOK, "for the other")
		asked.wantPhase(t, "waiting")
		wantProblem(t, s.callFixed(t, "job-1", "another", bearer(envKey)...), http.StatusConflict, "already-resolved")
		wantAnswer(t, s.callURL(t, http.MethodPost, asked.url, "at its own URL", bearer(envKey)...), http.StatusOK, "")
		answer := asked.Answer(t)
		wantAnswer(t, answer, http.StatusOK, "at its own URL")
		wantHeader(t, answer.Header, correlationHeader, "job-1")
	})
	t.Run("the ack first", func(t *testing.T) {
		t.Parallel()
		acked := s.getOrder(t, "/acked/job-2", "")
		harness.Eventually(t, "the ack is read", func() bool { return s.status(t, acked.statusURL(t)).CorrelationID == "job-2" })
		req := harness.NewRequest(t, http.MethodGet, harness.HTTP1.URL("/asked/job-2"), "", "")
		req.Header.Set("X-Order", "job-2")
		wantProblem(t, s.public(t, req), http.StatusConflict, "correlation-taken")
		wantAnswer(t, s.callFixed(t, "job-2", "done", bearer(envKey)...), http.StatusOK, "")
		wantAnswer(t, acked.Answer(t), http.StatusOK, "done")
	})
}
