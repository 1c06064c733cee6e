package integration

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/caddy-callback/caddy-callback/integration/harness"
)

func TestResponseIsAsTheAppAskedForIt(t *testing.T) {
	t.Parallel()
	s := openAPI(t, harness.Config{})
	for name, x := range map[string]struct {
		body         string
		status       int
		reply        string
		header, line string
	}{
		"default":           {`{}`, 200, "", "Content-Type", ""},
		"explicit default":  {`{"responseType":"response"}`, 200, "", "Content-Type", ""},
		"body":              {`{"responseBody":"<ok/>"}`, 200, "<ok/>", "Content-Type", "text/plain; charset=utf-8"},
		"JSON body":         {`{"responseBody":"{\"a\":1}"}`, 200, `{"a":1}`, "Content-Type", "application/json"},
		"code":              {`{"responseCode":202}`, 202, "", "", ""},
		"no content":        {`{"responseCode":204}`, 204, "", "", ""},
		"an error":          {`{"responseCode":599,"responseBody":"x"}`, 599, "x", "", ""},
		"content type":      {`{"responseBody":"a;b","responseHeaders":{"content-type":"text/csv"}}`, 200, "a;b", "Content-Type", "text/csv"},
		"header of its own": {`{"responseHeaders":{"x-custom-field":" custom-value"}}`, 200, "", "X-Custom-Field", "custom-value"},
		"redirect unused":   {`{"responseType":"response","responseRedirectUrl":"/case/1"}`, 200, "", "Location", ""},
	} {
		c := s.create(t, x.body)
		for _, method := range []string{http.MethodPost, http.MethodPost} {
			got := s.callURL(t, method, c.CallbackURL, "hello")
			wantAnswer(t, got, x.status, x.reply)
			if x.header != "" && got.Header.Get(x.header) != x.line {
				t.Errorf("%s: %s is %q", name, x.header, got.Header.Get(x.header))
			}
		}
	}
}

func TestRedirectIsAsTheAppAskedForIt(t *testing.T) {
	t.Parallel()
	s := openAPI(t, harness.Config{BaseURL: "http://callbacks.test"})
	for _, x := range []struct{ body, target string }{
		{`{"responseType":"redirect","responseRedirectUrl":"/case/1:142:432"}`, harness.BaseURL + "/case/1:142:432"},
		{`{"responseRedirectUrl":"/page/thankyou"}`, harness.BaseURL + "/page/thankyou"},
		{`{"responseRedirectUrl":"https://www.nu.nl"}`, "https://www.nu.nl"},
		{`{"responseType":"redirect","responseRedirectUrl":"https://my.grexx.today/case/1:5412:231?a=b#c","responseBody":"x","responseCode":201}`, "https://my.grexx.today/case/1:5412:231?a=b#c"},
		{`{"alternativeDomain":"https://callbacks.test","responseRedirectUrl":"/case/1"}`, "https://callbacks.test/case/1"},
	} {
		got := s.create(t, x.body)
		target := strings.Replace(got.CallbackURL, "https://", "http://", 1)
		reply := s.fetch(t, target)
		wantStatus(t, reply, http.StatusFound)
		wantHeader(t, reply.Header, "Location", x.target)
		again := s.fetch(t, target+"?again=1")
		wantStatus(t, again, http.StatusFound)
		posted := s.create(t, x.body)
		wantStatus(t, s.callURL(t, http.MethodPost, strings.Replace(posted.CallbackURL, "https://", "http://", 1), ""), http.StatusSeeOther)
	}
}

func TestAllMethodsOfTheSeedAreCalls(t *testing.T) {
	t.Parallel()
	s := openAPI(t, harness.Config{})
	for _, method := range []string{http.MethodGet, http.MethodPost, http.MethodPut, http.MethodDelete, http.MethodPatch} {
		c := s.create(t, `{}`)
		wantStatus(t, s.callURL(t, method, c.CallbackURL+"?id=5&status=ok&from=afas", ""), http.StatusOK)
		d := s.show(t, c.ID)
		if d.LatestCall.Method != method || d.LatestCall.Query["id"] != "5" || d.LatestCall.Query["from"] != "afas" {
			t.Errorf("%+v", d.LatestCall)
		}
	}
	c := s.create(t, `{"methods":["PUT","GET"]}`)
	refused := s.callURL(t, http.MethodPost, c.CallbackURL, "")
	wantProblem(t, refused, http.StatusMethodNotAllowed, "method-not-allowed")
	wantHeader(t, refused.Header, "Allow", "GET, PUT, HEAD, OPTIONS")
	wantStatus(t, s.callURL(t, http.MethodPut, c.CallbackURL, ""), http.StatusOK)
}

func TestStateInTheQueryIsForURLsThatAreRegisteredInAdvance(t *testing.T) {
	t.Parallel()
	s := openAPI(t, harness.Config{})
	c := s.create(t, `{"stateQueryParameter":"state"}`)
	if c.CallbackURL != harness.BaseURL+"/cbq/state?state="+c.State || c.RedirectURI != harness.BaseURL+"/cbq/state" {
		t.Errorf("%+v", c)
	}
	wantProblem(t, s.fetch(t, harness.BaseURL+"/cb/"+c.State), http.StatusNotFound, "unknown-state")
	wantStatus(t, s.fetch(t, c.RedirectURI+"/?code=abc&state="+c.State), http.StatusOK)
	if d := s.show(t, c.ID); d.LatestCall.Query["code"] != "abc" || d.LatestCall.Query["state"] != nil {
		t.Errorf("%+v", d.LatestCall)
	}
	posted := s.create(t, `{"stateQueryParameter":"RelayState"}`)
	s.partner.Call(t, http.MethodPost, posted.RedirectURI, "application/x-www-form-urlencoded", "SAMLResponse=x&RelayState="+posted.State)
	if d := s.show(t, posted.ID); d.Phase != "resolved" || d.LatestCall.Body != "SAMLResponse=x" {
		t.Errorf("%+v", d)
	}
}

func TestCallbackCanBeCalledAgainAfterAnErrorOrNot(t *testing.T) {
	t.Parallel()
	s := openAPI(t, harness.Config{})
	for body, phase := range map[string]string{
		`{"requireStatus":true}`:                                                        "waiting",
		`{"requireStatus":true,"retryableAfterError":true}`:                             "waiting",
		`{"requireStatus":true,"retryableAfterError":false}`:                            "failed",
		`{"requireStatus":true,"retryableAfterError":false,"allowMultipleCalls":true}`:  "waiting",
		`{"requireCorrelationId":true,"retryableAfterError":false,"correlationId":"a"}`: "failed",
		`{"requireCorrelationId":true,"correlationId":"a"}`:                             "waiting",
	} {
		c := s.create(t, body)
		wantProblem(t, s.callURL(t, http.MethodPost, c.CallbackURL, "incorrect"), http.StatusBadRequest, "missing-header")
		d := s.show(t, c.ID)
		if d.Phase != phase {
			t.Errorf("%s: the phase is %s", body, d.Phase)
		}
		again := s.callURL(t, http.MethodPost, c.CallbackURL, "corrected", statusHeader, "Ok", correlationHeader, d.CorrelationID)
		if phase == "failed" {
			wantProblem(t, again, http.StatusGone, "closed")
		} else {
			wantStatus(t, again, http.StatusOK)
		}
	}
}

func TestManyCallsAreTakenUntilTheCallbackIsClosed(t *testing.T) {
	t.Parallel()
	s := openAPI(t, harness.Config{})
	c := s.create(t, `{"allowMultipleCalls":true,"responseBody":"thanks"}`)
	for _, payload := range []string{"one", "two", "two", "three"} {
		wantAnswer(t, s.callURL(t, http.MethodPost, c.CallbackURL, payload), http.StatusOK, "thanks")
		wantAnswer(t, s.api(t, http.MethodGet, "/"+c.ID+"/result", ""), http.StatusOK, payload)
	}
	if d := s.show(t, c.ID); d.Calls != 4 || d.LatestCall.Body != "three" {
		t.Errorf("%+v", d)
	}
	wantStatus(t, s.api(t, http.MethodDelete, "/"+c.ID, ""), http.StatusNoContent)
	wantProblem(t, s.callURL(t, http.MethodPost, c.CallbackURL, "four"), http.StatusGone, "closed")
	wantAnswer(t, s.api(t, http.MethodGet, "/"+c.ID+"/result", ""), http.StatusOK, "three")
}

func TestAlternativeDomainIsThatOfTheCallbackURLAlone(t *testing.T) {
	t.Parallel()
	s := openAPI(t, harness.Config{Sites: ""})
	for domain, base := range map[string]string{
		"https://callbacks.test": "https://callbacks.test", "https://callbacks.test/": "https://callbacks.test",
		"http://callbacks.test:80": "http://callbacks.test:80", "https://partners.example/deep": "https://partners.example/deep",
	} {
		c := s.create(t, `{"alternativeDomain":"`+domain+`"}`)
		if c.CallbackURL != base+"/cb/"+c.State || !statusURLForm.MatchString(c.StatusURL) {
			t.Errorf("%s: %+v", domain, c)
		}
		if strings.HasPrefix(domain, "http://") {
			wantStatus(t, s.callURL(t, http.MethodPost, c.CallbackURL, ""), http.StatusOK)
		}
	}
	secure := openAPI(t, harness.Config{BaseURL: "https://callbacks.test"})
	wantField(t, secure.api(t, http.MethodPost, "", `{"alternativeDomain":"http://callbacks.test"}`), "alternativeDomain")
}

func TestKeyOfItsOwnIsEmbeddedOrShownAsBearer(t *testing.T) {
	t.Parallel()
	s := openAPI(t, harness.Config{})
	const body = `{"includeApiKey":true,"methods":["POST"]}`
	for name, call := range map[string]func(c created) *harness.Response{
		"embedded": func(c created) *harness.Response {
			return s.callURL(t, http.MethodPost, c.CallbackURL, `{"a":1}`, "Content-Type", "application/json")
		},
		"bearer": func(c created) *harness.Response {
			return s.callURL(t, http.MethodPost, c.RedirectURI, `{"a":1}`, append(bearer(c.APIKey), "Content-Type", "application/json")...)
		},
	} {
		c := s.create(t, body)
		s.NeverLog(c.APIKey)
		if c.CallbackURL != c.RedirectURI+"?api_key="+c.APIKey || len(c.APIKey) != 43 {
			t.Fatalf("%s: %+v", name, c)
		}
		wantUnauthorized(t, s.callURL(t, http.MethodPost, c.RedirectURI, `{"a":1}`), "key-required")
		wantProblem(t, s.callURL(t, http.MethodPut, c.CallbackURL, `{"a":1}`), http.StatusMethodNotAllowed, "method-not-allowed")

		req := harness.NewRequest(t, http.MethodGet, apiURL+"/"+c.ID+"/result", "", "")
		req.Header.Set("Prefer", "wait=60")
		waiting := harness.Send(s.Client(t, harness.HTTP1), req)
		harness.Eventually(t, "the app waits", func() bool { return s.GoroutinesIn(t, "answer.Reading.awaitChange") == 1 })
		wantStatus(t, call(c), http.StatusOK)
		answer := waiting.Answer(t)
		wantAnswer(t, answer, http.StatusOK, `{"a":1}`)
		wantHeader(t, answer.Header, "Content-Type", "application/json")
		wantHeader(t, answer.Header, "Preference-Applied", "wait=60")
		wantProblem(t, s.callURL(t, http.MethodPost, c.CallbackURL, `{"a":2}`), http.StatusConflict, "already-resolved")
		if d := s.show(t, c.ID); d.LatestCall.Query["api_key"] != nil || d.LatestCall.Headers["Authorization"] != "" {
			t.Errorf("%+v", d.LatestCall)
		}
	}
}

func TestAppWaitsForAnyEnd(t *testing.T) {
	t.Parallel()
	s := openAPI(t, harness.Config{})
	c := s.create(t, `{"expiresIn":"500ms"}`)
	got := s.api(t, http.MethodGet, "/"+c.ID, "", "Prefer", "wait=60")
	wantStatus(t, got, http.StatusOK)
	if d := decode[document](t, got); d.Phase != "expired" {
		t.Errorf("%+v", d)
	}
	wantProblem(t, s.callURL(t, http.MethodPost, c.CallbackURL, ""), http.StatusGone, "expired")
	short := s.create(t, `{}`)
	wantStatus(t, s.api(t, http.MethodGet, "/"+short.ID, "", "Prefer", "wait=1"), http.StatusOK)
}

func TestRepeatedRequestMakesOneCallback(t *testing.T) {
	t.Parallel()
	s := openAPI(t, harness.Config{})
	key := []string{"Idempotency-Key", "order 17"}
	first := s.create(t, `{"includeApiKey":true,"data":{"a":1,"b":2}}`, key...)
	s.NeverLog(first.APIKey)
	got := s.api(t, http.MethodPost, "", ` {"data": {"b":2, "a":1}, "includeApiKey":true} `, key...)
	wantStatus(t, got, http.StatusCreated)
	wantHeader(t, got.Header, "Idempotency-Replayed", "true")
	if again := decode[created](t, got); again != first {
		t.Errorf("%+v, want %+v", again, first)
	}
	wantProblem(t, s.api(t, http.MethodPost, "", `{"includeApiKey":true,"data":{"a":1,"b":3}}`, key...), http.StatusUnprocessableEntity, "idempotency-key-reused")
	wantStatus(t, s.callURL(t, http.MethodPost, first.CallbackURL, "called"), http.StatusOK)
	if again := s.create(t, `{"includeApiKey":true,"data":{"a":1,"b":2}}`, key...); again != first {
		t.Errorf("%+v, want %+v", again, first)
	}
	for _, bad := range []string{"", strings.Repeat("x", 256)} {
		wantProblem(t, s.api(t, http.MethodPost, "", `{}`, "Idempotency-Key", bad), http.StatusBadRequest, "invalid-idempotency-key")
	}
}

func TestRequestsWithOneKeyAtOnceMakeOneCallback(t *testing.T) {
	t.Parallel()
	s := openAPI(t, harness.Config{})
	var all []*harness.Pending
	for range 16 {
		req := harness.NewRequest(t, http.MethodPost, apiURL, "application/json", `{}`)
		req.Header.Set("Idempotency-Key", "at once")
		all = append(all, harness.Send(s.Client(t, harness.HTTP1), req))
	}
	var first created
	for _, p := range all {
		got := p.Answer(t)
		wantStatus(t, got, http.StatusCreated)
		c := decode[created](t, got)
		if first.ID == "" {
			first = c
		}
		if c != first {
			t.Errorf("%+v, want %+v", c, first)
		}
	}
}

func TestCallbackThatWasMadeSurvivesACrash(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	cfg := withAPI(s, harness.Config{}, "key off")
	s.Start(t, cfg)
	c := s.create(t, `{"responseBody":"kept","data":"kept"}`, "Idempotency-Key", "before the crash")
	s.Kill(t)
	s.Start(t, cfg)
	if again := s.create(t, `{"responseBody":"kept","data":"kept"}`, "Idempotency-Key", "before the crash"); again != c {
		t.Errorf("%+v, want %+v", again, c)
	}
	wantAnswer(t, s.callURL(t, http.MethodPost, c.CallbackURL, strings.Repeat("x", 100<<10)), http.StatusOK, "kept")
	s.Kill(t)
	s.Start(t, cfg)
	d := s.show(t, c.ID)
	if string(d.Data) != `"kept"` || d.LatestCall.Body != strings.Repeat("x", 100<<10) || time.Since(d.LatestCall.ReceivedAt) > time.Hour {
		t.Error("the call is not what was sent")
	}
}

func TestBodyThatIsNoTextIsShownInBase64(t *testing.T) {
	t.Parallel()
	s := openAPI(t, harness.Config{})
	c := s.create(t, `{}`)
	wantStatus(t, s.callURL(t, http.MethodPost, c.CallbackURL, "\xff\x00"), http.StatusOK)
	if d := s.show(t, c.ID); d.LatestCall.Body != "/wA=" || d.LatestCall.BodyEncoding != "base64" {
		t.Errorf("%+v", d.LatestCall)
	}
}
