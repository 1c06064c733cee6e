package integration

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/caddy-callback/caddy-callback/integration/harness"
)

func TestStreamTellsEveryEnd(t *testing.T) {
	t.Parallel()
	s := start(t, harness.Config{Hold: withProgress})
	failed := s.subscribe(t, harness.HTTP1)
	wantStatus(t, failed.callWithAll(t, "text/plain", "sorry", statusHeader, "Failed", "X-Link-Error-Code", "17", "X-Link-Error-Text", "no stock"), http.StatusOK)
	p, e := failed.wantProblem(t, http.StatusFailedDependency, "failed")
	if p.ErrorCode != "17" || !endForm.MatchString(e.id) {
		t.Errorf("%+v with the id %s", p, e.id)
	}

	closed := s.subscribe(t, harness.HTTP1)
	s.commanded(t, "close", s.idOf(t, closed))
	closed.wantProblem(t, http.StatusGone, "closed")

	own := start(t, harness.Config{Timeout: "20s", Hold: "failed_body on\nexpires_in 20s\nfailed_status 500"})
	l := own.subscribe(t, harness.HTTP1)
	wantStatus(t, l.callWith(t, statusHeader, "Failed", "no stock"), http.StatusOK)
	l.wantEnd(t, "failed", "no stock")

	expires := start(t, harness.Config{Timeout: "1s", Hold: "expires_in 1s"})
	l = expires.subscribe(t, harness.HTTP1)
	if e := l.end(t, "failed"); !strings.Contains(e.data, `#expired"`) && !strings.Contains(e.data, `#timeout"`) {
		t.Errorf("the client gets %+v", e)
	}
}

// idOf returns the id of a listener's callback.
func (s *stage) idOf(t *testing.T, l *listener) string {
	t.Helper()
	id := l.goesOn(t)
	return id[:strings.IndexByte(id, '.')]
}

// goesOn makes a call that is told, and returns the id of the event.
func (l *listener) goesOn(t *testing.T) string {
	t.Helper()
	l.progress(t, "on")
	return l.want(t, "progress", "on").id
}

func TestStreamEndsWithTheTimeout(t *testing.T) {
	t.Parallel()
	for onTimeout, wait := range map[string]string{"fail": "", "park": "", "redirect": "?wait=0.5"} {
		t.Run(onTimeout, func(t *testing.T) {
			t.Parallel()
			s := start(t, harness.Config{Timeout: "500ms", Hold: withProgress + "on_timeout " + onTimeout})
			l := s.subscribe(t, harness.HTTP1)
			l.progress(t, "half")
			l.want(t, "progress", "half")
			var result string
			var last told
			if onTimeout == "fail" {
				var p problem
				p, last = l.wantProblem(t, http.StatusGatewayTimeout, "timeout")
				wantPickUp(t, p)
				result = p.ResultURL
			} else {
				last = l.end(t, "parked")
				var p parked
				if err := json.Unmarshal([]byte(last.data), &p); err != nil || p.Status != "processing" || !statusURLForm.MatchString(p.StatusURL) {
					t.Errorf("the client gets %s, %v", last.data, err)
				}
				result = p.ResultURL
			}
			if !strings.HasSuffix(result, "/result"+wait) || !endForm.MatchString(last.id) {
				t.Errorf("the client is told %s, and %s", result, last.id)
			}
			// A browser that comes back is told that there is nothing more.
			got := s.public(t, s.back(t, last.id))
			wantAnswer(t, got, http.StatusNoContent, "")
			wantNotStored(t, got.Header)
			l.resolve(t, "late")
			wantAnswer(t, s.fetch(t, result), http.StatusOK, "late")
			s.wantArrivals(t, "/orders/again", 0)
		})
	}
}

func TestPreferredWaitEndsTheStream(t *testing.T) {
	t.Parallel()
	s := start(t, harness.Config{})
	l := s.subscribe(t, harness.HTTP1, "Prefer", "wait=1")
	wantHeader(t, l.response.Header, "Preference-Applied", "wait=1")
	l.wantProblem(t, http.StatusGatewayTimeout, "timeout")
}

func TestClientThatLeavesItsStreamLeavesTheCallback(t *testing.T) {
	t.Parallel()
	for onDisconnect, wantOpen := range map[string]bool{"keep": true, "close": false} {
		t.Run(onDisconnect, func(t *testing.T) {
			t.Parallel()
			s := start(t, harness.Config{TLS: true, Hold: "on_disconnect " + onDisconnect})
			for _, protocol := range harness.Protocols {
				l := s.subscribe(t, protocol)
				l.goes(t)
				if wantOpen {
					l.resolve(t, "taken")
				} else {
					l.closed(t)
				}
			}
		})
	}
}

// A result that nobody has called back with is told all the same.
func TestStreamHasTheResultThatTheUpstreamWasAskedFor(t *testing.T) {
	t.Parallel()
	s, j, _ := pollable(t, "hold", "", "from header Location")
	j.answer(polledAnswer{status: http.StatusOK, body: "done"})
	s.open(t, harness.HTTP1, askingEvents(t, harness.HTTP1, s.path())).wantEnd(t, "result", "done")
}

func TestStreamHasTheResultThatWasFetched(t *testing.T) {
	t.Parallel()
	s, j := newStage(t), &jobs{}
	s.Start(t, harness.Config{Private: "callback hold {\nname jobs\n" + withProgress + "fetch from json url {\n" + s.toPartner() + "}\n}\n" + s.toPartner()})
	s.partner.Handle("/jobs/7", j.serve)
	j.answer(polledAnswer{http.StatusOK, http.Header{"Content-Type": {jsonType}}, `{"output":"text"}`})
	l := s.subscribe(t, harness.HTTP1)
	l.goesOn(t)
	wantStatus(t, l.call(t, jsonType, `{"url":"/jobs/7"}`), http.StatusOK)
	l.wantEnd(t, "result", `{"output":"text"}`)
}
