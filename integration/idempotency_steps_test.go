package integration

import (
	"io"
	"net/http"
	"sync/atomic"
	"testing"

	"github.com/caddy-callback/caddy-callback/integration/harness"
)

// sideCall returns a hold with a side call below /NAME, without a name of its own unless
// options give one.
func (s *stage) sideCall(name, options string) string {
	return "callback hold {\n" + options + "\ncall {\n" + s.side("/"+name) + "}\n}\n"
}

// passes lets a side call come and be answered.
func (s *stage) passes(t *testing.T, path, body string) {
	t.Helper()
	received := s.partner.Received(t, path)
	wantStatus(t, s.partner.Call(t, http.MethodPost, received.Header.Get(callbackHeader), "text/plain", body), http.StatusOK)
}

// TestRequestWithAKeyPassesEachDirectiveOfItsRoute sends one key through two side calls and
// a hold, with and without names, and again after each has ended.
func TestRequestWithAKeyPassesEachDirectiveOfItsRoute(t *testing.T) {
	t.Parallel()
	for name, options := range map[string][2]string{
		"named":           {"name one", "name two"},
		"unnamed":         {"", ""},
		"one of them":     {"", "name two"},
		"the same body":   {"use_body off", "use_body off"},
		"also its policy": {"use_body off\nname one", "use_body off\nname two"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStage(t)
			s.Start(t, harness.Config{Private: "route {\n" + s.sideCall("one", options[0]) + s.sideCall("two", options[1]) +
				harness.Hold("", "", "") + s.toPartner() + "}\n"})
			path := s.path()
			pending := s.again(t, withKey(t, path, "k-1", "order"))
			s.passes(t, "/one"+path, "first")
			s.passes(t, "/two"+path, "second")
			s.passes(t, path, "third")
			wantAnswer(t, pending.Answer(t), http.StatusOK, "third")

			replayed := s.again(t, withKey(t, path, "k-1", "order")).Answer(t)
			wantAnswer(t, replayed, http.StatusOK, "third")
			for _, prefix := range []string{"/one", "/two", ""} {
				s.wantArrivals(t, prefix+path, 0)
			}
		})
	}
}

// TestSiteThatLeadsToAnotherHoldsAtBoth proxies a held request with a key to a site of the
// same Caddy that holds it, too.
func TestSiteThatLeadsToAnotherHoldsAtBoth(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.Start(t, harness.Config{
		Private: harness.Hold("", "", "") + "reverse_proxy unix/" + s.Path("inner.sock") + "\n",
		Sites:   "http://app.test:81 {\n\tbind unix/" + s.Path("inner.sock") + "\n" + s.HoldAndForward("", "", "") + "}\n",
	})
	path := s.path()
	pending := s.again(t, withKey(t, path, "k-1", "order"))
	received := s.partner.Received(t, path)
	// The inner site has put its own URL into the header: its result is the outer one's
	// ack, and the outer callback goes on waiting.
	wantStatus(t, s.partner.Call(t, http.MethodPost, received.Header.Get(callbackHeader), "text/plain", "inner"), http.StatusOK)
	wantStatus(t, s.admin(t, http.MethodPost, "/"+s.newestWaiting(t)+"/resolve", "outer"), http.StatusOK)
	wantAnswer(t, pending.Answer(t), http.StatusOK, "outer")
}

// TestStepsOfABlockNeedNoName runs two holds without names in a block: each is a step of
// its own, also when the job is tried again.
func TestStepsOfABlockNeedNoName(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.Start(t, harness.Config{Private: "callback defer {\nname job\nretry_unsafe\nthen {\nroute {\n" +
		s.sideCall("one", "use_body off") + s.sideCall("two", "use_body off") + s.toPartner() + "}\n}\n}\n"})
	path := s.path()
	var attempts atomic.Int32
	s.partner.Handle(path, func(w http.ResponseWriter, _ *http.Request) {
		if attempts.Add(1) == 1 {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		_, _ = io.WriteString(w, appsAnswer)
	})
	parked := s.wantParked(t, s.again(t, withKey(t, path, "k-1", "order")).Answer(t))
	s.passes(t, "/one"+path, "ok")
	s.passes(t, "/two"+path, "ok")
	s.partner.Received(t, path)
	// The job is tried again, and each step has its answer already.
	s.partner.Received(t, path)
	s.ends(t, parked.StatusURL)
	wantAnswer(t, s.fetch(t, parked.ResultURL), http.StatusOK, appsAnswer)
	for _, prefix := range []string{"/one", "/two"} {
		s.wantArrivals(t, prefix+path, 0)
	}
}
