package hold

import (
	"github.com/caddy-callback/caddy-callback/module/span"
	"github.com/caddy-callback/caddy-callback/module/upstream"
)

// kinds are the kinds of spans of the modes.
var kinds = map[string]span.Kind{modeHold: span.Hold, modePark: span.Park, modeDefer: span.Defer}

// trace begins the span of the exchange, where requests are traced. The record has it, and what
// comes of it later is linked to it.
func (x *exchange) trace() { x.r, x.span = span.Begin(x.r, kinds[x.h.Mode]) }

// endSpan ends the span of the exchange.
func (x *exchange) endSpan() {
	if x.span == nil {
		return
	}
	if x.callback != nil {
		x.span.Set("callback.phase", x.String())
	}
	x.span.End()
}

// outcomes are what a span says of an upstream's answer.
var outcomes = map[upstream.Outcome]string{
	upstream.Answered: "answered", upstream.PassedOn: "passed_on", upstream.Refused: "refused", upstream.Unknown: "unknown",
	upstream.Unhandled: "unhandled", upstream.Underway: "underway",
}

// endUpstream ends the span of a call of the upstream, when what is needed of its answer is
// there.
func endUpstream(s *span.Span, call *upstream.Call) {
	if s == nil {
		return
	}
	outcome := call.Outcome()
	s.Set("callback.outcome", outcomes[outcome])
	switch outcome {
	case upstream.Answered, upstream.PassedOn:
		s.SetInt(span.Status, call.Status())
	case upstream.Refused, upstream.Unknown:
		s.Fail("upstream-"+outcomes[outcome], true)
	}
	s.End()
}
