// Package span makes spans of what happens to callbacks, for those who trace their requests
// with OpenTelemetry. They go the way of Caddy's directive tracing: where that does not stand
// before a handler there are none, and nil stands for each of them, with which nothing is done.
//
// No attribute has a secret, a URL or a body.
package span

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"

	"go.opentelemetry.io/contrib/propagators/autoprop"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
)

// Kind is a kind of spans.
type Kind struct {
	name string
	kind trace.SpanKind
}

// The kinds of spans.
var (
	// Hold, Park and Defer are the time from a client's request to its answer.
	Hold  = Kind{"callback hold", trace.SpanKindInternal}
	Park  = Kind{"callback park", trace.SpanKindInternal}
	Defer = Kind{"callback defer", trace.SpanKindInternal}
	// Upstream is the time in which the upstream is called on behalf of a client.
	Upstream = Kind{"callback upstream", trace.SpanKindClient}
	// Call is a partner's call, Job an attempt at background work, and Delivery one to deliver
	// a result.
	Call     = Kind{"callback call", trace.SpanKindInternal}
	Job      = Kind{"callback job", trace.SpanKindInternal}
	Delivery = Kind{"callback delivery", trace.SpanKindClient}
)

// Span is a span that has begun. Nil does nothing.
type Span struct{ span trace.Span }

const scope = "github.com/caddy-callback/caddy-callback"

// provider is what made the last span of a request: what begins in the background makes its
// spans with it. Caddy has one for all its configurations, and one that it has shut down makes
// none.
var provider atomic.Pointer[trace.TracerProvider]

func remember(p trace.TracerProvider) {
	if last := provider.Load(); last == nil || *last != p {
		provider.Store(&p)
	}
}

// propagators are those that Caddy uses, as the environment says.
var propagators = sync.OnceValue(func() propagation.TextMapPropagator { return autoprop.NewTextMapPropagator() })

// Begin begins a span below that of a request. What comes after it is below this one: the
// context of the request that is returned has it, and the header names it.
func Begin(r *http.Request, k Kind) (*http.Request, *Span) {
	above := trace.SpanFromContext(r.Context())
	if !above.IsRecording() {
		return r, nil
	}
	p := above.TracerProvider()
	remember(p)
	ctx, span := p.Tracer(scope).Start(r.Context(), k.name, trace.WithSpanKind(k.kind))
	s := &Span{span}
	s.Carry(r.Header)
	return r.WithContext(ctx), s
}

// Background begins a span of its own, which is linked to the one that a traceparent names. There
// is none where that trace is not recorded.
func Background(ctx context.Context, k Kind, of string) (context.Context, *Span) {
	p, link := provider.Load(), parse(of)
	if p == nil || !link.IsSampled() {
		return ctx, nil
	}
	ctx, span := (*p).Tracer(scope).Start(ctx, k.name, trace.WithNewRoot(), trace.WithSpanKind(k.kind), trace.WithLinks(trace.Link{SpanContext: link}))
	if !span.IsRecording() {
		return ctx, nil
	}
	return ctx, &Span{span}
}

// Current returns the span that a context has.
func Current(ctx context.Context) *Span {
	if span := trace.SpanFromContext(ctx); span.IsRecording() {
		return &Span{span}
	}
	return nil
}

// traceparent is the header that names a span (W3C Trace Context).
const traceparent = "traceparent"

// parse returns the span that a traceparent names, which is not valid if it names none.
func parse(text string) trace.SpanContext {
	if text == "" {
		return trace.SpanContext{}
	}
	ctx := propagation.TraceContext{}.Extract(context.Background(), propagation.MapCarrier{traceparent: text})
	return trace.SpanContextFromContext(ctx)
}

// Carry names the span in the header of a request.
func (s *Span) Carry(h http.Header) {
	if s == nil {
		return
	}
	p := propagators()
	if slices.Contains(p.Fields(), traceparent) {
		// What is there belongs to the span that was named before.
		h.Del(traceparent)
		h.Del("tracestate")
	}
	p.Inject(trace.ContextWithSpan(context.Background(), s.span), propagation.HeaderCarrier(h))
}

// Link links the span to the one that a traceparent names.
func (s *Span) Link(to string) {
	if s == nil {
		return
	}
	if c := parse(to); c.IsValid() && c.SpanID() != s.span.SpanContext().SpanID() {
		s.span.AddLink(trace.Link{SpanContext: c})
	}
}

// Of says which callback the span is about.
func (s *Span) Of(id fmt.Stringer, name string) {
	if s == nil {
		return
	}
	s.Set("callback.id", id.String())
	if name != "" {
		s.Set("callback.name", name)
	}
}

// Set sets an attribute. What is empty is left out.
func (s *Span) Set(key, value string) {
	if s != nil && value != "" {
		s.span.SetAttributes(attribute.String(key, value))
	}
}

// SetInt sets an attribute. What is 0 is left out.
func (s *Span) SetInt(key string, value int) {
	if s != nil && value != 0 {
		s.span.SetAttributes(attribute.Int(key, value))
	}
}

// Status is the attribute with the status of an answer.
const Status = "http.response.status_code"

// Fail says of what kind of error the span has ended, in a fixed word. ours says that it is not
// the fault of who asked.
func (s *Span) Fail(kind string, ours bool) {
	if s == nil {
		return
	}
	s.Set("error.type", kind)
	if ours {
		s.span.SetStatus(codes.Error, kind)
	}
}

// End ends the span.
func (s *Span) End() {
	if s != nil {
		s.span.End()
	}
}
