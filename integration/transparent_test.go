package integration

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/caddy-callback/caddy-callback/integration/harness"
)

// transparent returns a stage whose clients see the upstream's own acks, and a target for the
// results.
func transparent(t *testing.T, lines string) (*stage, *target) {
	t.Helper()
	g := newTarget(t)
	return startParked(t, shows(g, lines)), g
}

// shows returns the options by which clients see the upstream's own acks.
func shows(g *target, lines string) string {
	return "name jobs\nanswer ack\n" + lines + "\ndeliver {\nfrom json webhook\nallow " + g.URL + "\n}"
}

// orders sends a request with a URL for the result to an upstream that answers so.
func (s *stage) orders(t *testing.T, url string, ack http.HandlerFunc, lines ...string) *exchange {
	t.Helper()
	path := s.path()
	s.partner.Handle(path, ack)
	req := harness.NewRequest(t, http.MethodPost, harness.HTTP1.URL(path), jsonType, fmt.Sprintf(`{"a":1,"webhook":%q}`, url))
	for i := 0; i < len(lines); i += 2 {
		req.Header.Set(lines[i], lines[i+1])
	}
	x := s.forward(t, harness.HTTP1, req)
	_, x.url, _ = strings.Cut(string(x.received.Body), `"webhook":"`)
	x.url = strings.TrimSuffix(x.url, `"}`)
	return x
}

func TestClientGetsTheUpstreamsOwnAck(t *testing.T) {
	t.Parallel()
	s, g := transparent(t, "")
	ack := harness.Ack(http.StatusCreated, http.Header{"Content-Type": {"application/vnd.job+json"}, "Location": {"/jobs/7"}, "Link": {"</jobs>; rel=\"up\""}}, `{"id":"7"}`)
	x := s.orders(t, g.URL+"/hooks", ack, "Prefer", "wait=3")
	got := x.Answer(t)
	wantAnswer(t, got, http.StatusCreated, `{"id":"7"}`)
	wantHeader(t, got.Header, "Content-Type", "application/vnd.job+json")
	wantHeader(t, got.Header, "Location", "/jobs/7")
	wantHeader(t, got.Header, "Vary")
	wantHeader(t, x.received.Header, "Prefer", "wait=3")
	links := got.Header.Values("Link")
	if len(links) != 2 || !strings.Contains(links[1], `rel="status"`) {
		t.Fatalf("Link is %q", links)
	}
	status := strings.Trim(strings.TrimSuffix(links[1], `; rel="status"`), "<>")
	s.NeverLog(anyUUID.FindString(status))
	x.resolve(t, "the result")
	if d := g.delivered(t); string(d.Body) != "the result" || d.URI != "/hooks" {
		t.Errorf("delivered %s %s", d.URI, d.Body)
	}
	wantAnswer(t, s.fetch(t, status+"/result"), http.StatusOK, "the result")
}

func TestFailedCallIsDeliveredWithItsOwnBodyWhereTheSidecarIsTransparent(t *testing.T) {
	t.Parallel()
	s, g := transparent(t, "failed json status failed")
	x := s.orders(t, g.URL, harness.Ack(http.StatusCreated, nil, "{}"))
	wantStatus(t, x.Answer(t), http.StatusCreated)
	wantStatus(t, x.call(t, jsonType, `{"status":"failed"}`), http.StatusOK)
	if d := g.delivered(t); string(d.Body) != `{"status":"failed"}` {
		t.Errorf("delivered %s", d.Body)
	}
}

func TestRequestWithoutAURLGoesThroughTransparently(t *testing.T) {
	t.Parallel()
	s, _ := transparent(t, "")
	for contentType, body := range map[string]string{jsonType: `{"a":1}`, "text/plain": "text", "": ""} {
		path := s.path()
		s.partner.Handle(path, harness.Ack(http.StatusOK, nil, "at once"))
		req := harness.NewRequest(t, http.MethodPost, harness.HTTP1.URL(path), contentType, body)
		req.Header.Set("Prefer", "wait=3")
		x := s.forward(t, harness.HTTP1, req)
		wantAnswer(t, x.Answer(t), http.StatusOK, "at once")
		if string(x.received.Body) != body || x.received.Header.Get(callbackHeader) != "" {
			t.Errorf("the upstream got %v %s", x.received.Header, x.received.Body)
		}
	}
}

func TestRepeatedRequestGetsTheSameAck(t *testing.T) {
	t.Parallel()
	s, g := transparent(t, "")
	x := s.orders(t, g.URL, harness.Ack(http.StatusCreated, http.Header{"X-Job": {"7"}}, `{"id":"7"}`), "Idempotency-Key", "k1")
	wantAnswer(t, x.Answer(t), http.StatusCreated, `{"id":"7"}`)
	again := func() {
		t.Helper()
		req := harness.NewRequest(t, http.MethodPost, harness.HTTP1.URL(strings.Split(x.received.URI, "?")[0]), jsonType, fmt.Sprintf(`{"a":1,"webhook":%q}`, g.URL))
		req.Header.Set("Idempotency-Key", "k1")
		got := s.again(t, req).Answer(t)
		wantAnswer(t, got, http.StatusCreated, `{"id":"7"}`)
		wantHeader(t, got.Header, "X-Job", "7")
	}
	again()
	x.resolve(t, "the result")
	g.delivered(t)
	again()
	s.Kill(t)
	s.Start(t, harness.Config{Private: s.parks(shows(g, ""))})
	again()
	s.wantArrivals(t, strings.Split(x.received.URI, "?")[0], 0)
}

// A callback that overtakes its ack changes nothing for the client.
func TestAckIsAwaitedThoughTheCallCameBefore(t *testing.T) {
	t.Parallel()
	s, g := transparent(t, "")
	goOn := make(chan struct{})
	x := s.orders(t, g.URL, func(w http.ResponseWriter, _ *http.Request) {
		<-goOn
		w.WriteHeader(http.StatusCreated)
		_, _ = w.Write([]byte("the ack"))
	})
	x.resolve(t, "the result")
	close(goOn)
	wantAnswer(t, x.Answer(t), http.StatusCreated, "the ack")
	if d := g.delivered(t); string(d.Body) != "the result" {
		t.Errorf("delivered %s", d.Body)
	}
}
