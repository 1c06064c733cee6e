package integration

import (
	"net/http"
	"strings"
	"testing"

	"github.com/caddy-callback/caddy-callback/integration/harness"
)

// shortBodies are the options by which bodies go long before their callbacks.
const shortBodies = "retain 30d\nretain_bodies 300ms\n"

// wantBodiesGone waits until the result of a callback is gone, and checks that its status
// still says what has become of it.
func (s *stage) wantBodiesGone(t *testing.T, id, phase string) {
	t.Helper()
	type full struct {
		document
		BodiesGone bool `json:"bodiesGone"`
	}
	harness.Eventually(t, "the bodies are gone", func() bool {
		return decode[full](t, s.api(t, http.MethodGet, "/"+id, "")).BodiesGone
	})
	d := decode[full](t, s.api(t, http.MethodGet, "/"+id, ""))
	if d.Phase != phase || d.LatestCall != nil && (d.LatestCall.Body != "" || len(d.LatestCall.Query) > 0) {
		t.Errorf("the status is %+v", d)
	}
}

func TestBodiesGoBeforeTheirCallback(t *testing.T) {
	t.Parallel()
	s := openAPI(t, harness.Config{Callback: shortBodies})
	large := strings.Repeat("a large body ", 20_000)
	for name, body := range map[string]string{"small": "a small body", "large": large} {
		c := s.create(t, `{"data":"`+name+`"}`)
		wantStatus(t, s.callURL(t, http.MethodPost, c.CallbackURL+"?secret=1", body), http.StatusOK)
		s.wantBodiesGone(t, c.ID, "resolved")
		for _, url := range []string{apiURL + "/" + c.ID + "/result", c.ResultURL} {
			wantProblem(t, s.fetch(t, url), http.StatusGone, "result-gone")
		}
		// The partner still gets the answers that it would have got.
		wantStatus(t, s.callURL(t, http.MethodPost, c.CallbackURL+"?secret=1", body), http.StatusOK)
		wantProblem(t, s.callURL(t, http.MethodPost, c.CallbackURL, "another"), http.StatusConflict, "already-resolved")
	}
	s.wantBodyFiles(t, "after retain_bodies", 0)
}

func TestHeldClientsRequestIsNotAnsweredAgainWithoutTheBody(t *testing.T) {
	t.Parallel()
	s := openAPI(t, harness.Config{Callback: shortBodies})
	path := s.path()
	x := s.forward(t, harness.HTTP1, withKey(t, path, "k-1", "order"))
	x.resolve(t, "one answer")
	wantAnswer(t, x.Answer(t), http.StatusOK, "one answer")
	s.wantBodiesGone(t, s.list(t, "").ids()[0], "resolved")
	wantProblem(t, s.again(t, withKey(t, path, "k-1", "order")).Answer(t), http.StatusGone, "result-gone")
	s.wantArrivals(t, path, 0)
}

func TestBodiesWaitForTheirDelivery(t *testing.T) {
	t.Parallel()
	g := newTarget(t, http.StatusServiceUnavailable)
	s := openAPI(t, harness.Config{Callback: shortBodies + "deliver {\nallow " + g.URL + "\nretry 2s\n}"})
	c := s.create(t, `{"deliverTo":"`+g.URL+`"}`)
	wantStatus(t, s.callURL(t, http.MethodPost, c.CallbackURL, "result"), http.StatusOK)
	for range 2 {
		if d := g.delivered(t); string(d.Body) != "result" {
			t.Errorf("delivered %s", d.Body)
		}
	}
	s.wantBodiesGone(t, c.ID, "resolved")
	wantProblem(t, s.api(t, http.MethodPost, "/"+c.ID+"/redeliver", ""), http.StatusConflict, "nothing-to-deliver")
}

func TestBodiesOfAGivenUpDeliveryGo(t *testing.T) {
	t.Parallel()
	g := newTarget(t, http.StatusGone)
	s := openAPI(t, harness.Config{Callback: shortBodies + "deliver {\nallow " + g.URL + "\n}"})
	c := s.create(t, `{"deliverTo":"`+g.URL+`"}`)
	wantStatus(t, s.callURL(t, http.MethodPost, c.CallbackURL, "result"), http.StatusOK)
	g.delivered(t)
	s.wantBodiesGone(t, c.ID, "resolved")
	wantProblem(t, s.api(t, http.MethodPost, "/"+c.ID+"/redeliver", ""), http.StatusConflict, "nothing-to-deliver")
}

// Nothing of a deferred request or of what came of it is left.
func TestBodiesOfBackgroundWorkGo(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.Start(t, withAPI(s, harness.Config{
		Callback: shortBodies,
		Private:  "callback defer {\nname reports\nthen {\nreverse_proxy unix/" + s.Path("partner.sock") + "\n}\n}",
	}, "key off"))
	path := s.path()
	s.partner.Handle(path, harness.Ack(http.StatusOK, http.Header{"X-Report": {"7"}}, strings.Repeat("a report ", 20_000)))
	p := s.wantParked(t, s.public(t, harness.NewRequest(t, http.MethodPost, harness.HTTP1.URL(path), "text/plain", strings.Repeat("a request ", 20_000))))
	s.wantBodiesGone(t, p.ID, "resolved")
	wantProblem(t, s.fetch(t, p.ResultURL), http.StatusGone, "result-gone")
	s.wantBodyFiles(t, "after retain_bodies", 0)
}
