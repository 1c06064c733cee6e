package integration

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/caddy-callback/caddy-callback/integration/harness"
)

func TestSamePayloadAgainGetsTheSameReplyAgain(t *testing.T) {
	t.Parallel()
	s := start(t, harness.Config{Hold: `respond "noted" 201
header X-Seen yes`})
	x := s.get(t)
	for range 3 {
		reply := x.call(t, "text/plain", "paid")
		wantAnswer(t, reply, http.StatusCreated, "noted")
		wantHeader(t, reply.Header, "X-Seen", "yes")
	}
	wantAnswer(t, x.Answer(t), http.StatusOK, "paid")
}

func TestSamePayloadAtOnceIsAcceptedOnceAndRepeated(t *testing.T) {
	t.Parallel()
	s := start(t, harness.Config{Hold: `respond "noted" 201`})
	x := s.get(t)
	client := s.Client(t, harness.HTTP1)
	calls := make([]*harness.Pending, 16)
	for i := range calls {
		calls[i] = harness.Send(client, harness.NewRequest(t, http.MethodPost, x.url, "text/plain", "paid"))
	}
	for _, c := range calls {
		wantAnswer(t, c.Answer(t), http.StatusCreated, "noted")
	}
	wantAnswer(t, x.Answer(t), http.StatusOK, "paid")
}

func TestAnotherPayloadAfterTheFirstIsAConflict(t *testing.T) {
	t.Parallel()
	s := start(t, harness.Config{})
	x := s.get(t)
	x.resolve(t, "paid")
	wantProblem(t, x.call(t, "text/plain", "not paid"), http.StatusConflict, "already-resolved")
	wantProblem(t, x.callWith(t, statusHeader, "Failed", "paid"), http.StatusConflict, "already-resolved")
	query := s.partner.Call(t, http.MethodPost, x.url+"?also=this", "text/plain", "paid")
	wantProblem(t, query, http.StatusConflict, "already-resolved")
	wantAnswer(t, x.Answer(t), http.StatusOK, "paid")
	x.resolve(t, "paid")
}

func TestEveryStateThatIsNotOneLooksTheSame(t *testing.T) {
	t.Parallel()
	s := start(t, harness.Config{})
	x := s.get(t)
	state := x.state()
	unknown := s.partner.Call(t, http.MethodPost, harness.BaseURL+"/cb/00000000-0000-4000-8000-000000000000", "", "")
	wantProblem(t, unknown, http.StatusNotFound, "unknown-state")
	for name, path := range map[string]string{
		"unknown":           "/cb/6f1e62a5-8d0e-4b3c-9d7a-0123456789ab",
		"malformed":         "/cb/hello",
		"too short":         "/cb/" + state[:35],
		"too long":          "/cb/" + state + "0",
		"upper case":        "/cb/" + withUpperCase(state),
		"percent-encoded":   "/cb/" + fmt.Sprintf("%%%02X", state[0]) + state[1:],
		"braces":            "/cb/%7B" + state + "%7D",
		"urn":               "/cb/urn:uuid:" + state,
		"no hyphens":        "/cb/" + strings.ReplaceAll(state, "-", ""),
		"upper case, other": "/CB/" + withUpperCase(state),
		"dots, other":       "/x/../cb/" + state,
		"encoded slash too": "/cb%2F" + state,
		"encoded word":      "/c%62/" + state,
		"dots in capitals":  "//CB/./" + state,
		"something after":   "/cb/" + state + "/more",
		"encoded slash":     "/cb/" + state + "%2F",
		"dots":              "/cb/x/../" + state,
		"query form":        "/cbq/state?state=" + state,
		"correlation id":    "/cb/" + x.received.Header.Get(correlationHeader),
		"state in the path": "/cbq/" + state,
	} {
		t.Run(name, func(t *testing.T) {
			reply := s.partner.Call(t, http.MethodPost, harness.BaseURL+path, "text/plain", "guess")
			wantAnswer(t, reply, http.StatusNotFound, string(unknown.Body))
			for header, values := range unknown.Header {
				if header != "Date" {
					wantHeader(t, reply.Header, header, values...)
				}
			}
			if len(reply.Header) != len(unknown.Header) {
				t.Errorf("the header is %v, for an unknown state it is %v", reply.Header, unknown.Header)
			}
		})
	}
	x.stillWaits(t)
}

// withUpperCase writes a UUID's letters in upper case. A UUID that happens to have no
// letter gets one.
func withUpperCase(state string) string {
	if upper := strings.ToUpper(state); upper != state {
		return upper
	}
	return "A" + state[1:]
}

func TestWrongOrRepeatedParameterIsNotFound(t *testing.T) {
	t.Parallel()
	s := start(t, harness.Config{Hold: "state_query state"})
	x := s.get(t)
	state := x.state()
	for name, test := range map[string]struct{ path, form string }{
		"another parameter":           {path: "/cbq/other?other=" + state},
		"state under another name":    {path: "/cbq/state?other=" + state},
		"repeated with another":       {path: "/cbq/state?state=" + state + "&state=x"},
		"repeated with a known form":  {path: "/cbq/state?state=" + state + "&state=00000000-0000-4000-8000-000000000000"},
		"missing":                     {path: "/cbq/state"},
		"empty":                       {path: "/cbq/state?state="},
		"different in the form":       {path: "/cbq/state", form: "state=" + state + "&state=x"},
		"another in the form":         {path: "/cbq/state?state=" + state, form: "state=00000000-0000-4000-8000-000000000000"},
		"missing in query and form":   {path: "/cbq/state", form: "code=17"},
		"upper case":                  {path: "/cbq/state?state=" + withUpperCase(state)},
		"the form of the plain route": {path: "/cb/" + state},
	} {
		t.Run(name, func(t *testing.T) {
			contentType := ""
			if test.form != "" {
				contentType = "application/x-www-form-urlencoded"
			}
			req := harness.NewRequest(t, http.MethodPost, harness.BaseURL+test.path, contentType, test.form)
			// A form posted there is taken for a person's, unless the browser says otherwise.
			req.Header.Set("Sec-Fetch-Mode", "no-cors")
			wantProblem(t, s.public(t, req), http.StatusNotFound, "unknown-state")
		})
	}
	x.stillWaits(t)
}

// TestStateTwiceIsThatState shows what forms that browsers bring back look like: the state
// is in the address that they post to, and in a field.
func TestStateTwiceIsThatState(t *testing.T) {
	t.Parallel()
	s := start(t, harness.Config{Hold: "state_query RelayState\nredir https://shop.example/in"})
	for name, test := range map[string]struct{ query, form string }{
		"in the query":              {query: "?RelayState=STATE&RelayState=STATE"},
		"in the form":               {form: "RelayState=STATE&a=1&RelayState=STATE"},
		"in the query and the form": {query: "?RelayState=STATE", form: "a=1&RelayState=STATE"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			x := s.get(t)
			fill := strings.NewReplacer("STATE", x.state())
			reply := s.callURL(t, http.MethodPost, harness.BaseURL+"/cbq/RelayState"+fill.Replace(test.query), fill.Replace(test.form), "Content-Type", "application/x-www-form-urlencoded")
			wantStatus(t, reply, http.StatusSeeOther)
			if got := x.Answer(t); strings.Contains(string(got.Body), x.state()) {
				t.Errorf("the client got %q", got.Body)
			}
		})
	}
}

// TestAnotherQueryAppendedIsTheRestOfTheQuery shows what partners make of a callback URL
// that has a query already.
func TestAnotherQueryAppendedIsTheRestOfTheQuery(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.Setenv("CB_KEY", envKey)
	s.Start(t, harness.Config{Callback: "key env {env.CB_KEY} send", Private: harness.Hold("/key/*", "", "key include\nrespond \"{http.callback.call.query.paid}\"") +
		harness.Hold("/named/*", "", "key env\nrespond \"{http.callback.call.query.paid}\"") +
		s.HoldAndForward("/state/*", "", "state_query state\nrespond \"{http.callback.call.query.paid}\"")})
	for _, appended := range []string{"?paid=yes", "?paid=yes&b=2", "?a=1&paid=yes", "%3Fpaid%3Dyes", "?&paid=yes"} {
		for _, path := range []string{"/key", "/named", "/state"} {
			t.Run(path+appended, func(t *testing.T) {
				t.Parallel()
				x := s.forward(t, harness.HTTP1, harness.NewRequest(t, http.MethodGet, harness.HTTP1.URL(path+s.path()), "", ""))
				url := x.url
				if path == "/named" {
					url += "?api_key=" + envKey
				}
				wantAnswer(t, s.partner.Call(t, http.MethodPost, url+appended, "text/plain", "paid"), http.StatusOK, "yes")
				wantAnswer(t, x.Answer(t), http.StatusOK, "paid")
			})
		}
	}
}

func TestLooksAndPrefetchesNeverCountAsCalls(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.Start(t, harness.Config{Private: harness.Hold("/plain/*", "", "") + harness.Hold("/redir/*", "", "redir https://shop.example/") +
		s.HoldAndForward("/both/*", "", "redir https://shop.example/\nrespond ok")})
	for _, kind := range []string{"plain", "redir", "both"} {
		for name, test := range map[string]struct {
			method string
			header http.Header
			status int
		}{
			"HEAD":                  {http.MethodHead, nil, http.StatusOK},
			"OPTIONS":               {http.MethodOptions, nil, http.StatusNoContent},
			"TRACE":                 {"TRACE", nil, http.StatusMethodNotAllowed},
			"CORS":                  {http.MethodOptions, http.Header{"Origin": {"https://shop.example"}, "Access-Control-Request-Method": {"POST"}}, http.StatusMethodNotAllowed},
			"Sec-Purpose":           {http.MethodGet, http.Header{"Sec-Purpose": {"prefetch"}}, http.StatusMethodNotAllowed},
			"Sec-Purpose prerender": {http.MethodGet, http.Header{"Sec-Purpose": {"prefetch;prerender"}}, http.StatusMethodNotAllowed},
			"Purpose":               {http.MethodGet, http.Header{"Purpose": {"prefetch"}}, http.StatusMethodNotAllowed},
		} {
			if kind == "both" && test.method == http.MethodGet {
				continue // With both replies, GET is a person's return, which changes nothing anyway.
			}
			t.Run(kind+" "+name, func(t *testing.T) {
				t.Parallel()
				url := harness.HTTP1.URL("/" + kind + s.path())
				x := s.forward(t, harness.HTTP1, harness.NewRequest(t, http.MethodGet, url, "", ""))
				req := harness.NewRequest(t, test.method, x.url, "", "")
				for name, values := range test.header {
					req.Header[name] = values
				}
				look := s.public(t, req)
				if test.status == http.StatusMethodNotAllowed {
					wantProblem(t, look, test.status, "method-not-allowed")
				} else {
					wantAnswer(t, look, test.status, "")
				}
				if !strings.Contains(look.Header.Get("Allow"), http.MethodPost) {
					t.Errorf("Allow is %q", look.Header.Get("Allow"))
				}
				if reply := x.call(t, "text/plain", "the call"); reply.Status >= http.StatusBadRequest {
					t.Errorf("the call got %d: %s", reply.Status, short(reply.Body))
				}
				wantAnswer(t, x.Answer(t), http.StatusOK, "the call")
			})
		}
	}
}

func TestGetDoesNotCountWithoutARedirect(t *testing.T) {
	t.Parallel()
	s := start(t, harness.Config{})
	x := s.get(t)
	refused := s.fetch(t, x.url)
	wantProblem(t, refused, http.StatusMethodNotAllowed, "method-not-allowed")
	wantMethods(t, refused, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodHead, http.MethodOptions)
	x.stillWaits(t)
}

func TestCorrelationIDThatDoesNotMatchIsRefused(t *testing.T) {
	t.Parallel()
	s := start(t, harness.Config{})
	x := s.get(t)
	wantProblem(t, x.callWith(t, correlationHeader, "another", "paid"), http.StatusBadRequest, "correlation-mismatch")
	wantStatus(t, x.callWith(t, correlationHeader, x.received.Header.Get(correlationHeader), "paid"), http.StatusOK)
	wantAnswer(t, x.Answer(t), http.StatusOK, "paid")
}

func TestStatusMustBeOkOrFailed(t *testing.T) {
	t.Parallel()
	s := start(t, harness.Config{})
	x := s.get(t)
	for _, status := range []string{"Maybe", "200", "Ok, Failed", ""} {
		wantProblem(t, x.callWith(t, statusHeader, status, "paid"), http.StatusBadRequest, "invalid-status")
	}
	wantStatus(t, x.callWith(t, statusHeader, "oK", "paid"), http.StatusOK)
	wantAnswer(t, x.Answer(t), http.StatusOK, "paid")
}

func TestFailedCallTellsTheClientWhy(t *testing.T) {
	t.Parallel()
	s := start(t, harness.Config{})
	x := s.get(t)
	req := harness.NewRequest(t, http.MethodPost, x.url, "text/plain", "the partner's own words")
	for name, value := range map[string]string{
		statusHeader: "FAILED", "X-Link-Document-Status": "Rejected", "X-Link-Error-Code": "E17", "X-Link-Error-Text": "no stock",
	} {
		req.Header.Set(name, value)
	}
	wantAnswer(t, s.public(t, req), http.StatusOK, "")

	answer := x.Answer(t)
	p := wantProblem(t, answer, http.StatusFailedDependency, "failed")
	if p.DocumentStatus != "Failed" || p.TechnicalStatus != "Rejected" || p.ErrorCode != "E17" || p.ErrorText != "no stock" {
		t.Errorf("the problem document is %+v", p)
	}
	wantHeader(t, answer.Header, correlationHeader, x.received.Header.Get(correlationHeader))
	wantHeader(t, answer.Header, statusHeader, "Failed")
	wantHeader(t, answer.Header, "X-Link-Document-Status", "Failed")
	wantHeader(t, answer.Header, "X-Link-Technical-Status", "Rejected")
	wantHeader(t, answer.Header, "X-Link-Error-Code", "E17")
	wantHeader(t, answer.Header, "X-Link-Error-Text", "no stock")
}

func TestBodyOverTheLimitIsRefused(t *testing.T) {
	t.Parallel()
	s := start(t, harness.Config{Callback: "max_body_size 4KiB"})
	for _, unsized := range []bool{false, true} {
		x := s.get(t)
		req, _ := shape{method: http.MethodPost, body: strings.Repeat("x", 4<<10+1), unsized: unsized}.request(t, x.url)
		wantProblem(t, s.public(t, req), http.StatusRequestEntityTooLarge, "too-large")
		wantStatus(t, x.call(t, "", strings.Repeat("x", 4<<10)), http.StatusOK)
		wantAnswer(t, x.Answer(t), http.StatusOK, strings.Repeat("x", 4<<10))
	}
}

func TestBodyCutShortIsRefused(t *testing.T) {
	t.Parallel()
	s := start(t, harness.Config{})
	for name, message := range map[string]string{
		"announced": "Content-Length: 100\r\n\r\nonly this",
		"chunked":   "Transfer-Encoding: chunked\r\n\r\n9\r\nonly this\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			x := s.get(t)
			path := strings.TrimPrefix(x.url, harness.BaseURL)
			wantProblem(t, s.raw(t, "POST "+path+" HTTP/1.1\r\nHost: callbacks.test\r\n"+message), http.StatusBadRequest, "cut-short")
			x.stillWaits(t)
		})
	}
}

// raw sends bytes to the public site, closes its side of the connection, and reads
// the response.
func (s *stage) raw(t *testing.T, message string) *harness.Response {
	t.Helper()
	conn := s.dial(t, "callbacks")
	if err := conn.SetDeadline(time.Now().Add(harness.Patience)); err != nil {
		t.Fatal(err)
	}
	// A server may refuse a request before it has read all of it.
	go func() {
		_, _ = io.WriteString(conn, message)
		_ = conn.CloseWrite()
	}()
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return &harness.Response{Status: resp.StatusCode, Header: resp.Header, Body: body}
}

func TestErrorsOfTheServerAreNotLeftToTheSite(t *testing.T) {
	t.Parallel()
	s := start(t, harness.Config{Public: "callback_server\nhandle_errors {\n\trespond \"the site's own\" 418\n}"})
	reply := s.partner.Call(t, http.MethodPost, harness.BaseURL+"/cb/00000000-0000-4000-8000-000000000000", "", "")
	wantProblem(t, reply, http.StatusNotFound, "unknown-state")
}

func TestBodyOfAStrangerIsNotWaitedFor(t *testing.T) {
	t.Parallel()
	s := start(t, harness.Config{})
	conn := s.dial(t, "callbacks")
	if err := conn.SetDeadline(time.Now().Add(harness.Patience)); err != nil {
		t.Fatal(err)
	}
	const head = "POST /cb/00000000-0000-4000-8000-000000000000 HTTP/1.1\r\nHost: callbacks.test\r\nContent-Length: 5000000\r\n\r\n"
	if _, err := io.WriteString(conn, head); err != nil {
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusNotFound {
		t.Errorf("the status is %d", resp.StatusCode)
	}
}
