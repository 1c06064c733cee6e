package integration

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/caddy-callback/caddy-callback/integration/harness"
)

// appsAnswer is what the app says at the end of a journey.
const appsAnswer = "the app has done it"

// journey is a request with a side call to a partner, below /side, which goes on to
// the app after the callback.
type journey struct {
	*exchange
	path string
	mode string
	// parked is the document that the client got with its 202, in mode park.
	parked parked
}

// side returns a reverse_proxy to the partner, below a path.
func (s *stage) side(prefix string) string {
	return "reverse_proxy unix/" + s.Path("partner.sock") + " {\n\trewrite " + prefix + "{http.request.uri}\n}\n"
}

// step returns the directives of one step and of what follows it.
func step(mode, lines, call, then string) string {
	options := "name step\n" + lines + "\ncall {\n" + call + "}\n"
	if mode == "park" {
		return "callback park {\n" + options + "then {\n" + then + "}\n}\n"
	}
	return "callback hold {\n" + options + "}\n" + then
}

// setOut sends a request whose side call the partner gets.
func (s *stage) setOut(t *testing.T, mode string) *journey {
	t.Helper()
	path := s.path()
	s.partner.Handle(path, harness.Ack(http.StatusOK, http.Header{"X-App": {"here"}}, appsAnswer))
	return s.travel(t, mode, path)
}

// travel is setOut for a path at which the test decides how the partner answers.
func (s *stage) travel(t *testing.T, mode, path string) *journey {
	t.Helper()
	req := harness.NewRequest(t, http.MethodPut, harness.HTTP1.URL(path)+"?a=1", "application/json", `{"original":true}`)
	req.Header.Set("X-Note", "kept")
	req.Header.Set("Content-Language", "de")
	j := &journey{exchange: &exchange{stage: s, Pending: harness.Send(s.Client(t, harness.HTTP1), req)}, path: path, mode: mode}
	if mode == "park" {
		j.parked = s.wantParked(t, j.Answer(t))
	}
	return j
}

// arrives waits for the side call.
func (j *journey) arrives(t *testing.T, prefix string) {
	t.Helper()
	j.received = j.stage.partner.Received(t, prefix+j.path)
	j.url = j.received.Header.Get(callbackHeader)
	j.stage.NeverLog(anyUUID.FindString(j.url))
}

// result returns what the client gets in the end.
func (j *journey) result(t *testing.T) *harness.Response {
	t.Helper()
	if j.mode == "hold" {
		return j.Answer(t)
	}
	j.stage.ends(t, j.parked.StatusURL)
	return j.stage.fetch(t, j.parked.ResultURL)
}

// notDone checks that the app did not get the request.
func (j *journey) notDone(t *testing.T) {
	t.Helper()
	if n := j.stage.partner.Arrived(j.path); n != 0 {
		t.Errorf("the app was asked %d times", n)
	}
}

// eachStep runs a test in both modes, with and without the callback's body.
func eachStep(t *testing.T, lines string, call func(s *stage) string, test func(t *testing.T, s *stage, mode string, useBody bool)) {
	for _, mode := range []string{"hold", "park"} {
		for _, useBody := range []bool{true, false} {
			t.Run(fmt.Sprint(mode, " use_body ", useBody), func(t *testing.T) {
				t.Parallel()
				s := newStage(t)
				options := lines
				if !useBody {
					options += "\nuse_body off"
				}
				s.Start(t, harness.Config{Private: step(mode, options, call(s), s.toPartner())})
				test(t, s, mode, useBody)
			})
		}
	}
}

func toSide(s *stage) string { return s.side("/side") }

func TestRequestGoesOnAfterTheCallback(t *testing.T) {
	t.Parallel()
	eachStep(t, "", toSide, func(t *testing.T, s *stage, mode string, useBody bool) {
		j := s.setOut(t, mode)
		j.arrives(t, "/side")
		if j.received.Method != http.MethodPut || j.received.URI != "/side"+j.path+"?a=1" || string(j.received.Body) != `{"original":true}` {
			t.Errorf("the side call is %s %s with %s", j.received.Method, j.received.URI, j.received.Body)
		}
		j.notDone(t)
		req := harness.NewRequest(t, http.MethodPost, j.url, "text/xml", "<checked/>")
		req.Header.Set("Content-Encoding", "identity")
		wantStatus(t, s.public(t, req), http.StatusOK)

		got := s.partner.Received(t, j.path)
		body, contentType, encoding, language := `{"original":true}`, "application/json", []string(nil), []string{"de"}
		if useBody {
			body, contentType, encoding, language = "<checked/>", "text/xml", []string{"identity"}, nil
		}
		if got.Method != http.MethodPut || got.URI != j.path+"?a=1" || string(got.Body) != body {
			t.Errorf("the app got %s %s with %s", got.Method, got.URI, got.Body)
		}
		wantHeader(t, got.Header, "X-Note", "kept")
		wantHeader(t, got.Header, "Content-Type", contentType)
		wantHeader(t, got.Header, "Content-Encoding", encoding...)
		wantHeader(t, got.Header, "Content-Language", language...)
		wantHeader(t, got.Header, callbackHeader)
		if got.ContentLength != int64(len(body)) {
			t.Errorf("Content-Length is %d", got.ContentLength)
		}
		result := j.result(t)
		wantAnswer(t, result, http.StatusOK, appsAnswer)
		wantHeader(t, result.Header, "X-App", "here")
	})
}

func TestRequestDoesNotGoOnAfterACallbackThatFailed(t *testing.T) {
	t.Parallel()
	eachStep(t, "", toSide, func(t *testing.T, s *stage, mode string, _ bool) {
		j := s.setOut(t, mode)
		j.arrives(t, "/side")
		wantStatus(t, j.callWithAll(t, "text/plain", "no", statusHeader, "Failed", "X-Link-Error-Code", "E7"), http.StatusOK)
		result := j.result(t)
		wantProblem(t, result, http.StatusFailedDependency, "failed")
		wantHeader(t, result.Header, "X-Link-Error-Code", "E7")
		j.notDone(t)
	})
}

func TestRequestDoesNotGoOnAfterASideCallThatWasRefused(t *testing.T) {
	t.Parallel()
	eachStep(t, "", toSide, func(t *testing.T, s *stage, mode string, _ bool) {
		path := s.path()
		s.partner.Handle("/side"+path, harness.Ack(http.StatusUnprocessableEntity, http.Header{"X-Why": {"because"}}, "not that"))
		j := s.travel(t, mode, path)
		j.arrives(t, "/side")
		result := j.result(t)
		if mode == "hold" {
			wantAnswer(t, result, http.StatusUnprocessableEntity, "not that")
			wantHeader(t, result.Header, "X-Why", "because")
		} else {
			wantStatus(t, result, http.StatusUnprocessableEntity)
		}
		j.notDone(t)
		wantProblem(t, j.call(t, "text/plain", "too late"), http.StatusGone, "closed")
	})
}

func TestSideCallThatCannotBeMadeEndsAHoldAndIsTriedAgainForAPark(t *testing.T) {
	t.Parallel()
	nowhere := func(s *stage) string { return "reverse_proxy unix/" + s.Path("nowhere.sock") + "\n" }
	eachStep(t, "", nowhere, func(t *testing.T, s *stage, mode string, _ bool) {
		j := s.setOut(t, mode)
		if mode == "hold" {
			wantStatus(t, j.Answer(t), http.StatusBadGateway)
			j.notDone(t)
			return
		}
		s.attempted(t, j.parked.ID)
		if st := s.status(t, j.parked.StatusURL); st.Phase != "waiting" {
			t.Errorf("the status is %+v", st)
		}
		wantStatus(t, s.admin(t, http.MethodDelete, "/"+j.parked.ID, ""), http.StatusNoContent)
		wantProblem(t, s.fetch(t, j.parked.ResultURL), http.StatusGone, "closed")
		j.notDone(t)
	})
}

// What is put into the request is for the side call alone.
func TestRequestGoesOnWithoutWhatWasPutIntoIt(t *testing.T) {
	t.Parallel()
	eachStep(t, "inject json a.url {http.callback.url}\ninject json b {http.callback.id}", toSide, func(t *testing.T, s *stage, mode string, useBody bool) {
		j := s.setOut(t, mode)
		j.arrives(t, "/side")
		if body := string(j.received.Body); !strings.Contains(body, j.url) || !strings.HasPrefix(body, `{"original":true,"a":{"url":"`) {
			t.Errorf("the side call has %s", body)
		}
		wantStatus(t, s.partner.Call(t, http.MethodPost, j.url, "text/plain", "checked"), http.StatusOK)
		want := `{"original":true}`
		if useBody {
			want = "checked"
		}
		if got := s.partner.Received(t, j.path); string(got.Body) != want {
			t.Errorf("the app got %s, want %s", got.Body, want)
		}
	})
}

func TestRequestDoesNotGoOnAfterItsTime(t *testing.T) {
	t.Parallel()
	for _, options := range []string{"", "use_body off\n"} {
		t.Run(options, func(t *testing.T) {
			t.Parallel()
			s := newStage(t)
			s.Start(t, harness.Config{Private: "callback hold 1s {\n" + options + "call {\n" + s.side("/side") + "}\n}\n" + s.toPartner()})
			j := s.setOut(t, "hold")
			j.arrives(t, "/side")
			p := wantProblem(t, j.Answer(t), http.StatusGatewayTimeout, "timeout")
			if p.StatusURL != "" || p.ResultURL != "" || p.ID == "" {
				t.Errorf("there is no result, and the client is told of one: %+v", p)
			}
			wantProblem(t, j.call(t, "text/plain", "late"), http.StatusGone, "closed")
			j.notDone(t)
		})
	}
}

func TestCallIsReadableInWhatFollows(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"hold", "park"} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			s := trapped(t, harness.Config{Bare: true, Public: "respond 404", Private: "respond 404"})
			then := `route {
@big vars_regexp {http.callback.call.body.total} ^[0-9]{3}$
vars total {http.callback.call.body.total}
reverse_proxy @big unix/` + s.Path("partner.sock") + ` {
	rewrite /app{path}?total={http.callback.call.body.total}
	header_up X-Body {http.callback.call.body}
	header_up X-Item {http.callback.call.body.items.1.name}
	header_up X-Header {http.callback.call.header.X-Note}
	header_up X-Query {http.callback.call.query.q}
	header_up X-Vars {vars.total}
}
respond "total is {http.callback.call.body.total}" 201
}
`
			s.MustReload(t, harness.Config{Private: step(mode, "use_body off", s.side("/side"), then)})
			j := s.setOut(t, mode)
			j.arrives(t, "/side")
			note := `{env.CB_SECRET}{http.request.uri}`
			body := `{"total":123,"items":[{"name":"a"},{"name":"` + note + `"}]}`
			to := *j.exchange
			to.url += "?q=%7Benv.CB_SECRET%7D"
			wantStatus(t, to.callWithAll(t, jsonType, body, "X-Note", note), http.StatusOK)
			got := s.partner.Received(t, "/app"+j.path)
			if got.URI != "/app"+j.path+"?total=123" {
				t.Errorf("the app got %s", got.URI)
			}
			wantHeader(t, got.Header, "X-Body", body)
			wantHeader(t, got.Header, "X-Item", note)
			wantHeader(t, got.Header, "X-Header", note)
			wantHeader(t, got.Header, "X-Query", "{env.CB_SECRET}")
			wantHeader(t, got.Header, "X-Vars", "123")
			wantStatus(t, j.result(t), http.StatusAccepted)

			small := s.setOut(t, mode)
			small.arrives(t, "/side")
			wantStatus(t, small.call(t, jsonType, `{"total":7}`), http.StatusOK)
			wantAnswer(t, small.result(t), http.StatusCreated, "total is 7")

			// A placeholder for something that the call does not have is empty.
			none := s.setOut(t, mode)
			none.arrives(t, "/side")
			wantStatus(t, none.call(t, "text/plain", "no JSON"), http.StatusOK)
			wantAnswer(t, none.result(t), http.StatusCreated, "total is ")
		})
	}
}

// Two holds in a row: each waits for its own callback, and the earlier call is
// available by its name.
func TestHoldAfterHoldKnowsTheEarlierCall(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	hold := func(name string) string {
		return "callback hold {\n\tname " + name + "\n\tcall {\n" + s.side("/"+name) + "}\n}\n"
	}
	s.Start(t, harness.Config{Private: hold("check") + hold("price") + "reverse_proxy unix/" + s.Path("partner.sock") + ` {
	header_up X-Check {http.callback.check.call.body}
	header_up X-Price {http.callback.price.call.body}
	header_up X-Last {http.callback.call.body}
}
`})
	j := s.setOut(t, "hold")
	j.arrives(t, "/check")
	first := j.url
	j.resolve(t, "checked")
	j.arrives(t, "/price")
	if j.url == first {
		t.Error("both steps have one callback")
	}
	if string(j.received.Body) != "checked" {
		t.Errorf("the second step got %s", j.received.Body)
	}
	j.notDone(t)
	j.resolve(t, "priced")
	got := s.partner.Received(t, j.path)
	wantHeader(t, got.Header, "X-Check", "checked")
	wantHeader(t, got.Header, "X-Price", "priced")
	wantHeader(t, got.Header, "X-Last", "priced")
	if string(got.Body) != "priced" {
		t.Errorf("the app got %s", got.Body)
	}
	wantAnswer(t, j.result(t), http.StatusOK, appsAnswer)
}

// chain returns a park whose then is another park; what follows can use the calls of
// both.
func (s *stage) chain() string {
	return "callback park {\n\tname outer\n\tcall {\n" + s.side("/one") + "}\n\tthen {\n" +
		"callback park {\n\tname inner\n\tcall {\n" + s.side("/two") + "}\n\tthen {\n" +
		"request_header X-Outer {http.callback.outer.call.body}\nrequest_header X-Inner {http.callback.inner.call.body}\n" +
		s.toPartner() + "}\n}\n}\n}\n"
}

func TestChainOfParkedStepsEndsWithTheLastResult(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.Start(t, harness.Config{Private: s.chain()})
	j := s.setOut(t, "park")
	j.arrives(t, "/one")
	j.resolve(t, "one is done")
	j.arrives(t, "/two")
	if string(j.received.Body) != "one is done" {
		t.Errorf("the second step got %s", j.received.Body)
	}
	harness.Eventually(t, "the status names the step", func() bool {
		st := s.fetch(t, j.parked.StatusURL)
		return strings.Contains(string(st.Body), `"phase":"waiting"`) && strings.Contains(string(st.Body), `"name":"inner"}`)
	})
	wantStatus(t, s.fetch(t, j.parked.ResultURL), http.StatusAccepted)
	j.notDone(t)
	j.resolve(t, "two is done")
	got := s.partner.Received(t, j.path)
	wantHeader(t, got.Header, "X-Outer", "one is done")
	wantHeader(t, got.Header, "X-Inner", "two is done")
	wantAnswer(t, j.result(t), http.StatusOK, appsAnswer)
}

func TestChainOfParkedStepsEndsWithTheFailureOfOne(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.Start(t, harness.Config{Private: s.chain()})
	for failing := range 2 {
		t.Run(strconv.Itoa(failing), func(t *testing.T) {
			t.Parallel()
			j := s.setOut(t, "park")
			j.arrives(t, "/one")
			if failing == 1 {
				j.resolve(t, "one is done")
				j.arrives(t, "/two")
			}
			wantStatus(t, j.callWithAll(t, "", "", statusHeader, "Failed", "X-Link-Error-Text", "no more"), http.StatusOK)
			result := j.result(t)
			wantProblem(t, result, http.StatusFailedDependency, "failed")
			wantHeader(t, result.Header, "X-Link-Error-Text", "no more")
			j.notDone(t)
		})
	}
}

// Without the call's body and without a then, the ack is the result, even if the call
// comes first.
func TestAckIsTheResultOfAParkAlsoWhereTheCallOvertakesIt(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.Start(t, harness.Config{Private: "callback park {\nname step\nuse_body off\ncall {\n" + s.toPartner() + "}\n}\n"})
	path := s.path()
	release := s.hang(path, harness.Ack(http.StatusAccepted, http.Header{"Content-Type": {"text/plain"}}, "the ack"))
	defer release()
	x := s.forward(t, harness.HTTP1, harness.NewRequest(t, http.MethodPost, harness.HTTP1.URL(path), "text/plain", "x"))
	p := s.wantParked(t, x.Answer(t))
	x.resolve(t, "yes")
	wantAnswer(t, s.fetch(t, p.ResultURL), http.StatusOK, "")
	release()
	harness.Eventually(t, "the ack is the result", func() bool { return string(s.fetch(t, p.ResultURL).Body) == "the ack" })
}
