package caddyfile

import (
	"strconv"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-callback/caddy-callback/module/app"
	"github.com/caddy-callback/caddy-callback/module/hold"
	"github.com/caddy-callback/caddy-callback/module/inject"
)

// parseAttemptTimeout reads what may stand after the mode defer, too.
func parseAttemptTimeout(o *options, handler *hold.Handler) error {
	if _, given := o.seen[o.name]; handler.AttemptTimeout != 0 && !given {
		return o.failf("it is given after defer already; leave one of the two out")
	}
	return o.duration(&handler.AttemptTimeout)
}

// flag reads an option without a value.
func (o *options) flag(to *bool) error {
	if err := o.once(); err != nil {
		return err
	}
	if o.NextArg() {
		return o.failf("it takes no value; remove %q", o.Val())
	}
	*to = true
	return nil
}

// parseBlock reads a block of directives.
func parseBlock(h httpcaddyfile.Helper, o *options, to *caddyhttp.RouteList) error {
	if err := o.once(); err != nil {
		return err
	}
	return parseDirectives(h, o, to)
}

// parseDirectives reads the directives in the block that follows the token which was read.
func parseDirectives(h httpcaddyfile.Helper, o *options, to *caddyhttp.RouteList) error {
	segment := o.NewFromNextSegment()
	segment.Next()
	if segment.NextArg() {
		return o.failf("the directives stand in a block, as in: %s { %s ... }", o.name, segment.Val())
	}
	if !segment.NextBlock(0) {
		return o.failf("it needs a block with the directives that answer, as in: %s { reverse_proxy https://partner.example.com }", o.name)
	}
	segment.Reset()
	handler, err := httpcaddyfile.ParseSegmentAsSubroute(h.WithDispenser(segment))
	if err != nil {
		return err
	}
	*to = handler.(*caddyhttp.Subroute).Routes
	return nil
}

func parseCorrelation(o *options, handler *hold.Handler) error {
	if err := o.once(); err != nil {
		return err
	}
	var from, place, name string
	if !o.AllArgs(&from, &place, &name) {
		return o.failf("it needs request or ack, a place and a name, as in: correlation_id ack json jobId")
	}
	handler.CorrelationID = &hold.Correlation{From: from, Location: inject.Location{In: inject.Place(place), Name: name}}
	return nil
}

// parseDeliver reads the directive's option deliver.
func parseDeliver(o *options, handler *hold.Handler) error {
	if err := o.once(); err != nil {
		return err
	}
	delivery := new(hold.Delivery)
	off := false
	if o.NextArg() {
		if o.Val() != "off" || o.NextArg() {
			return o.failf("%q is too much: it takes off, or a block", o.Val())
		}
		off = true
	}
	inner := newOptions(o.Dispenser, o.of+": deliver")
	for nesting := o.Nesting(); inner.next(nesting); {
		if off {
			return inner.failf("deliver is off; leave out its options, or off")
		}
		if err := parseDeliverOption(inner, delivery); err != nil {
			return err
		}
		if err := delivery.Check(); err != nil {
			return inner.wrap(err)
		}
	}
	handler.Deliver = delivery
	if off {
		handler.Deliver = nil
	}
	return nil
}

func parseDeliverOption(o *options, d *hold.Delivery) error {
	switch o.name {
	case "from":
		return parsePlace(o, &d.From)
	case "to":
		return o.text(&d.To)
	case "failed_from":
		return parsePlace(o, &d.FailedFrom)
	case "failed_to":
		return o.text(&d.FailedTo)
	case "only":
		return parseOnly(o, d)
	case "header":
		return parseDeliveryHeader(o, d)
	case "method":
		return o.upper(&d.Method)
	case "body":
		return o.text(&d.Body)
	case "format":
		return o.text(&d.Format)
	case "progress":
		return o.yesNo(&d.Progress)
	}
	if known, err := parseDeliveryRule(o, &d.DeliveryRules); known {
		return err
	}
	return o.unknown("allow", "body", "failed_from", "failed_to", "format", "from", "header", "method", "only", "progress", "retry", "sign", "timeout", "to")
}

func parseOnly(o *options, d *hold.Delivery) error {
	args := o.RemainingArgs()
	if len(args) == 0 {
		return o.failf("it needs the hosts that results may be sent to, as in: only hooks.example.com")
	}
	d.Only = append(d.Only, args...)
	return nil
}

func parseDeliveryHeader(o *options, d *hold.Delivery) error {
	var name, value string
	if !o.AllArgs(&name, &value) {
		return o.failf("it needs a name and a value, as in: header Authorization \"Bearer {env.HOOK_TOKEN}\"")
	}
	if _, there := d.Headers[name]; there {
		return o.failf("%s is given twice; leave one of the two out", name)
	}
	if d.Headers == nil {
		d.Headers = make(map[string]string)
	}
	d.Headers[name] = value
	return nil
}

// upper reads an option's one value in capitals.
func (o *options) upper(to *string) error {
	if err := o.text(to); err != nil {
		return err
	}
	*to = strings.ToUpper(*to)
	return nil
}

// parseDeliveryRule reads an option of deliver that the global option has, too.
func parseDeliveryRule(o *options, d *app.DeliveryRules) (known bool, err error) {
	switch o.name {
	case "allow":
		args := o.RemainingArgs()
		if len(args) == 0 {
			return true, o.failf("it needs hosts or address ranges, as in: allow 10.0.0.0/8 http://app.internal:3000")
		}
		d.Allow = append(d.Allow, args...)
		return true, nil
	case "sign":
		return true, o.list(&d.Sign)
	case "retry":
		return true, parseRetry(o, d)
	case "timeout":
		return true, o.duration(&d.Timeout)
	}
	return false, nil
}

func parseRetry(o *options, d *app.DeliveryRules) error {
	var texts []string
	if err := o.list(&texts); err != nil {
		return err
	}
	d.Retry = nil
	for _, text := range texts {
		wait, err := parseDuration(text)
		if err != nil {
			return o.failf("%w", err)
		}
		d.Retry = append(d.Retry, caddy.Duration(wait))
	}
	return nil
}

// parseGlobalDeliver reads the global option's deliver.
func parseGlobalDeliver(o *options, a *app.App) error {
	if err := o.once(); err != nil {
		return err
	}
	if o.NextArg() {
		return o.failf("%q is too much: it takes nothing but a block", o.Val())
	}
	a.Deliver = new(app.DeliveryRules)
	inner := newOptions(o.Dispenser, o.of+": deliver")
	for nesting := o.Nesting(); inner.next(nesting); {
		known, err := parseDeliveryRule(inner, a.Deliver)
		if !known {
			return inner.unknown("allow", "retry", "sign", "timeout")
		}
		if err != nil {
			return err
		}
		if err := a.Deliver.Check(); err != nil {
			return inner.wrap(err)
		}
	}
	return nil
}

// namesKey is the key in h.State of the names of directives.
const namesKey = "callback.names"

// claimName checks that no other directive has the name.
func claimName(h httpcaddyfile.Helper, start caddyfile.Dispenser, handler *hold.Handler) error {
	if handler.Name == "" {
		return nil
	}
	names, _ := h.State[namesKey].(map[string]string)
	if names == nil {
		names = make(map[string]string)
		h.State[namesKey] = names
	}
	if other, taken := names[handler.Name]; taken {
		return start.Errf("callback %s: name: the directive at %s has the name %s, too; %s",
			handler.Mode, other, handler.Name, app.OneNameOneDirective)
	}
	names[handler.Name] = start.File() + ":" + strconv.Itoa(start.Line())
	return nil
}
