package integration

import (
	"net/http"
	"net/url"
	"testing"

	"github.com/caddy-callback/caddy-callback/integration/harness"
)

const (
	formType = "application/x-www-form-urlencoded"
	jsonType = "application/json"
)

// saying is a call that has a value in one place.
type saying struct {
	query, contentType, body string
	header                   []string
}

// sayings have the same value in each place where a match can look.
func sayings(word string) map[string]saying {
	return map[string]saying{
		"json":   {contentType: jsonType, body: `{"order":{"state":"` + word + `"}}`},
		"form":   {contentType: formType, body: "state=" + word},
		"header": {header: []string{"X-Order-State", word}},
		"query":  {query: "?state=" + word},
	}
}

// matchEverywhere looks for the words in each place.
func matchEverywhere(option, words string) string {
	return option + " json order.state " + words + "\n" +
		option + " form state " + words + "\n" +
		option + " header X-Order-State " + words + "\n" +
		option + " query state " + words + "\n"
}

// say calls back with a saying.
func (x *exchange) say(t *testing.T, c saying) *harness.Response {
	t.Helper()
	to := *x
	to.url += c.query
	return to.callWithAll(t, c.contentType, c.body, c.header...)
}

func TestCallThatSaysFailedFailsTheCallback(t *testing.T) {
	t.Parallel()
	s := start(t, harness.Config{Hold: showStatus + matchEverywhere("failed", "error rejected")})
	for _, word := range []string{"error", "rejected"} {
		for place, c := range sayings(word) {
			t.Run(place+" "+word, func(t *testing.T) {
				t.Parallel()
				x := s.get(t)
				wantAnswer(t, x.say(t, c), http.StatusOK, "")
				failure{document: "Failed"}.isAnswer(t, x.Answer(t), http.StatusFailedDependency)
				x.wantPhase(t, "failed")
			})
		}
	}
}

func TestCallThatSaysSomethingElseIsTheAnswer(t *testing.T) {
	t.Parallel()
	s := start(t, harness.Config{Hold: matchEverywhere("failed", "error") + matchEverywhere("progress", "started")})
	for place, c := range sayings("errors") {
		t.Run(place, func(t *testing.T) {
			t.Parallel()
			x := s.get(t)
			wantAnswer(t, x.say(t, c), http.StatusOK, "")
			want := c.body
			if place == "query" {
				want = `{"state":"errors"}`
			}
			wantAnswer(t, x.Answer(t), http.StatusOK, want)
		})
	}
}

func TestProgressIsAnsweredAndTheClientWaitsOn(t *testing.T) {
	t.Parallel()
	s := start(t, harness.Config{Hold: `respond "noted" 202` + "\n" + showStatus + matchEverywhere("progress", "started halfway")})
	for place, c := range sayings("halfway") {
		t.Run(place, func(t *testing.T) {
			t.Parallel()
			x := s.get(t)
			for range 2 {
				wantAnswer(t, x.say(t, c), http.StatusAccepted, "noted")
			}
			x.wantPhase(t, "waiting")
			wantStatus(t, s.fetch(t, x.statusURL(t)+"/result"), http.StatusAccepted)
			wantProblem(t, x.call(t, "text/plain", "done"), http.StatusBadRequest, "unreadable")
			wantAnswer(t, x.call(t, jsonType, `"done"`), http.StatusAccepted, "noted")
			wantAnswer(t, x.Answer(t), http.StatusOK, `"done"`)
		})
	}
}

func TestFailureGoesBeforeProgress(t *testing.T) {
	t.Parallel()
	s := start(t, harness.Config{Hold: "failed json error true\nprogress json state running"})
	x := s.get(t)
	wantStatus(t, x.call(t, jsonType, `{"state":"running","error":true}`), http.StatusOK)
	wantProblem(t, x.Answer(t), http.StatusFailedDependency, "failed")
}

func TestErrorCodeAndTextAreFoundInTheBody(t *testing.T) {
	t.Parallel()
	s := start(t, harness.Config{Hold: showStatus + "failed json ok false\nerror_code json error.code\nerror_text json /error/messages/0"})
	x := s.get(t)
	body := `{"ok":false,"error":{"code":17,"messages":["kein Lagerbestand für 😀","second"]}}`
	wantStatus(t, x.callWithAll(t, jsonType, body, "X-Link-Error-Code", "not this one"), http.StatusOK)
	want := failure{document: "Failed", code: "17", text: "kein Lagerbestand für 😀"}
	want.isAnswer(t, x.Answer(t), http.StatusFailedDependency)
	want.isStatus(t, s.status(t, x.statusURL(t)))
}

func TestErrorCodeThatIsNotThereIsLeftOut(t *testing.T) {
	t.Parallel()
	s := start(t, harness.Config{Hold: "error_code json error.code\nerror_text json error.text"})
	x := s.get(t)
	wantStatus(t, x.callWith(t, statusHeader, "Failed", "no JSON at all"), http.StatusOK)
	failure{document: "Failed"}.isAnswer(t, x.Answer(t), http.StatusFailedDependency)
}

func TestCallToTheFailedURLFailsTheCallback(t *testing.T) {
	t.Parallel()
	s := start(t, harness.Config{Hold: "inject header X-Failure-Url {http.callback.failed_url}"})
	x := s.get(t)
	failed := *x
	failed.url = x.received.Header.Get("X-Failure-Url")
	if failed.url != x.url+"/failed" {
		t.Fatalf("X-Failure-Url is %q", failed.url)
	}
	wantStatus(t, failed.callWithAll(t, "text/plain", "nothing is left", statusHeader, "Ok", "X-Link-Error-Code", "E17"), http.StatusOK)
	failure{document: "Failed", code: "E17"}.isAnswer(t, x.Answer(t), http.StatusFailedDependency)
	wantProblem(t, x.call(t, "text/plain", "nothing is left"), http.StatusConflict, "already-resolved")
}

func TestRefusedCallEndsWhatIsNotRetryable(t *testing.T) {
	t.Parallel()
	s := start(t, harness.Config{Hold: linkOptions + "retryable off"})
	for name, test := range map[string]struct {
		slug  string
		lines []string
	}{
		"no header":    {slug: "missing-header"},
		"another's id": {slug: "correlation-mismatch", lines: []string{correlationHeader, "another", statusHeader, "Ok"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			x := s.get(t)
			refused := wantProblem(t, x.callWithAll(t, "text/plain", "refused", test.lines...), http.StatusBadRequest, test.slug)
			want := failure{document: "Failed", code: test.slug, text: refused.Detail}
			want.isAnswer(t, x.Answer(t), http.StatusFailedDependency)
			want.isStatus(t, s.status(t, x.statusURL(t)))
			good := x.callWithAll(t, "text/plain", "good", correlationHeader, x.received.Header.Get(correlationHeader), statusHeader, "Ok")
			wantProblemDocument(t, good, http.StatusGone)
			want.isAnswer(t, s.fetch(t, x.statusURL(t)+"/result"), http.StatusFailedDependency)
		})
	}
}

func TestOfManyCallsTheClientGetsTheFirstAndTheResultIsTheLast(t *testing.T) {
	t.Parallel()
	s := start(t, harness.Config{Hold: showStatus + "multiple on"})
	x := s.get(t)
	result := x.statusURL(t) + "/result"
	x.resolve(t, "first")
	wantAnswer(t, x.Answer(t), http.StatusOK, "first")
	for _, body := range []string{"second", "third", "third", "first"} {
		x.resolve(t, body)
		wantAnswer(t, s.fetch(t, result), http.StatusOK, body)
	}
	wantStatus(t, x.callWith(t, statusHeader, "Failed", ""), http.StatusOK)
	wantProblem(t, s.fetch(t, result), http.StatusFailedDependency, "failed")
	x.wantPhase(t, "failed")
	x.resolve(t, "fourth")
	x.wantPhase(t, "resolved")
	wantAnswer(t, s.fetch(t, result), http.StatusOK, "fourth")
}

func TestOfManyCallsOneThatBearsAKnownNameChangesNothing(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"Webhook-Id", "Idempotency-Key"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := start(t, harness.Config{Hold: showStatus + "multiple on\nrespond \"noted\" 202"})
			x := s.get(t)
			result := x.statusURL(t) + "/result"
			for _, id := range []string{"a", "b"} {
				wantAnswer(t, x.callWith(t, name, id, "call "+id), http.StatusAccepted, "noted")
			}
			for _, id := range []string{"a", "b"} {
				wantAnswer(t, x.callWith(t, name, id, "again, and different"), http.StatusAccepted, "noted")
				wantAnswer(t, s.fetch(t, result), http.StatusOK, "call b")
			}
			wantAnswer(t, x.Answer(t), http.StatusOK, "call a")
		})
	}
}

func TestExpiryEndsManyCalls(t *testing.T) {
	t.Parallel()
	s := start(t, harness.Config{Timeout: "2s", Hold: showStatus + "multiple on\nexpires_in 2s"})
	x := s.get(t)
	x.resolve(t, "first")
	x.resolve(t, "last")
	harness.Until(s.status(t, x.statusURL(t)).ExpiresAt)
	wantProblem(t, x.call(t, "text/plain", "late"), http.StatusGone, "expired")
	wantAnswer(t, s.fetch(t, x.statusURL(t)+"/result"), http.StatusOK, "last")
	wantAnswer(t, x.Answer(t), http.StatusOK, "first")
}

// trap is text that would become the secret if anything expanded it.
const trap = "{env.CB_SECRET} {http.callback.id}"

// trapped starts a server in whose environment there is a secret.
func trapped(t *testing.T, cfg harness.Config) *stage {
	t.Helper()
	s := newStage(t)
	s.Setenv("CB_SECRET", "the operator's secret")
	s.NeverLog("the operator's secret")
	s.Start(t, cfg)
	return s
}

func TestPlaceholdersInACallStayTextInTheResult(t *testing.T) {
	t.Parallel()
	s := trapped(t, harness.Config{Hold: showStatus + "copy_headers X-Note Content-Type"})
	x := s.get(t)
	wantStatus(t, x.callWith(t, "X-Note", trap, trap), http.StatusOK)
	for _, answer := range []*harness.Response{x.Answer(t), s.fetch(t, x.statusURL(t)+"/result")} {
		wantAnswer(t, answer, http.StatusOK, trap)
		wantHeader(t, answer.Header, "X-Note", trap)
	}
}

func TestPlaceholdersInAFailureStayText(t *testing.T) {
	t.Parallel()
	s := trapped(t, harness.Config{Hold: showStatus + "failed json ok false\nerror_text json why"})
	x := s.get(t)
	lines := []string{"X-Link-Error-Code", trap, "X-Link-Document-Status", trap}
	wantStatus(t, x.callWithAll(t, jsonType, `{"ok":false,"why":"`+trap+`"}`, lines...), http.StatusOK)
	want := failure{document: "Failed", technical: trap, code: trap, text: trap}
	answer := x.Answer(t)
	want.isAnswer(t, answer, http.StatusFailedDependency)
	want.isAnswer(t, s.fetch(t, x.statusURL(t)+"/result"), http.StatusFailedDependency)
	want.isStatus(t, s.status(t, x.statusURL(t)))
	if p := wantProblem(t, answer, http.StatusFailedDependency, "failed"); p.Detail != trap {
		t.Errorf("detail is %q", p.Detail)
	}
}

func TestPlaceholdersInAFailureStayTextInTheSitesOwnErrors(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.Setenv("CB_SECRET", "the operator's secret")
	s.Start(t, harness.Config{Private: s.HoldAndForward("", "", "errors caddy") +
		"handle_errors {\n\trespond \"{http.callback.error.error_text}|{http.callback.error.detail}\" {http.error.status_code}\n}\n"})
	x := s.get(t)
	wantStatus(t, x.callWithAll(t, "", "", statusHeader, "Failed", "X-Link-Error-Text", trap), http.StatusOK)
	answer := x.Answer(t)
	wantAnswer(t, answer, http.StatusFailedDependency, trap+"|"+trap)
	wantHeader(t, answer.Header, "X-Link-Error-Text", trap)
}

func TestPlaceholdersInACallStayTextInTheReply(t *testing.T) {
	t.Parallel()
	s := trapped(t, harness.Config{Hold: `header X-Echo "{http.callback.call.query.note}"
respond "{http.callback.call.body}|{http.callback.call.header.X-Note}|{http.callback.call.query.note}"`})
	x := s.get(t)
	to := *x
	to.url += "?note=" + url.QueryEscape(trap)
	for range 2 {
		reply := to.callWith(t, "X-Note", trap, trap)
		wantAnswer(t, reply, http.StatusOK, trap+"|"+trap+"|"+trap)
		wantHeader(t, reply.Header, "X-Echo", trap)
	}
	wantAnswer(t, x.Answer(t), http.StatusOK, trap)
}

func TestPlaceholdersInACallStayTextInTheRedirect(t *testing.T) {
	t.Parallel()
	s := trapped(t, harness.Config{Hold: "redir https://shop.example/{http.callback.call.query.note}?note={http.callback.call.body.note}"})
	x := s.get(t)
	to := *x
	to.url += "?note=" + url.QueryEscape(trap)
	reply := to.call(t, jsonType, `{"note":"`+trap+`"}`)
	wantStatus(t, reply, http.StatusSeeOther)
	location, err := url.Parse(reply.Header.Get("Location"))
	if err != nil || location.Path != "/"+trap || location.Query().Get("note") != trap {
		t.Errorf("Location is %q: %v", reply.Header.Get("Location"), err)
	}
}

func TestPlaceholdersInARequestStayTextUpstream(t *testing.T) {
	t.Parallel()
	s := trapped(t, harness.Config{Hold: "inject header X-Copy {http.request.header.X-Note}\ninject query note {http.request.header.X-Note}"})
	req := harness.NewRequest(t, http.MethodGet, harness.HTTP1.URL(s.path()), "", "")
	req.Header.Set("X-Note", trap)
	x := s.forward(t, harness.HTTP1, req)
	wantHeader(t, x.received.Header, "X-Copy", trap)
	if uri, err := url.Parse(x.received.URI); err != nil || uri.Query().Get("note") != trap {
		t.Errorf("the upstream got %q: %v", x.received.URI, err)
	}
	x.stillWaits(t)
}
