package integration

import (
	"net/http"
	"strings"
	"testing"

	"github.com/caddy-callback/caddy-callback/integration/harness"
)

// deliveryIs waits until a callback's delivery has that state.
func (s *stage) deliveryIs(t *testing.T, p parked, state string) {
	t.Helper()
	harness.Eventually(t, "the delivery is "+state, func() bool {
		return strings.Contains(string(s.fetch(t, p.StatusURL).Body), `"delivery":{"state":"`+state+`"}`)
	})
}

// A result that cannot be delivered is given up after the last attempt, or at once if
// the target answers 410. It stays readable, and can be delivered again.
func TestResultThatWasGivenUpCanBeDeliveredAnew(t *testing.T) {
	t.Parallel()
	for name, refusals := range map[string][]int{
		"gone":             {http.StatusGone},
		"out of attempts":  {http.StatusInternalServerError, http.StatusBadGateway},
		"sends us on":      {http.StatusFound, http.StatusTemporaryRedirect},
		"says that we err": {http.StatusBadRequest, http.StatusForbidden},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := newTarget(t, refusals...)
			s := delivers(t, "allow "+g.URL+"\nretry 50ms")
			x := s.order(t, g.URL)
			p := s.wantParked(t, x.Answer(t))
			s.deliveryIs(t, p, "pending")
			x.resolve(t, "the result")
			for range refusals {
				g.delivered(t)
			}
			s.deliveryIs(t, p, "dead")
			wantAnswer(t, s.fetch(t, p.ResultURL), http.StatusOK, "the result")
			address := "unix/" + s.Path("admin.sock")
			if out, err := s.Run(t, "callback", "list", "--dead", "--address", address); err != nil || !strings.Contains(out, p.ID) {
				t.Errorf("%v: %s", err, out)
			}
			if out, err := s.Run(t, "callback", "redeliver", p.ID, "--address", address); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			d := g.delivered(t)
			wantHeader(t, d.Header, "Webhook-Id", p.ID)
			if string(d.Body) != "the result" {
				t.Errorf("delivered %s", d.Body)
			}
			s.deliveryIs(t, p, "delivered")
			if out, err := s.Run(t, "callback", "list", "--dead", "--address", address); err != nil || strings.Contains(out, p.ID) {
				t.Errorf("%v: %s", err, out)
			}
		})
	}
}

func TestEachOfManyPayloadsIsDeliveredInOrder(t *testing.T) {
	t.Parallel()
	g := newTarget(t, http.StatusInternalServerError)
	s := startParked(t, "multiple on\nname orders\ndeliver {\nallow "+g.URL+"\nretry 50ms 50ms\n}")
	x := s.order(t, g.URL)
	p := s.wantParked(t, x.Answer(t))
	payloads := []string{"first", "second", "third"}
	for _, payload := range payloads {
		x.resolve(t, payload)
	}
	if d := g.delivered(t); string(d.Body) != "first" {
		t.Errorf("the first attempt brings %s", d.Body)
	}
	for _, payload := range payloads {
		if d := g.delivered(t); string(d.Body) != payload {
			t.Errorf("delivered %s, want %s", d.Body, payload)
		}
	}
	wantAnswer(t, s.fetch(t, p.ResultURL), http.StatusOK, "third")
}

func TestEndWithoutACallIsDeliveredAsAFailure(t *testing.T) {
	t.Parallel()
	g := newTarget(t)
	s := delivers(t, "allow "+g.URL)
	p := s.wantParked(t, s.order(t, g.URL).Answer(t))
	wantStatus(t, s.admin(t, http.MethodDelete, "/"+p.ID, ""), http.StatusNoContent)
	d := g.delivered(t)
	wantHeader(t, d.Header, statusHeader, "Failed")
	wantHeader(t, d.Header, "Content-Type", "application/problem+json")
}

func TestTargetThatIsBusyIsGivenTheTimeThatItAsksFor(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	g := newTarget(t)
	asked := false
	busy := g.Config.Handler
	g.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !asked {
			asked = true
			w.Header().Set("Retry-After", "1")
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		busy.ServeHTTP(w, r)
	})
	s.Start(t, harness.Config{Private: s.parks("name orders\ndeliver {\nallow " + g.URL + "\nretry 1ms\n}")})
	x := s.order(t, g.URL)
	p := s.wantParked(t, x.Answer(t))
	x.resolve(t, "the result")
	s.deliveryIs(t, p, "pending")
	g.delivered(t)
	s.deliveryIs(t, p, "delivered")
}
