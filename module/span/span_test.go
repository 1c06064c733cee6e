package span

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"

	"go.opentelemetry.io/otel/attribute"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"
)

const parent = "00-0123456789abcdef0123456789abcdef-0123456789abcdef-01"

// traced returns a request below a span as Caddy makes it, and what is recorded.
func traced(t *testing.T, options ...sdk.TracerProviderOption) (*http.Request, trace.Span, *tracetest.SpanRecorder, *sdk.TracerProvider) {
	t.Helper()
	recorder := tracetest.NewSpanRecorder()
	p := sdk.NewTracerProvider(append(options, sdk.WithSpanProcessor(recorder))...)
	ctx, span := p.Tracer("caddy").Start(context.Background(), "handler", trace.WithAttributes(
		attribute.String("url.path", "/mounted/cb/11111111-1111-4111-8111-111111111111"), attribute.String("url.query", "state=secret"),
		attribute.String("http.request.method", "POST"), attribute.Int("server.port", 443)))
	r := httptest.NewRequest(http.MethodPost, "/cb/11111111-1111-4111-8111-111111111111?state=secret", nil).WithContext(ctx)
	return r, span, recorder, p
}

func TestNothingIsDoneWhereNothingIsTraced(t *testing.T) {
	r := httptest.NewRequest(http.MethodPost, "/", nil)
	r.Header.Set("Traceparent", parent)
	same, s := Begin(r, Hold)
	if same != r || s != nil || Current(r.Context()) != nil || r.Header.Get("Traceparent") != parent {
		t.Error("a span has begun")
	}
	s.Set("callback.id", "x")
	s.SetInt(Status, 200)
	s.Of(nil, "orders")
	s.Fail("timeout", true)
	s.Link(parent)
	s.Carry(r.Header)
	s.End()
	Hide(r, "/cb/***")
	if n := testing.AllocsPerRun(100, func() { _, s = Begin(r, Hold) }); n > 0 || s != nil {
		t.Errorf("that costs %v allocations", n)
	}
}

func TestSpanIsBelowThatOfItsRequestAndIsNamedInTheHeader(t *testing.T) {
	t.Parallel()
	r, above, recorder, _ := traced(t)
	r.Header.Set("Traceparent", parent)
	r.Header.Set("Tracestate", "vendor=1")
	r.Header.Set("Baggage", "tenant=7")
	r, s := Begin(r, Call)
	s.Link(parent)
	s.Link("")
	s.Link("garbage")
	s.Link("00-" + s.span.SpanContext().TraceID().String() + "-" + s.span.SpanContext().SpanID().String() + "-01")
	s.Of(stringer("id-1"), "orders")
	s.Fail("key-required", false)
	s.SetInt(Status, 0)
	s.Set("callback.phase", "")
	if c := Current(r.Context()); c.span != s.span {
		t.Error("the context has another span")
	}
	s.End()
	got := recorder.Ended()[0]
	if got.Name() != "callback call" || got.Parent().SpanID() != above.SpanContext().SpanID() {
		t.Errorf("it is %s below %s", got.Name(), got.Parent().SpanID())
	}
	want := []attribute.KeyValue{attribute.String("callback.id", "id-1"), attribute.String("callback.name", "orders"), attribute.String("error.type", "key-required")}
	if !slices.Equal(got.Attributes(), want) {
		t.Errorf("it says %v", got.Attributes())
	}
	if links := got.Links(); len(links) != 1 || links[0].SpanContext.SpanID().String() != "0123456789abcdef" {
		t.Errorf("it is linked to %v", links)
	}
	c := got.SpanContext()
	if name := r.Header.Get("Traceparent"); name != "00-"+c.TraceID().String()+"-"+c.SpanID().String()+"-01" {
		t.Errorf("the header names %s", name)
	}
	if r.Header.Get("Tracestate") != "" || r.Header.Get("Baggage") != "tenant=7" {
		t.Errorf("the header is %v", r.Header)
	}
}

type stringer string

func (s stringer) String() string { return string(s) }

// What begins in the background has spans only where the request that it comes from has, and only
// as long as Caddy traces. All of it is in one test: there is one provider in a process.
func TestBackgroundIsTracedAsItsRequestWas(t *testing.T) {
	ctx := t.Context()
	if _, s := Background(ctx, Job, parent); s != nil {
		t.Error("a span has begun before anything was traced")
	}
	unsampled, _, _, _ := traced(t, sdk.WithSampler(sdk.NeverSample()))
	if _, s := Begin(unsampled, Hold); s != nil {
		t.Error("a span has begun below one that is not recorded")
	}
	r, _, recorder, p := traced(t)
	Begin(r, Hold)
	for _, of := range []string{"", "garbage", parent[:len(parent)-1] + "0"} {
		if _, s := Background(ctx, Job, of); s != nil {
			t.Errorf("a span has begun for %q", of)
		}
	}
	inside, s := Background(r.Context(), Job, parent)
	header := http.Header{"Traceparent": {parent}, "Tracestate": {"vendor=1"}}
	Current(inside).Carry(header)
	s.Fail("upstream", true)
	s.End()
	got := recorder.Ended()[0]
	if got.Parent().IsValid() || len(got.Links()) != 1 || got.Links()[0].SpanContext.TraceID().String() != parent[3:35] || got.Status().Description != "upstream" {
		t.Errorf("it is below %v, linked to %v, with %v", got.Parent(), got.Links(), got.Status())
	}
	if header.Get("Traceparent") != "00-"+got.SpanContext().TraceID().String()+"-"+got.SpanContext().SpanID().String()+"-01" || header.Get("Tracestate") != "" {
		t.Errorf("the header is %v", header)
	}
	if err := p.Shutdown(ctx); err != nil && !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	if _, s := Background(ctx, Job, parent); s != nil {
		t.Error("a span has begun after the provider was shut down")
	}
}

func TestSecretsAreTakenOutOfCaddysSpan(t *testing.T) {
	t.Parallel()
	r, span, recorder, _ := traced(t)
	Hide(r, "/cb/***")
	span.End()
	want := []attribute.KeyValue{
		attribute.String("url.path", "/mounted/cb/***"), attribute.String("url.query", "***"),
		attribute.String("http.request.method", "POST"), attribute.Int("server.port", 443),
	}
	if got := recorder.Ended()[0].Attributes(); !slices.Equal(got, want) {
		t.Errorf("it says %v", got)
	}
}

// A handler before ours may have written the path in another way.
func TestURLThatIsWrittenInAnotherWayGoesAsAWhole(t *testing.T) {
	t.Parallel()
	r, span, recorder, _ := traced(t)
	r.URL.Path, r.URL.RawQuery = "/cb/22222222-2222-4222-8222-222222222222", "a=1"
	Hide(r, "/cb/***")
	span.End()
	want := []attribute.KeyValue{
		attribute.String("url.path", "/cb/***"), attribute.String("url.query", "***"),
		attribute.String("http.request.method", "POST"), attribute.Int("server.port", 443),
	}
	if got := recorder.Ended()[0].Attributes(); !slices.Equal(got, want) {
		t.Errorf("it says %v", got)
	}
}
