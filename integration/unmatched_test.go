package integration

import (
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/caddy-callback/caddy-callback/integration/harness"
)

func TestUnmatchedCallsGetTheConfiguredStatus(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.Setenv("CB_KEY", envKey)
	var sites strings.Builder
	statuses := []int{200, 202, 204, 400, 404, 422, 503}
	for _, status := range statuses {
		sites.WriteString(s.Site(fmt.Sprint("s", status), fmt.Sprintf("callback_server {\n\tcorrelation_id json id\n\tunmatched %d\n}\nrespond \"the site\" 418", status)))
	}
	s.Start(t, harness.Config{
		Callback: "key env {env.CB_KEY} send\n",
		Hold:     "key env\ncorrelation_id request header X-Order\n" + showStatus,
		Sites:    sites.String(),
	})
	before := s.metrics(t)
	calls := 0
	for _, status := range statuses {
		url := fmt.Sprintf("http://s%d.test/cb", status)
		// Of nobody's are also events that have no such member, or are no JSON at all.
		for _, body := range []string{`{"id":"nobody's"}`, `{"id":""}`, `{"id":{}}`, `{}`, "no JSON", ""} {
			got := s.callURL(t, http.MethodPost, url, body, append(bearer(envKey), "Content-Type", jsonType)...)
			calls++
			if status >= 400 {
				wantProblem(t, got, status, "unknown-state")
			} else {
				wantAnswer(t, got, status, "")
			}
		}
		wantUnauthorized(t, s.callURL(t, http.MethodPost, url, `{"id":"nobody's"}`), "key-required")
		wantUnauthorized(t, s.callURL(t, http.MethodPost, url, `{"id":"nobody's"}`, bearer("wrong")...), "key-unknown")
		wantAnswer(t, s.look(t, http.MethodHead, url, bearer(envKey)...), http.StatusOK, "")

		x := s.getOrder(t, s.path(), fmt.Sprint("order-", status))
		wantAnswer(t, s.callURL(t, http.MethodPost, url, fmt.Sprintf(`{"id":"order-%d"}`, status), append(bearer(envKey), "Content-Type", jsonType)...), http.StatusOK, "")
		wantStatus(t, x.Answer(t), http.StatusOK)
	}
	s.wantMetrics(t, before, map[string]float64{"unmatched_calls_total": float64(calls)})
}

// A call with no id at all is a mistake, as long as nothing else is said.
func TestCallWithoutAnIDIsRefusedWhereNothingIsSaidOfUnmatchedOnes(t *testing.T) {
	t.Parallel()
	s := keyed(t, harness.Config{})
	wantProblem(t, s.callURL(t, http.MethodPost, fixedURL, "event", bearer(envKey)...), http.StatusBadRequest, "invalid-correlation-id")
}

// event is a call of nobody's, as a site behind callback_server gets it.
type event struct {
	url     string
	key     []string
	body    string
	chunked bool
}

func (e event) request(t *testing.T, p harness.Protocol) *http.Request {
	t.Helper()
	req := harness.NewRequest(t, http.MethodPost, p.URL(e.url), jsonType, e.body)
	if e.chunked {
		req.Body, req.ContentLength = io.NopCloser(strings.NewReader(e.body)), -1
		req.Trailer = http.Header{"X-Sum": {"17"}}
	}
	req.Header["X-Event"] = []string{"invoice.paid"}
	req.Header["Authorization"] = e.key
	return req
}

func TestUnmatchedCallsAreLeftToTheSite(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.NeverLog(envKey)
	s.Setenv("CB_KEY", envKey)
	s.Start(t, harness.Config{
		Callback: "key env {env.CB_KEY} send\nmax_body_size 300KiB\n",
		TLS:      true,
		Private: "handle_path /json/* {\n\tcallback_server {\n\t\tcorrelation_id json id\n\t\tunmatched next\n\t}\n\t" + s.toPartner() + "}\n" +
			"callback_server {\n\tunmatched next\n}\n" + s.toPartner(),
	})
	s.partner.Handle("/cb", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "public")
		w.WriteHeader(http.StatusAccepted)
		_, _ = io.Copy(w, r.Body)
	})
	small, large := `{"id":"evt_1","amount":1}`, `{"text":"`+strings.Repeat("x", 200<<10)+`","id":"evt_2"}`
	before, calls := s.metrics(t), 0
	for _, protocol := range harness.Protocols {
		for name, e := range map[string]event{
			"read": {"/json/cb", bearer(envKey)[1:], small, false}, "read, chunked": {"/json/cb", bearer(envKey)[1:], small, true},
			"read, large": {"/json/cb", bearer(envKey)[1:], large, false}, "read, large and chunked": {"/json/cb", bearer(envKey)[1:], large, true},
			"read, empty": {"/json/cb", bearer(envKey)[1:], "", false}, "read, no JSON": {"/json/cb", bearer(envKey)[1:], "plain", true},
			"unread": {"/cb", bearer(envKey)[1:], small, false}, "unread, chunked": {"/cb", bearer(envKey)[1:], large, true},
			"larger than what is read": {"/cb", bearer(envKey)[1:], strings.Repeat("x", 400<<10), true},
			"key in the URL":           {"/json/cb?a=1&api_key=" + envKey + "&b=2", nil, small, false},
			"another Authorization":    {"/cb?api_key=" + envKey, []string{"Basic dXNlcjpwYXNz"}, small, false},
		} {
			answer := harness.Do(t, s.Client(t, protocol), e.request(t, protocol))
			calls++
			if answer.Status != http.StatusAccepted || string(answer.Body) != e.body {
				t.Fatalf("%s, %s: the site answered %d with %d bytes", protocol, name, answer.Status, len(answer.Body))
			}
			wantHeader(t, answer.Header, "Cache-Control", "public")
			wantHeader(t, answer.Header, "Referrer-Policy")
			got := s.partner.Received(t, "/cb")
			if string(got.Body) != e.body || got.Method != http.MethodPost || strings.Contains(got.URI, envKey) {
				t.Errorf("%s, %s: the site got %s %s with %d bytes", protocol, name, got.Method, got.URI, len(got.Body))
			}
			wantHeader(t, got.Header, "X-Event", "invoice.paid")
			wantHeader(t, got.Header, "Content-Type", jsonType)
			if strings.Contains(fmt.Sprint(got.Header), envKey) {
				t.Errorf("%s, %s: the site got the key: %v", protocol, name, got.Header)
			}
			switch {
			case name == "another Authorization":
				wantHeader(t, got.Header, "Authorization", "Basic dXNlcjpwYXNz")
			case name == "key in the URL" && got.URI != "/cb?a=1&b=2":
				t.Errorf("%s: the site got %s", protocol, got.URI)
			// The client for HTTP/3 sends no trailers.
			case e.chunked && protocol != harness.H3 && got.Trailer.Get("X-Sum") != "17":
				t.Errorf("%s, %s: the site got the trailer %v", protocol, name, got.Trailer)
			case !e.chunked && got.ContentLength != int64(len(e.body)):
				t.Errorf("%s, %s: the site got the length %d", protocol, name, got.ContentLength)
			}
		}
		tooLarge := event{"/json/cb", bearer(envKey)[1:], strings.Repeat("x", 400<<10), false}
		wantProblem(t, harness.Do(t, s.Client(t, protocol), tooLarge.request(t, protocol)), http.StatusRequestEntityTooLarge, "too-large")
		wantUnauthorized(t, harness.Do(t, s.Client(t, protocol), event{"/cb", []string{"Bearer wrong"}, small, false}.request(t, protocol)), "key-unknown")
	}
	s.wantMetrics(t, before, map[string]float64{"unmatched_calls_total": float64(calls)})
	if n := s.partner.Arrived("/cb"); n != 0 {
		t.Errorf("the site got %d more calls", n)
	}
}

// What the site does with a call, an error included, is the site's own.
func TestSiteAnswersUnmatchedCallsInItsOwnWay(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.Setenv("CB_KEY", envKey)
	s.Start(t, harness.Config{
		Callback: "key env {env.CB_KEY} send\n",
		Public:   "callback_server {\n\tunmatched next\n}\nerror \"own\" 418\nhandle_errors {\n\trespond \"own {err.status_code}\"\n}",
		Hold:     "key env\ncorrelation_id request header X-Order",
		Sites: s.Site("chain", "route {\n\tcallback_server {\n\t\tkey env\n\t\tunmatched next\n\t}\n\trespond {method}:{http.request.uri}:{http.request.body} 200\n}") +
			s.Site("alone", "callback_server {\n\tunmatched next\n}"),
	})
	got := s.callFixed(t, "nobody's", "event", bearer(envKey)...)
	wantAnswer(t, got, http.StatusTeapot, "own 418")
	got = s.callURL(t, http.MethodPost, "http://chain.test/cb?x=1", "event", append(bearer(envKey), correlationHeader, "nobody's")...)
	wantAnswer(t, got, http.StatusOK, "POST:/cb?x=1:event")
	wantAnswer(t, s.callURL(t, http.MethodPost, "http://alone.test/cb", "event", bearer(envKey)...), http.StatusOK, "")
	for i := range 3 {
		id := "order-" + strconv.Itoa(i)
		x := s.getOrder(t, s.path(), id)
		wantAnswer(t, s.callFixed(t, id, "paid", bearer(envKey)...), http.StatusOK, "")
		wantAnswer(t, x.Answer(t), http.StatusOK, "paid")
	}
}
