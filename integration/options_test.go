package integration

import (
	"bytes"
	"compress/gzip"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/caddy-callback/caddy-callback/integration/harness"
)

func TestAckNamesTheStatusesThatMeanTheCallbackWillCome(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.Start(t, harness.Config{Private: harness.Hold("/a/*", "", "ack 200 202") +
		harness.Hold("/b/*", "", "ack 202") + s.HoldAndForward("/c/*", "", "ack 2xx")})
	for _, test := range []struct {
		path, method string
		status       int
		held         bool
	}{
		{"/a/1", http.MethodGet, 200, true},
		{"/a/2", http.MethodGet, 202, true},
		{"/a/3", http.MethodPost, 201, false},
		{"/b/1", http.MethodPost, 200, false},
		{"/b/2", http.MethodPost, 202, true},
		{"/c/1", http.MethodGet, 204, true},
		{"/c/2", http.MethodPost, 302, false},
	} {
		t.Run(test.method+test.path, func(t *testing.T) {
			t.Parallel()
			s.partner.Handle(test.path, harness.Ack(test.status, nil, ""))
			x := s.forward(t, harness.HTTP1, harness.NewRequest(t, test.method, harness.HTTP1.URL(test.path), "", ""))
			if test.held {
				x.stillWaits(t)
				return
			}
			wantAnswer(t, x.Answer(t), test.status, "")
			x.closed(t)
		})
	}
}

func TestHeaderPrefixRenamesEveryWireHeader(t *testing.T) {
	t.Parallel()
	s := start(t, harness.Config{Hold: "header_prefix X-Acme-"})
	req := harness.NewRequest(t, http.MethodGet, harness.HTTP1.URL(s.path()), "", "")
	req.Header.Set("X-Acme-Callback-Url", "http://evil.test")
	x := s.forward(t, harness.HTTP1, req)
	wantHeader(t, x.received.Header, callbackHeader)
	wantHeader(t, x.received.Header, correlationHeader)
	if got := x.received.Header.Values("X-Acme-Callback-Url"); len(got) != 1 || !callbackURLForm.MatchString(got[0]) {
		t.Fatalf("X-Acme-Callback-Url is %q", got)
	}
	x.url = x.received.Header.Get("X-Acme-Callback-Url")

	wantProblem(t, x.callWith(t, "X-Acme-Correlation-Id", "another", ""), http.StatusBadRequest, "correlation-mismatch")
	wantStatus(t, x.callWith(t, "X-Acme-Status", "Failed", ""), http.StatusOK)
	answer := x.Answer(t)
	wantStatus(t, answer, http.StatusFailedDependency)
	wantHeader(t, answer.Header, "X-Acme-Status", "Failed")
	wantHeader(t, answer.Header, "X-Acme-Correlation-Id", x.received.Header.Get("X-Acme-Correlation-Id"))
}

func TestGlobalHeaderPrefixHoldsWhereNoneIsGiven(t *testing.T) {
	t.Parallel()
	s := start(t, harness.Config{Callback: "header_prefix Partner-"})
	x := s.get(t)
	if got := x.received.Header.Get("Partner-Callback-Url"); !callbackURLForm.MatchString(got) {
		t.Fatalf("Partner-Callback-Url is %q", got)
	}
	x.url = x.received.Header.Get("Partner-Callback-Url")
	x.stillWaits(t)
}

// stateQueryURL is the callback URL with the state in the query.
var stateQueryURL = regexp.MustCompile(`^http://callbacks\.test/cbq/state\?state=` + uuid + `$`)

func TestStateQueryMovesTheStateIntoTheQuery(t *testing.T) {
	t.Parallel()
	s := start(t, harness.Config{Hold: "state_query state"})
	x := s.get(t)
	if !stateQueryURL.MatchString(x.url) {
		t.Fatalf("%s is %q", callbackHeader, x.url)
	}
	wantStatus(t, s.partner.Call(t, http.MethodPost, x.url+"&code=17", "text/plain", "by query"), http.StatusOK)
	wantAnswer(t, x.Answer(t), http.StatusOK, "by query")
}

func TestStateQueryIsFoundInAFormBodyAndTakenOut(t *testing.T) {
	t.Parallel()
	s := start(t, harness.Config{Hold: "state_query state"})
	for _, slash := range []string{"", "/"} {
		x := s.get(t)
		registered, _, _ := strings.Cut(x.url, "?")
		form := url.Values{"code": {"a b"}, "state": {x.state()}}.Encode()
		reply := s.partner.Call(t, http.MethodPost, registered+slash, "application/x-www-form-urlencoded", form)
		wantAnswer(t, reply, http.StatusOK, "")
		answer := x.Answer(t)
		wantStatus(t, answer, http.StatusOK)
		got, err := url.ParseQuery(string(answer.Body))
		if err != nil || got.Encode() != "code=a+b" {
			t.Errorf("the client got %s", short(answer.Body))
		}
	}
}

func TestBaseURLOfADirectiveGoesBeforeTheGlobalOne(t *testing.T) {
	t.Parallel()
	s := start(t, harness.Config{Timeout: "500ms", Hold: "base_url https://other.example/hooks\nstatus_url https://status.example"})
	x := s.get(t)
	if got := "https://other.example/hooks/cb/" + x.state(); x.url != got {
		t.Fatalf("%s is %q", callbackHeader, x.url)
	}
	p := wantProblem(t, x.Answer(t), http.StatusGatewayTimeout, "timeout")
	if form := regexp.MustCompile(`^https://status\.example/cbr/` + uuid + `$`); !form.MatchString(p.StatusURL) {
		t.Errorf("statusUrl is %q", p.StatusURL)
	}
	if p.ResultURL != p.StatusURL+"/result" {
		t.Errorf("resultUrl is %q", p.ResultURL)
	}
	// A proxy in front leads both names here.
	x.url = harness.BaseURL + "/cb/" + x.state()
	x.resolve(t, "through another name")
	wantAnswer(t, s.fetch(t, strings.Replace(p.ResultURL, "https://status.example", harness.BaseURL, 1)), http.StatusOK, "through another name")
}

func TestGlobalStatusURLIsTheBaseOfStatusAndResult(t *testing.T) {
	t.Parallel()
	s := start(t, harness.Config{Timeout: "500ms", Callback: "status_url https://status.example/inside/"})
	p := wantProblem(t, s.get(t).Answer(t), http.StatusGatewayTimeout, "timeout")
	if form := regexp.MustCompile(`^https://status\.example/inside/cbr/` + uuid + `$`); !form.MatchString(p.StatusURL) {
		t.Errorf("statusUrl is %q", p.StatusURL)
	}
}

func TestMethodsLimitWhatCountsAsACall(t *testing.T) {
	t.Parallel()
	s := start(t, harness.Config{Hold: "methods PUT GET"})
	x := s.get(t)
	refused := x.call(t, "text/plain", "by POST")
	wantProblem(t, refused, http.StatusMethodNotAllowed, "method-not-allowed")
	wantMethods(t, refused, http.MethodPut, http.MethodGet, http.MethodHead, http.MethodOptions)
	wantAnswer(t, s.partner.Call(t, http.MethodPut, x.url, "text/plain", "by PUT"), http.StatusOK, "")
	wantAnswer(t, x.Answer(t), http.StatusOK, "by PUT")

	byGet := s.get(t)
	wantAnswer(t, s.fetch(t, byGet.url), http.StatusOK, "")
	wantAnswer(t, byGet.Answer(t), http.StatusOK, "")
}

func TestReplyIsTheConfiguredResponse(t *testing.T) {
	t.Parallel()
	s := start(t, harness.Config{Hold: `respond "thanks for {http.callback.correlation_id}" 201
header X-Seen yes
header Content-Type text/x-thanks`})
	x := s.get(t)
	reply := x.call(t, "text/plain", "paid")
	wantAnswer(t, reply, http.StatusCreated, "thanks for "+x.received.Header.Get(correlationHeader))
	wantHeader(t, reply.Header, "X-Seen", "yes")
	wantHeader(t, reply.Header, "Content-Type", "text/x-thanks")
	wantAnswer(t, x.Answer(t), http.StatusOK, "paid")
}

func TestReplyNeverExpandsWhatThePartnerSent(t *testing.T) {
	t.Parallel()
	s := start(t, harness.Config{Hold: `respond "got {http.callback.call.header.X-Note}"`})
	x := s.get(t)
	reply := x.callWith(t, "X-Note", "{http.callback.id} {env.HOME}", "")
	wantAnswer(t, reply, http.StatusOK, "got {http.callback.id} {env.HOME}")
}

func TestRedirectAloneMakesAGetTheCall(t *testing.T) {
	t.Parallel()
	s := start(t, harness.Config{Hold: "redir https://shop.example/done?order={http.callback.call.query.order}"})
	x := s.get(t)
	reply := s.fetch(t, x.url+"?order=a+b%26c")
	wantStatus(t, reply, http.StatusFound)
	location, err := url.Parse(reply.Header.Get("Location"))
	if err != nil || location.Host != "shop.example" || location.Path != "/done" || len(location.Query()) != 1 || location.Query().Get("order") != "a b&c" {
		t.Errorf("Location is %q", reply.Header.Get("Location"))
	}
	answer := x.Answer(t)
	wantAnswer(t, answer, http.StatusOK, `{"order":"a b&c"}`)
	wantHeader(t, answer.Header, correlationHeader, x.received.Header.Get(correlationHeader))

	again := s.fetch(t, x.url+"?order=other")
	wantStatus(t, again, http.StatusFound)
	wantHeader(t, again.Header, "Location", reply.Header.Get("Location"))
}

func TestRedirectAloneAnswersAPostWithSeeOther(t *testing.T) {
	t.Parallel()
	s := start(t, harness.Config{Hold: "redir /thanks"})
	x := s.get(t)
	reply := x.call(t, "text/plain", "paid")
	wantStatus(t, reply, http.StatusSeeOther)
	wantHeader(t, reply.Header, "Location", harness.BaseURL+"/thanks")
	wantAnswer(t, x.Answer(t), http.StatusOK, "paid")
}

func TestRedirectHasTheStatusThatWasAskedFor(t *testing.T) {
	t.Parallel()
	s := start(t, harness.Config{Hold: "redir https://shop.example/ 307"})
	wantStatus(t, s.get(t).call(t, "", ""), http.StatusTemporaryRedirect)
}

func TestWithBothRepliesAGetIsAPersonWhoReturns(t *testing.T) {
	t.Parallel()
	s := start(t, harness.Config{Hold: `respond "noted" 200
redir https://shop.example/back`})
	x := s.get(t)
	returned := func() {
		t.Helper()
		reply := s.fetch(t, x.url)
		wantStatus(t, reply, http.StatusFound)
		wantHeader(t, reply.Header, "Location", "https://shop.example/back")
	}
	returned()
	returned()
	wantAnswer(t, x.call(t, "text/plain", "from the server"), http.StatusOK, "noted")
	wantAnswer(t, x.Answer(t), http.StatusOK, "from the server")
	returned()
}

func TestWithoutUseBodyTheAckIsTheResult(t *testing.T) {
	t.Parallel()
	s := start(t, harness.Config{Hold: "use_body off"})
	path := s.path()
	s.partner.Handle(path, harness.Ack(http.StatusCreated, http.Header{
		"Content-Type": {"application/json"}, "Location": {"/orders/17"}, statusHeader: {"Failed"},
	}, `{"order":17}`))
	x := s.forward(t, harness.HTTP1, harness.NewRequest(t, http.MethodPost, harness.HTTP1.URL(path), "", "x"))
	x.resolve(t, "only says yes")
	answer := x.Answer(t)
	wantAnswer(t, answer, http.StatusCreated, `{"order":17}`)
	wantHeader(t, answer.Header, "Content-Type", "application/json")
	wantHeader(t, answer.Header, "Location", "/orders/17")
	wantHeader(t, answer.Header, correlationHeader, x.received.Header.Get(correlationHeader))
	wantHeader(t, answer.Header, statusHeader, "Ok")
}

func TestWithoutUseBodyAFailedCallStillSaysNo(t *testing.T) {
	t.Parallel()
	s := start(t, harness.Config{Hold: "use_body off"})
	x := s.get(t)
	wantStatus(t, x.callWith(t, statusHeader, "Failed", ""), http.StatusOK)
	wantProblem(t, x.Answer(t), http.StatusFailedDependency, "failed")
}

func TestExpiresInEndsTheTimeForCalls(t *testing.T) {
	t.Parallel()
	s := start(t, harness.Config{Timeout: "500ms", Hold: "expires_in 1s"})
	x := s.get(t)
	p := wantProblem(t, x.Answer(t), http.StatusGatewayTimeout, "timeout")
	// Do not wait for a sweep: the callback expires at that very moment.
	harness.Until(s.status(t, p.StatusURL).ExpiresAt)
	wantProblem(t, x.call(t, "text/plain", "late"), http.StatusGone, "expired")
	if got := s.status(t, p.StatusURL).Phase; got != "expired" {
		t.Errorf("phase is %q", got)
	}
	wantProblem(t, s.fetch(t, p.ResultURL), http.StatusGatewayTimeout, "expired")
}

func TestExpiresInHasADefaultOfAnHourOrTenTimeouts(t *testing.T) {
	t.Parallel()
	s := start(t, harness.Config{Timeout: "500ms"})
	p := wantProblem(t, s.get(t).Answer(t), http.StatusGatewayTimeout, "timeout")
	status := s.status(t, p.StatusURL)
	if got := status.ExpiresAt.Sub(status.CreatedAt); got != time.Hour {
		t.Errorf("calls are accepted for %v", got)
	}
}

func TestErrorsCanBeLeftToTheSite(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.Start(t, harness.Config{Private: s.HoldAndForward("", "500ms", "inject json url {http.callback.url}\nerrors caddy") + `
handle_errors {
	header X-Type {http.callback.error.type}
	header X-Status {http.callback.error.status}
	header X-Detail {http.callback.error.detail}
	respond "the site's own words" {http.error.status_code}
}`})
	for _, test := range []struct {
		name, contentType, body string
		status                  string
		slug                    string
	}{
		{"refused", "text/plain", "no JSON", "415", "not-json"},
		{"timeout", "application/json", "{}", "504", "timeout"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			answer := s.public(t, harness.NewRequest(t, http.MethodPost, harness.HTTP1.URL(s.path()), test.contentType, test.body))
			if got := answer.Header.Get("X-Status"); got != test.status || string(answer.Body) != "the site's own words" {
				t.Fatalf("answer is %d with status %q and body %s", answer.Status, got, short(answer.Body))
			}
			if got := answer.Header.Get("X-Type"); !strings.HasSuffix(got, "#"+test.slug) {
				t.Errorf("type is %q", got)
			}
			if answer.Header.Get("X-Detail") == "" {
				t.Error("there is no detail")
			}
		})
	}
}

// wantMethods checks the Allow header, in any order.
func wantMethods(t *testing.T, got *harness.Response, methods ...string) {
	t.Helper()
	allowed := strings.Split(strings.ReplaceAll(got.Header.Get("Allow"), " ", ""), ",")
	if len(allowed) != len(methods) {
		t.Errorf("Allow is %q, want %q", allowed, methods)
	}
	for _, m := range methods {
		if !strings.Contains(","+strings.Join(allowed, ",")+",", ","+m+",") {
			t.Errorf("Allow is %q, without %s", allowed, m)
		}
	}
}

// compressed returns text as gzip.
func compressed(t *testing.T, text string) string {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := w.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}
