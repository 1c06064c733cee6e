package integration

import (
	"net/http"
	"strings"
	"testing"

	"github.com/caddy-callback/caddy-callback/integration/harness"
)

// Requests that a directive is not for go through untouched: with the headers that it speaks,
// with the client's Prefer, and with their bodies.
func TestRequestsThatAreNotMeantGoThroughUntouched(t *testing.T) {
	t.Parallel()
	s := start(t, harness.Config{Hold: "only json background true"})
	for name, c := range map[string]struct{ contentType, body string }{
		"says something else": {jsonType, `{"background":false}`},
		"says nothing":        {jsonType, `{}`},
		"no JSON":             {jsonType, `{"background":true`},
		"another type":        {"text/plain", `{"background":true}`},
		"no body":             {"", ""},
	} {
		path := s.path()
		s.partner.Handle(path, harness.Ack(http.StatusAccepted, nil, "the upstream's own"))
		req := harness.NewRequest(t, http.MethodPost, harness.HTTP1.URL(path), c.contentType, c.body)
		req.Header.Set("Prefer", "respond-async")
		req.Header.Set(correlationHeader, "the client's")
		x := s.forward(t, harness.HTTP1, req)
		wantAnswer(t, x.Answer(t), http.StatusAccepted, "the upstream's own")
		if string(x.received.Body) != c.body || x.received.Header.Get("Prefer") != "respond-async" || x.received.Header.Get(correlationHeader) != "the client's" {
			t.Errorf("%s: the upstream got %v %s", name, x.received.Header, x.received.Body)
		}
	}
	x := s.post(t, jsonType, `{"background":true}`)
	x.stillWaits(t)
}

// What cannot say it is not even read: it may be larger than what is, and switch protocols.
func TestRequestsThatCannotBeMeantAreNotRead(t *testing.T) {
	t.Parallel()
	s := start(t, harness.Config{Callback: "max_body_size 1MiB", Hold: "only json background true"})
	large := strings.Repeat("0123456789abcdef", 2<<20/16)
	for name, header := range map[string][]string{
		"an upload":         {"Content-Type", "application/octet-stream"},
		"a large document":  {"Content-Type", jsonType},
		"another protocol":  {"Connection", "Upgrade", "Upgrade", "websocket"},
		"in pieces":         {"Content-Type", "application/octet-stream"},
		"asks first":        {"Content-Type", "application/octet-stream", "Expect", "100-continue"},
		"in early data yet": {"Content-Type", "application/octet-stream", "Early-Data", "1"},
	} {
		path, body := s.path(), large
		if name == "another protocol" {
			body = ""
		}
		s.partner.Handle(path, harness.Ack(http.StatusAccepted, nil, "the upstream's own"))
		req := harness.NewRequest(t, http.MethodPost, harness.HTTP1.URL(path), "", body)
		for i := 0; i < len(header); i += 2 {
			req.Header.Set(header[i], header[i+1])
		}
		if name == "in pieces" {
			req.ContentLength = -1
		}
		x := s.forward(t, harness.HTTP1, req)
		wantAnswer(t, x.Answer(t), http.StatusAccepted, "the upstream's own")
		if string(x.received.Body) != body {
			t.Errorf("%s: the upstream got %d bytes", name, len(x.received.Body))
		}
	}
}

func TestAllThatARequestMustSayCounts(t *testing.T) {
	t.Parallel()
	s := start(t, harness.Config{Hold: "only header X-Async 1 yes\nonly query kind"})
	for target, held := range map[string]bool{"?kind=a": true, "?kind=": false, "": false} {
		path := s.path()
		s.partner.Handle(path, harness.Ack(http.StatusAccepted, nil, "the upstream's own"))
		req := harness.NewRequest(t, http.MethodPost, harness.HTTP1.URL(path)+target, "", "")
		req.Header.Set("X-Async", "yes")
		x := s.forward(t, harness.HTTP1, req)
		if got := x.url != ""; got != held {
			t.Errorf("%q: a callback URL was given: %v", target, got)
		}
	}
}

func TestPreferGoesOnWhereItIsNotOurs(t *testing.T) {
	t.Parallel()
	s := start(t, harness.Config{Hold: "prefer off"})
	x := s.prefer(t, "respond-async, wait=1")
	wantHeader(t, x.received.Header, "Prefer", "respond-async, wait=1")
	x.resolve(t, "an answer")
	got := x.Answer(t)
	wantAnswer(t, got, http.StatusOK, "an answer")
	wantHeader(t, got.Header, "Vary")
	wantHeader(t, got.Header, "Preference-Applied")
}
