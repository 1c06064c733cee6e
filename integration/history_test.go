package integration

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/caddy-callback/caddy-callback/integration/harness"
)

// happening is a line of a callback's history, as the API tells it.
type happening struct {
	At     time.Time `json:"at"`
	Kind   string    `json:"kind"`
	Status int       `json:"status"`
	Reason string    `json:"reason"`
	By     string    `json:"by"`
}

// String returns what happened, without the time.
func (h happening) String() string {
	words := []string{h.Kind}
	if h.Status != 0 {
		words = append(words, strconv.Itoa(h.Status))
	}
	for _, word := range []string{h.Reason, h.By} {
		if word != "" {
			words = append(words, word)
		}
	}
	return strings.Join(words, " ")
}

// history returns the history of a callback.
func (s *stage) history(t *testing.T, id string) (all []happening) {
	t.Helper()
	got := s.admin(t, http.MethodGet, "/"+id, "")
	wantStatus(t, got, http.StatusOK)
	return decode[struct {
		History []happening `json:"history"`
	}](t, got).History
}

// wantHistory waits until the history of a callback is this one, in its order.
func (s *stage) wantHistory(t *testing.T, id string, want ...string) {
	t.Helper()
	var got []string
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the history of %s was %s", id, strings.Join(got, ", "))
		}
	})
	harness.Eventually(t, "the history is "+strings.Join(want, ", "), func() bool {
		got = nil
		for _, h := range s.history(t, id) {
			got = append(got, h.String())
		}
		return slices.Equal(got, want)
	})
}

func TestHistoryOfAHoldCostsNoWrite(t *testing.T) {
	t.Parallel()
	s := start(t, harness.Config{Hold: "name orders"})
	x := s.get(t)
	id := s.newestWaiting(t)
	s.wantHistory(t, id, "created", "sent", "acked 202")
	s.committed(t, 1)
	before := s.metrics(t)["store_committed_records_total"]
	wantStatus(t, x.callWithAll(t, "", "", statusHeader, "Done"), http.StatusBadRequest)
	x.resolve(t, "a secret word")
	wantAnswer(t, x.Answer(t), http.StatusOK, "a secret word")
	stored := []string{"created", "sent", "acked 202", "refused 400 invalid-status", "called 200", "resolved"}
	s.wantHistory(t, id, stored...)
	x.resolve(t, "a secret word")
	wantStatus(t, x.call(t, "text/plain", "another"), http.StatusConflict)
	wantStatus(t, x.call(t, "text/plain", "another"), http.StatusConflict)
	s.wantHistory(t, id, append(slices.Clone(stored), "replied 200 repeated", "refused 409 already-resolved")...)
	if records := s.metrics(t)["store_committed_records_total"] - before; records != 1 {
		t.Errorf("a call was stored as %v records", records)
	}
	whole := string(s.admin(t, http.MethodGet, "/"+id, "").Body)
	_, history, _ := strings.Cut(whole, `"history":`)
	for _, word := range []string{"secret word", x.state(), "/cb/", "/orders/"} {
		if strings.Contains(history, word) {
			t.Errorf("the history tells %s", word)
		}
	}
	for _, other := range []string{string(s.admin(t, http.MethodGet, "", "").Body), string(s.fetch(t, decode[status](t, s.admin(t, http.MethodGet, "/"+id, "")).ResultURL).Body)} {
		if strings.Contains(other, "history") {
			t.Errorf("the history is in %s", other)
		}
	}
	// Nothing has written what was seen last.
	s.Kill(t)
	s.Start(t, harness.Config{Hold: "name orders"})
	s.wantHistory(t, id, stored...)
}

func TestHistoryTellsOfJobsAndDeliveries(t *testing.T) {
	t.Parallel()
	g := newTarget(t, http.StatusInternalServerError, http.StatusGone)
	s := delivers(t, "allow "+g.URL+"\nretry 50ms 50ms")
	x := s.order(t, g.URL)
	p := s.wantParked(t, x.Answer(t))
	x.resolve(t, "the result")
	s.deliveryIs(t, p, "dead")
	want := []string{"created", "sent", "acked 202", "called 200", "resolved", "deliveryFailed 500 answered 500", "deliveryDead 410 answered 410"}
	s.wantHistory(t, p.ID, want...)
	wantStatus(t, s.admin(t, http.MethodPost, "/"+p.ID+"/redeliver", ""), http.StatusAccepted)
	s.wantHistory(t, p.ID, append(want, "redelivered admin endpoint", "delivered 200")...)

	later := startDeferring(t, "attempt_timeout 5s")
	later.partner.Handle("/jobs", harness.Ack(http.StatusNotFound, nil, "nothing is there"))
	sent := later.public(t, harness.NewRequest(t, http.MethodPost, harness.HTTP1.URL("/jobs"), "", ""))
	q := later.wantParked(t, sent)
	later.wantHistory(t, q.ID, "created", "attempted 404", "failed 404")
}

func TestHistoryTellsWhichKeyDidWhat(t *testing.T) {
	t.Parallel()
	s := keyedAPI(t)
	made := func() created { return s.create(t, `{}`, bearer(creatorKey)...) }
	closed, resolved, called := made(), made(), made()
	wantStatus(t, s.api(t, http.MethodDelete, "/"+closed.ID, "", bearer(managerKey)...), http.StatusNoContent)
	wantStatus(t, s.api(t, http.MethodPost, "/"+resolved.ID+"/resolve", "{}", bearer(managerKey)...), http.StatusOK)
	wantStatus(t, s.callURL(t, http.MethodPost, called.CallbackURL, "paid", bearer(senderKey)...), http.StatusOK)
	s.wantHistory(t, closed.ID, "created create", "closed it was closed through the API manage")
	s.wantHistory(t, resolved.ID, "created create", "called by hand manage", "resolved manage")
	s.wantHistory(t, called.ID, "created create", "called 200", "resolved")
}
