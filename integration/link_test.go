package integration

import (
	"net/http"
	"strings"
	"testing"

	"github.com/caddy-callback/caddy-callback/integration/harness"
)

// linkOptions make the directive behave as the asynchronous HTTP step of Link.
const linkOptions = "require correlation_id status\ndocument_statuses Rejected \"On Hold\"\n" + showStatus

// showStatus tells the partner, and so the test, the status URL.
const showStatus = "inject header X-Status-Url {http.callback.status_url}\n"

// statusURL returns the status URL that showStatus has told.
func (x *exchange) statusURL(t *testing.T) string {
	t.Helper()
	url := x.received.Header.Get("X-Status-Url")
	if !statusURLForm.MatchString(url) {
		t.Fatalf("X-Status-Url is %q", url)
	}
	x.stage.NeverLog(anyUUID.FindString(url))
	return url
}

// wantPhase checks the phase that the status URL shows.
func (x *exchange) wantPhase(t *testing.T, phase string) {
	t.Helper()
	if got := x.stage.status(t, x.statusURL(t)).Phase; got != phase {
		t.Errorf("phase is %q, want %q", got, phase)
	}
}

// callWithAll calls back with header lines, given as names and values in turn.
func (x *exchange) callWithAll(t *testing.T, contentType, body string, lines ...string) *harness.Response {
	t.Helper()
	req := harness.NewRequest(t, http.MethodPost, x.url, contentType, body)
	for i := 0; i < len(lines); i += 2 {
		req.Header.Set(lines[i], lines[i+1])
	}
	return x.stage.public(t, req)
}

// link calls back as Link requires: with the correlation id and a status.
func (x *exchange) link(t *testing.T, status, body string, lines ...string) {
	t.Helper()
	lines = append(lines, correlationHeader, x.received.Header.Get(correlationHeader), statusHeader, status)
	wantAnswer(t, x.callWithAll(t, "text/plain", body, lines...), http.StatusOK, "")
}

func TestLinkUpstreamIsToldCorrelationIDAndCallbackURL(t *testing.T) {
	t.Parallel()
	s := start(t, harness.Config{Hold: linkOptions})
	x := s.post(t, "text/plain", "order")
	if !callbackURLForm.MatchString(x.url) {
		t.Errorf("%s is %q", callbackHeader, x.url)
	}
	if id := x.received.Header.Get(correlationHeader); !wholeUUID.MatchString(id) {
		t.Errorf("%s is %q", correlationHeader, id)
	}
	x.link(t, "Ok", "validated")
	answer := x.Answer(t)
	wantAnswer(t, answer, http.StatusOK, "validated")
	wantHeader(t, answer.Header, statusHeader, "Ok")
	wantHeader(t, answer.Header, correlationHeader, x.received.Header.Get(correlationHeader))
}

func TestLinkCallWithoutARequiredHeaderConsumesNothing(t *testing.T) {
	t.Parallel()
	s := start(t, harness.Config{Hold: linkOptions})
	x := s.get(t)
	id := x.received.Header.Get(correlationHeader)
	for name, lines := range map[string][]string{
		"neither":        nil,
		"status only":    {statusHeader, "Ok"},
		"id only":        {correlationHeader, id},
		"failed, no id":  {statusHeader, "Failed"},
		"other prefixes": {"X-Acme-Correlation-Id", id, "X-Acme-Status", "Ok"},
	} {
		t.Run(name, func(t *testing.T) {
			wantProblem(t, x.callWithAll(t, "text/plain", "incomplete", lines...), http.StatusBadRequest, "missing-header")
			x.wantPhase(t, "waiting")
		})
	}
	mismatch := x.callWithAll(t, "text/plain", "another's", correlationHeader, "another", statusHeader, "Ok")
	wantProblem(t, mismatch, http.StatusBadRequest, "correlation-mismatch")
	x.link(t, "Ok", "complete")
	wantAnswer(t, x.Answer(t), http.StatusOK, "complete")
}

func TestLinkFailureIsToldWithItsDocumentStatus(t *testing.T) {
	t.Parallel()
	s := start(t, harness.Config{Hold: linkOptions})
	for _, test := range []struct{ says, document, technical string }{
		{says: "Rejected", document: "Rejected"},
		{says: "On Hold", document: "On Hold"},
		{says: "Lost at sea", document: "Failed", technical: "Lost at sea"},
		{says: "rejected", document: "Failed", technical: "rejected"},
		{says: "", document: "Failed"},
	} {
		t.Run("says "+test.says, func(t *testing.T) {
			t.Parallel()
			x := s.get(t)
			x.link(t, "Failed", "not shown", "X-Link-Document-Status", test.says, "X-Link-Error-Code", "E17", "X-Link-Error-Text", "no stock")
			want := failure{document: test.document, technical: test.technical, code: "E17", text: "no stock"}
			want.isAnswer(t, x.Answer(t), http.StatusFailedDependency)
			want.isAnswer(t, s.fetch(t, x.statusURL(t)+"/result"), http.StatusFailedDependency)
			want.isStatus(t, s.status(t, x.statusURL(t)))
		})
	}
}

// failure is what a client is told about a failed callback.
type failure struct{ document, technical, code, text string }

// isAnswer checks that an answer shows the failure in document and header.
func (f failure) isAnswer(t *testing.T, answer *harness.Response, status int) {
	t.Helper()
	p := wantProblem(t, answer, status, "failed")
	if got := (failure{p.DocumentStatus, p.TechnicalStatus, p.ErrorCode, p.ErrorText}); got != f {
		t.Errorf("the problem document tells %+v, want %+v", got, f)
	}
	for name, value := range map[string]string{
		statusHeader: "Failed", "X-Link-Document-Status": f.document, "X-Link-Technical-Status": f.technical,
		"X-Link-Error-Code": f.code, "X-Link-Error-Text": f.text,
	} {
		if value == "" {
			wantHeader(t, answer.Header, name)
		} else {
			wantHeader(t, answer.Header, name, value)
		}
	}
}

// isStatus checks that a status document shows the failure.
func (f failure) isStatus(t *testing.T, st status) {
	t.Helper()
	got := failure{st.DocumentStatus, st.TechnicalStatus, st.ErrorCode, st.ErrorText}
	if st.Phase != "failed" || got != f {
		t.Errorf("the status is %s %+v, want %+v", st.Phase, got, f)
	}
}

func TestLinkFailureHasTheConfiguredStatus(t *testing.T) {
	t.Parallel()
	s := start(t, harness.Config{Hold: linkOptions + "failed_status 502"})
	x := s.get(t)
	x.link(t, "Failed", "", "X-Link-Error-Code", "E17")
	want := failure{document: "Failed", code: "E17"}
	want.isAnswer(t, x.Answer(t), http.StatusBadGateway)
	want.isAnswer(t, s.fetch(t, x.statusURL(t)+"/result"), http.StatusBadGateway)
}

func TestFailedBodyMakesTheCallsOwnBodyTheAnswer(t *testing.T) {
	t.Parallel()
	s := start(t, harness.Config{Hold: linkOptions + "failed_body on\nfailed_status 422"})
	x := s.get(t)
	x.link(t, "Failed", "the partner's own words", "X-Link-Error-Code", "E17")
	for _, answer := range []*harness.Response{x.Answer(t), s.fetch(t, x.statusURL(t)+"/result")} {
		wantAnswer(t, answer, http.StatusUnprocessableEntity, "the partner's own words")
		wantHeader(t, answer.Header, "Content-Type", "text/plain")
		wantHeader(t, answer.Header, statusHeader, "Failed")
		wantHeader(t, answer.Header, "X-Link-Error-Code", "E17")
	}
}

func TestLinkWithoutUseBodyAnswersWithTheAckOrTheFailure(t *testing.T) {
	t.Parallel()
	s := start(t, harness.Config{Hold: linkOptions + "use_body off"})
	accepted := func() *exchange {
		path := s.path()
		s.partner.Handle(path, harness.Ack(http.StatusAccepted, http.Header{"Content-Type": {"text/x-ack"}}, "being validated"))
		return s.forward(t, harness.HTTP1, harness.NewRequest(t, http.MethodPost, harness.HTTP1.URL(path), "text/plain", "order"))
	}
	valid, invalid := accepted(), accepted()
	s.Acknowledged(t)
	valid.link(t, "Ok", "not shown")
	answer := valid.Answer(t)
	wantAnswer(t, answer, http.StatusAccepted, "being validated")
	wantHeader(t, answer.Header, "Content-Type", "text/x-ack")
	wantHeader(t, answer.Header, statusHeader, "Ok")

	invalid.link(t, "Failed", "not shown", "X-Link-Document-Status", "Rejected")
	failure{document: "Rejected"}.isAnswer(t, invalid.Answer(t), http.StatusFailedDependency)
}

func TestHeaderPrefixRenamesAllSevenHeaders(t *testing.T) {
	t.Parallel()
	s := start(t, harness.Config{Hold: linkOptions + "header_prefix X-Acme-"})
	x := s.get(t)
	x.url = x.received.Header.Get("X-Acme-Callback-Url")
	s.NeverLog(x.state())
	id := x.received.Header.Get("X-Acme-Correlation-Id")
	if !callbackURLForm.MatchString(x.url) || !wholeUUID.MatchString(id) {
		t.Fatalf("the partner got %v", x.received.Header)
	}
	wantNoneOf(t, x.received.Header, "X-Link-")

	usual := x.callWithAll(t, "", "", correlationHeader, id, statusHeader, "Failed")
	wantProblem(t, usual, http.StatusBadRequest, "missing-header")
	wantStatus(t, x.callWithAll(t, "", "", "X-Acme-Correlation-Id", id, "X-Acme-Status", "Failed", "X-Acme-Document-Status", "Lost",
		"X-Acme-Error-Code", "E17", "X-Acme-Error-Text", "no stock"), http.StatusOK)
	answer := x.Answer(t)
	wantProblem(t, answer, http.StatusFailedDependency, "failed")
	for name, value := range map[string]string{
		"Correlation-Id": id, "Status": "Failed", "Document-Status": "Failed", "Technical-Status": "Lost", "Error-Code": "E17", "Error-Text": "no stock",
	} {
		wantHeader(t, answer.Header, "X-Acme-"+name, value)
	}
	wantNoneOf(t, answer.Header, "X-Link-")
}

// wantNoneOf checks that no header's name begins with the prefix.
func wantNoneOf(t *testing.T, h http.Header, prefix string) {
	t.Helper()
	for name, values := range h {
		if strings.HasPrefix(name, prefix) {
			t.Errorf("there is %s: %q", name, values)
		}
	}
}
