package integration

import (
	"bytes"
	"encoding/hex"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	trace "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/caddy-callback/caddy-callback/integration/harness"
)

// spans is a collector: what Caddy's directive tracing has sent to it.
type spans struct {
	*httptest.Server
	mu  sync.Mutex
	all []*trace.Span
	raw bytes.Buffer
}

// newSpans starts a collector that speaks OTLP over HTTP, and lets the server send to it.
func newSpans(t *testing.T, s *stage) *spans {
	t.Helper()
	c := new(spans)
	c.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		var request collector.ExportTraceServiceRequest
		if err == nil {
			err = proto.Unmarshal(body, &request)
		}
		if err != nil || r.URL.Path != "/v1/traces" {
			t.Errorf("%s %s: %v", r.Method, r.URL, err)
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		c.raw.Write(body)
		for _, resource := range request.GetResourceSpans() {
			for _, scope := range resource.GetScopeSpans() {
				c.all = append(c.all, scope.GetSpans()...)
			}
		}
		w.Header().Set("Content-Type", "application/x-protobuf")
	}))
	t.Cleanup(c.Close)
	for name, value := range map[string]string{
		"OTEL_EXPORTER_OTLP_ENDPOINT": c.URL, "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf", "OTEL_BSP_SCHEDULE_DELAY": "20", "OTEL_METRICS_EXPORTER": "none",
	} {
		s.Setenv(name, value)
	}
	return c
}

// named returns the spans with a name, the oldest first.
func (c *spans) named(name string) (all []*trace.Span) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range c.all {
		if s.GetName() == name {
			all = append(all, s)
		}
	}
	slices.SortFunc(all, func(a, b *trace.Span) int { return int(a.GetStartTimeUnixNano()) - int(b.GetStartTimeUnixNano()) })
	return all
}

// wait waits until there are so many spans with a name.
func (c *spans) wait(t *testing.T, name string, n int) (all []*trace.Span) {
	t.Helper()
	harness.Eventually(t, "the collector has "+name, func() bool {
		all = c.named(name)
		return len(all) >= n
	})
	if len(all) != n {
		t.Errorf("there are %d spans %s, and not %d", len(all), name, n)
	}
	return all
}

// wantNever makes sure that nothing of what was sent has one of the texts in it.
func (c *spans) wantNever(t *testing.T, texts ...string) {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, text := range texts {
		if len(text) < 8 {
			t.Fatalf("%q is no secret", text)
		}
		if bytes.Contains(c.raw.Bytes(), []byte(text)) {
			t.Errorf("the collector got %q", text)
		}
	}
}

// attributes returns what a span says.
func attributes(s *trace.Span) map[string]any {
	all := make(map[string]any)
	for _, a := range s.GetAttributes() {
		switch v := a.GetValue(); {
		case v.GetStringValue() != "":
			all[a.GetKey()] = v.GetStringValue()
		default:
			all[a.GetKey()] = v.GetIntValue()
		}
	}
	return all
}

// wantSays checks some of the attributes of a span.
func wantSays(t *testing.T, s *trace.Span, want map[string]any) {
	t.Helper()
	got := attributes(s)
	for key, value := range want {
		if got[key] != value {
			t.Errorf("%s: %s is %v, want %v", s.GetName(), key, got[key], value)
		}
	}
}

// wantBelow checks that a span is a child of another one.
func wantBelow(t *testing.T, s, above *trace.Span) {
	t.Helper()
	if !bytes.Equal(s.GetTraceId(), above.GetTraceId()) || !bytes.Equal(s.GetParentSpanId(), above.GetSpanId()) {
		t.Errorf("%s is not below %s", s.GetName(), above.GetName())
	}
}

// wantLinked checks that a span is linked to another one, and to nothing else.
func wantLinked(t *testing.T, s, to *trace.Span) {
	t.Helper()
	if len(s.GetLinks()) != 1 || !bytes.Equal(s.GetLinks()[0].GetTraceId(), to.GetTraceId()) || !bytes.Equal(s.GetLinks()[0].GetSpanId(), to.GetSpanId()) {
		t.Errorf("%s has the links %v, and should have one to %s", s.GetName(), s.GetLinks(), to.GetName())
	}
}

// wantNamed checks that a message names a span.
func wantNamed(t *testing.T, header http.Header, s *trace.Span) {
	t.Helper()
	want := "00-" + hex.EncodeToString(s.GetTraceId()) + "-" + hex.EncodeToString(s.GetSpanId()) + "-01"
	if got := header["Traceparent"]; !slices.Equal(got, []string{want}) {
		t.Errorf("the message names %q, and %s is %s", got, s.GetName(), want)
	}
}

const clientsTrace = "0123456789abcdef0123456789abcdef"

// traced is a public site whose requests are traced.
const traced = "tracing {\n\tspan public\n}\ncallback_server\n"

func TestHoldAndItsCallAreTraced(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	c := newSpans(t, s)
	s.Start(t, harness.Config{Public: traced, Private: "tracing {\n\tspan private\n}\n" + s.HoldAndForward("", "", "name orders")})
	req := harness.NewRequest(t, http.MethodPost, harness.HTTP1.URL(s.path()), "text/plain", "secret order")
	req.Header.Set("Traceparent", "00-"+clientsTrace+"-0123456789abcdef-01")
	x := s.forward(t, harness.HTTP1, req)
	upstream := c.wait(t, "callback upstream", 1)[0]
	wantNamed(t, x.received.Header, upstream)
	if len(c.named("callback hold")) > 0 {
		t.Error("the hold's span has ended while it is held")
	}
	got := x.callWithAll(t, "text/plain", "secret answer", "Traceparent", "00-"+strings.Repeat("1", 32)+"-"+strings.Repeat("2", 16)+"-01")
	wantStatus(t, got, http.StatusOK)
	wantAnswer(t, x.Answer(t), http.StatusOK, "secret answer")

	hold, private, public := c.wait(t, "callback hold", 1)[0], c.wait(t, "private", 1)[0], c.wait(t, "public", 1)[0]
	if hex.EncodeToString(private.GetTraceId()) != clientsTrace {
		t.Errorf("the trace is %x", private.GetTraceId())
	}
	wantBelow(t, hold, private)
	wantBelow(t, upstream, hold)
	id := attributes(hold)["callback.id"]
	wantSays(t, hold, map[string]any{"callback.id": id, "callback.name": "orders", "callback.phase": "resolved"})
	wantSays(t, upstream, map[string]any{"callback.outcome": "answered", "http.response.status_code": int64(http.StatusAccepted)})
	call := c.wait(t, "callback call", 1)[0]
	wantBelow(t, call, public)
	wantLinked(t, call, hold)
	wantSays(t, call, map[string]any{"callback.id": id, "callback.name": "orders", "callback.phase": "resolved"})
	wantSays(t, public, map[string]any{"url.path": "/cb/***"})
	c.wantNever(t, x.state(), "secret order", "secret answer")
}

func TestJobsAndDeliveriesAreTracedAndLinked(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	c, g := newSpans(t, s), newTarget(t, http.StatusInternalServerError)
	s.Start(t, harness.Config{Public: traced, Private: "tracing\ncallback park {\n\tname orders\n\tcall {\n\t\t" + s.toPartner() + "\t}\n\tthen {\n\t\trewrite /then\n\t\t" + s.toPartner() +
		"\t}\n\tdeliver {\n\t\tto " + g.URL + "\n\t\tallow " + g.URL + "\n\t\tretry 10ms\n\t}\n}\n"})
	s.partner.Handle("/then", harness.Ack(http.StatusOK, nil, "done"))
	x := s.post(t, "application/json", `{"a":1}`)
	p := s.wantParked(t, x.Answer(t))
	park := c.wait(t, "callback park", 1)[0]
	wantSays(t, park, map[string]any{"callback.id": p.ID, "callback.phase": "waiting"})
	wantNamed(t, x.received.Header, c.wait(t, "callback job", 1)[0])
	x.resolve(t, `{"b":2}`)
	wantLinked(t, c.wait(t, "callback call", 1)[0], park)
	failed, delivered := g.delivered(t), g.delivered(t)

	jobs, deliveries := c.wait(t, "callback job", 2), c.wait(t, "callback delivery", 2)
	for _, span := range slices.Concat(jobs, deliveries) {
		wantLinked(t, span, park)
		wantSays(t, span, map[string]any{"callback.id": p.ID, "callback.name": "orders"})
		if len(span.GetParentSpanId()) > 0 || bytes.Equal(span.GetTraceId(), park.GetTraceId()) {
			t.Errorf("%s is no trace of its own", span.GetName())
		}
	}
	wantSays(t, jobs[0], map[string]any{"callback.block": "call", "callback.outcome": "accepted", "callback.attempt": int64(1)})
	wantSays(t, jobs[1], map[string]any{"callback.block": "then", "callback.outcome": "answered", "http.response.status_code": int64(http.StatusOK)})
	wantNamed(t, s.partner.Received(t, "/then").Header, jobs[1])
	wantNamed(t, failed.Header, deliveries[0])
	wantNamed(t, delivered.Header, deliveries[1])
	wantSays(t, deliveries[0], map[string]any{"http.response.status_code": int64(http.StatusInternalServerError), "callback.attempt": int64(1)})
	wantSays(t, deliveries[1], map[string]any{"http.response.status_code": int64(http.StatusOK), "callback.attempt": int64(2)})
	if deliveries[0].GetStatus().GetCode() != trace.Status_STATUS_CODE_ERROR || deliveries[1].GetStatus().GetCode() == trace.Status_STATUS_CODE_ERROR {
		t.Errorf("the deliveries have the statuses %v and %v", deliveries[0].GetStatus(), deliveries[1].GetStatus())
	}
	wantStatus(t, s.fetch(t, p.StatusURL), http.StatusOK)
	c.wait(t, "public", 2)
	c.wantNever(t, x.state(), anyUUID.FindString(p.StatusURL), g.Listener.Addr().String())
}

func TestRefusedCallsAreTracedWithoutWhatTheyShow(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	c := newSpans(t, s)
	const key = "key-of-the-partner-1"
	s.Setenv("CB_KEY", key)
	s.Start(t, harness.Config{Callback: "key partner {env.CB_KEY} send", Public: traced, Private: "tracing\n" + s.HoldAndForward("", "", "name orders\nkey partner\nstate_query state")})
	x := s.get(t)
	unknown := "/cb/00000000-0000-4000-8000-00000000000a"
	wantProblem(t, s.fetch(t, harness.BaseURL+unknown), http.StatusNotFound, "unknown-state")
	wantStatus(t, x.callWithAll(t, "text/plain", "no key"), http.StatusUnauthorized)
	wantStatus(t, x.callWithAll(t, "text/plain", "wrong", "Authorization", "Bearer key-that-is-wrong"), http.StatusUnauthorized)
	wantStatus(t, s.callURL(t, http.MethodPost, x.url+"&api_key="+key, "yes"), http.StatusOK)
	wantAnswer(t, x.Answer(t), http.StatusOK, "yes")
	calls, hold := c.wait(t, "callback call", 4), c.wait(t, "callback hold", 1)[0]
	if len(calls[0].GetLinks()) > 0 {
		t.Errorf("a call to nobody is linked: %v", calls[0].GetLinks())
	}
	wantSays(t, calls[0], map[string]any{"error.type": "unknown-state"})
	for i, call := range calls[1:] {
		wantLinked(t, call, hold)
		if i < 2 {
			wantSays(t, call, map[string]any{"callback.phase": "waiting"})
		}
	}
	c.wait(t, "public", 4)
	c.wantNever(t, x.state(), key, "key-that-is-wrong", unknown[4:])
}

// Where nothing is traced, a trace goes on as the client gave it, and nothing is sent.
func TestNothingIsTracedWithoutTheDirective(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	c := newSpans(t, s)
	s.Start(t, harness.Config{})
	req := harness.NewRequest(t, http.MethodGet, harness.HTTP1.URL(s.path()), "", "")
	parent := "00-" + clientsTrace + "-0123456789abcdef-01"
	req.Header.Set("Traceparent", parent)
	x := s.forward(t, harness.HTTP1, req)
	wantHeader(t, x.received.Header, "Traceparent", parent)
	x.resolve(t, "yes")
	s.Terminate(t)
	s.Exited(t, harness.Patience)
	if c.raw.Len() > 0 {
		t.Errorf("the collector got %d bytes", c.raw.Len())
	}
}
