package integration

import (
	"net/http"
	"strings"
	"testing"

	"github.com/caddy-callback/caddy-callback/integration/harness"
)

// purge removes a callback through the API.
func (s *stage) purge(t *testing.T, id string) {
	t.Helper()
	wantAnswer(t, s.api(t, http.MethodDelete, "/"+id+"?purge=true", ""), http.StatusNoContent, "")
}

// wantPurged checks that nothing leads to a callback any more.
func (s *stage) wantPurged(t *testing.T, id, callbackURL, statusURL string) {
	t.Helper()
	for _, path := range []string{"", "/result"} {
		wantProblem(t, s.api(t, http.MethodGet, "/"+id+path, ""), http.StatusNotFound, "unknown-callback")
		wantProblem(t, s.fetch(t, statusURL+path), http.StatusNotFound, "unknown-ticket")
	}
	for _, path := range []string{"/resolve", "/redeliver"} {
		wantProblem(t, s.api(t, http.MethodPost, "/"+id+path, ""), http.StatusNotFound, "unknown-callback")
	}
	for _, query := range []string{"", "?purge=true"} {
		wantProblem(t, s.api(t, http.MethodDelete, "/"+id+query, ""), http.StatusNotFound, "unknown-callback")
	}
	wantProblem(t, s.callURL(t, http.MethodPost, callbackURL, "too late"), http.StatusNotFound, "unknown-state")
	if all := s.list(t, "?limit=1000"); strings.Contains(strings.Join(all.ids(), " "), id) {
		t.Error("the callback is listed")
	}
}

func TestPurgedCallbackIsGoneAtOnceWithItsBodies(t *testing.T) {
	t.Parallel()
	s := openAPI(t, harness.Config{Callback: "retain 30d"})
	large := strings.Repeat("a large body ", 20_000)
	for name, end := range map[string]func(c created){
		"waiting":  func(created) {},
		"resolved": func(c created) { wantStatus(t, s.callURL(t, http.MethodPost, c.CallbackURL, large), http.StatusOK) },
		"failed": func(c created) {
			wantStatus(t, s.callURL(t, http.MethodPost, c.CallbackURL, large, statusHeader, "Failed"), http.StatusOK)
		},
		"closed": func(c created) { s.api(t, http.MethodDelete, "/"+c.ID, "") },
	} {
		c := s.create(t, `{"data":"secret","correlationId":"`+name+`"}`)
		end(c)
		s.purge(t, c.ID)
		s.wantPurged(t, c.ID, c.CallbackURL, c.StatusURL)
	}
	s.wantBodyFiles(t, "after the last one is removed", 0)
	if all := s.list(t, ""); all.Waiting != 0 {
		t.Errorf("%d wait", all.Waiting)
	}
}

func TestHeldClientOfAPurgedCallbackGetsWhatAClosedOneGives(t *testing.T) {
	t.Parallel()
	s := openAPI(t, harness.Config{})
	for name, path := range map[string]string{"closed": "", "removed": "?purge=true"} {
		first := s.forward(t, harness.HTTP1, withKey(t, s.path(), name, "order"))
		second := s.again(t, withKey(t, first.received.URI, name, "order"))
		harness.Eventually(t, "both are held", func() bool { return s.list(t, "").Held == 2 })
		id := s.list(t, "?phase=waiting").ids()[0]
		wantStatus(t, s.api(t, http.MethodDelete, "/"+id+path, ""), http.StatusNoContent)
		for _, p := range []*harness.Pending{first.Pending, second} {
			wantProblem(t, p.Answer(t), http.StatusGone, "closed")
		}
	}
}

// Nothing of the first request is left, so the same request is a new one.
func TestKeyOfAPurgedCallbackIsFree(t *testing.T) {
	t.Parallel()
	s := openAPI(t, harness.Config{})
	path := s.path()
	x := s.forward(t, harness.HTTP1, withKey(t, path, "k-1", "order"))
	x.resolve(t, "the first answer")
	wantAnswer(t, x.Answer(t), http.StatusOK, "the first answer")
	s.purge(t, s.list(t, "").ids()[0])
	again := s.forward(t, harness.HTTP1, withKey(t, path, "k-1", "another order"))
	again.resolve(t, "the second answer")
	wantAnswer(t, again.Answer(t), http.StatusOK, "the second answer")

	made := s.create(t, `{}`, idempotencyKey, "k-2")
	s.purge(t, made.ID)
	if again := s.create(t, `{}`, idempotencyKey, "k-2"); again.ID == made.ID {
		t.Error("the callback is back")
	}
}

func TestPurgedCallbackIsNotDelivered(t *testing.T) {
	t.Parallel()
	g := newTarget(t, http.StatusServiceUnavailable)
	s := openAPI(t, harness.Config{Callback: "deliver {\nallow " + g.URL + "\nretry 1s 1s 1s\n}"})
	c := s.create(t, `{"deliverTo":"`+g.URL+`"}`)
	wantStatus(t, s.callURL(t, http.MethodPost, c.CallbackURL, "result"), http.StatusOK)
	g.delivered(t)
	s.purge(t, c.ID)
	// The next one would come after it.
	next := s.create(t, `{"deliverTo":"`+g.URL+`"}`)
	wantStatus(t, s.callURL(t, http.MethodPost, next.CallbackURL, "next"), http.StatusOK)
	if d := g.delivered(t); string(d.Body) != "next" {
		t.Errorf("delivered %s", d.Body)
	}
	s.wantPurged(t, c.ID, c.CallbackURL, c.StatusURL)
}

// Whatever the server was about to write when it was killed.
func TestPurgedCallbackStaysGoneAfterACrash(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	cfg := withAPI(s, harness.Config{}, "key off")
	s.Start(t, cfg)
	for range 3 {
		c, other := s.create(t, `{}`), s.create(t, `{}`)
		large := strings.Repeat("a large body ", 20_000)
		wantStatus(t, s.callURL(t, http.MethodPost, c.CallbackURL, large), http.StatusOK)
		s.purge(t, c.ID)
		s.Kill(t)
		s.Start(t, cfg)
		s.wantPurged(t, c.ID, c.CallbackURL, c.StatusURL)
		s.wantBodyFiles(t, "after the crash", 0)
		wantStatus(t, s.api(t, http.MethodGet, "/"+other.ID, ""), http.StatusOK)
	}
}

func TestPurgeRefusesWhatItDoesNotUnderstand(t *testing.T) {
	t.Parallel()
	s := openAPI(t, harness.Config{})
	c := s.create(t, `{}`)
	for query, field := range map[string]string{"?purge": "purge", "?purge=1": "purge", "?purge=True": "purge", "?Purge=true": "Purge", "?purge=true&purge=true": "purge", "?force=true": "force"} {
		p := wantProblem(t, s.api(t, http.MethodDelete, "/"+c.ID+query, ""), http.StatusBadRequest, "invalid-request")
		if p.Field != field {
			t.Errorf("%s: the field is %q", query, p.Field)
		}
	}
	wantStatus(t, s.callURL(t, http.MethodPost, c.CallbackURL, "it waits"), http.StatusOK)
	wantStatus(t, s.api(t, http.MethodDelete, "/"+c.ID+"?purge=false", ""), http.StatusNoContent)
	wantStatus(t, s.api(t, http.MethodGet, "/"+c.ID, ""), http.StatusOK)
}

func TestCallbacksArePurgedOnTheCommandLine(t *testing.T) {
	t.Parallel()
	s := openAPI(t, harness.Config{})
	a, b, c := s.create(t, `{}`), s.create(t, `{}`), s.create(t, `{}`)
	if output := s.commanded(t, "purge", a.ID, b.ID); !strings.Contains(output, a.ID+" is removed.\n"+b.ID+" is removed.\n") {
		t.Errorf("the command says %s", output)
	}
	s.refused(t, []string{"purge", a.ID, c.ID}, a.ID+": No callback has this id.", c.ID+" is removed.")
	for _, x := range []created{a, b, c} {
		s.wantPurged(t, x.ID, x.CallbackURL, x.StatusURL)
	}
	s.refused(t, []string{"purge"}, "requires at least 1 arg")
}
