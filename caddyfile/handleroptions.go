package caddyfile

import (
	"strings"

	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"

	"github.com/caddy-callback/caddy-callback/module/hold"
)

// modes says in which modes an option of callback means something.
type modes string

const (
	inHold modes = "hold"
	inPark modes = "park"
	// withCalls are the modes in which there is a callback URL.
	withCalls modes = "hold park"
	// withoutClient are the modes in which the client does not wait.
	withoutClient modes = "park defer"
	inAll         modes = "hold park defer"
)

// handlerOption is an option of callback.
type handlerOption struct {
	name  string
	modes modes
	parse func(helper, *options, *hold.Handler) error
}

// handlerOptions are the options of callback, sorted by their names.
var handlerOptions = []handlerOption{
	{"ack", withCalls, func(_ helper, o *options, d *hold.Handler) error { return parseAck(o, d) }},
	{"answer", inPark, func(_ helper, o *options, d *hold.Handler) error { return o.text(&d.Answer) }},
	{"ask", withCalls, func(_ helper, o *options, d *hold.Handler) error { return o.text(&d.Ask) }},
	{"attempt_timeout", withoutClient, func(_ helper, o *options, d *hold.Handler) error { return parseAttemptTimeout(o, d) }},
	{"base_url", inAll, func(_ helper, o *options, d *hold.Handler) error { return o.base(&d.BaseURL) }},
	{"call", withCalls, func(h helper, o *options, d *hold.Handler) error { return parseBlock(h, o, &d.Call) }},
	{"confirm", withCalls, parseConfirm},
	{"copy_headers", inAll, func(_ helper, o *options, d *hold.Handler) error { return o.list(&d.CopyHeaders) }},
	{"correlation_id", inAll, func(_ helper, o *options, d *hold.Handler) error { return parseCorrelation(o, d) }},
	{"deliver", withoutClient, func(_ helper, o *options, d *hold.Handler) error { return parseDeliver(o, d) }},
	{"document_statuses", withCalls, func(_ helper, o *options, d *hold.Handler) error { return o.list(&d.DocumentStatuses) }},
	{"error_code", withCalls, func(_ helper, o *options, d *hold.Handler) error { return parsePlace(o, &d.ErrorCode) }},
	{"error_text", withCalls, func(_ helper, o *options, d *hold.Handler) error { return parsePlace(o, &d.ErrorText) }},
	{"errors", inAll, func(_ helper, o *options, d *hold.Handler) error { return o.text(&d.Errors) }},
	{"expires_in", inAll, func(_ helper, o *options, d *hold.Handler) error { return o.duration(&d.ExpiresIn) }},
	{"failed", withCalls, func(_ helper, o *options, d *hold.Handler) error { return parseMatch(o, &d.Failed) }},
	{"failed_body", withCalls, func(_ helper, o *options, d *hold.Handler) error { return o.yesNo(&d.FailedBody) }},
	{"failed_status", inAll, func(_ helper, o *options, d *hold.Handler) error { return parseFailedStatus(o, &d.Dialect) }},
	{"fetch", withCalls, parseFetch},
	{"header", withCalls, func(_ helper, o *options, d *hold.Handler) error { return parseHeader(o, d) }},
	{"header_prefix", inAll, func(_ helper, o *options, d *hold.Handler) error { return o.text(&d.HeaderPrefix) }},
	{"idempotency", inAll, func(_ helper, o *options, d *hold.Handler) error { return o.onOff(&d.Idempotency) }},
	{"idempotency_scope", inAll, func(_ helper, o *options, d *hold.Handler) error { return o.text(&d.IdempotencyScope) }},
	{"inject", withCalls, func(_ helper, o *options, d *hold.Handler) error { return parseInject(o, d) }},
	{"key", withCalls, func(_ helper, o *options, d *hold.Handler) error { return o.list(&d.Keys) }},
	{"message", inAll, func(_ helper, o *options, d *hold.Handler) error { return o.text(&d.Message) }},
	{"methods", withCalls, func(_ helper, o *options, d *hold.Handler) error { return parseMethods(o, d) }},
	{"multiple", withCalls, func(_ helper, o *options, d *hold.Handler) error { return o.yesNo(&d.Multiple) }},
	{"name", inAll, func(_ helper, o *options, d *hold.Handler) error { return o.text(&d.Name) }},
	{"on_conflict", withCalls, func(_ helper, o *options, d *hold.Handler) error { return o.text(&d.OnConflict) }},
	{"on_disconnect", inHold, func(_ helper, o *options, d *hold.Handler) error { return o.text(&d.OnDisconnect) }},
	{"on_timeout", inHold, func(_ helper, o *options, d *hold.Handler) error { return o.text(&d.OnTimeout) }},
	{"only", inAll, func(_ helper, o *options, d *hold.Handler) error { return parseMatch(o, &d.Only) }},
	{"page", inAll, parsePage},
	{"poll", withCalls, parsePoll},
	{"prefer", inAll, func(_ helper, o *options, d *hold.Handler) error { return o.onOff(&d.Prefer) }},
	{"progress", withCalls, func(_ helper, o *options, d *hold.Handler) error { return parseMatch(o, &d.Progress) }},
	{"redir", withCalls, func(_ helper, o *options, d *hold.Handler) error { return parseRedirect(o, &d.Redirect) }},
	{"redir_failed", withCalls, func(_ helper, o *options, d *hold.Handler) error { return parseRedirect(o, &d.RedirectFailed) }},
	{"redir_late", withCalls, func(_ helper, o *options, d *hold.Handler) error { return parseRedirect(o, &d.RedirectLate) }},
	{"require", withCalls, func(_ helper, o *options, d *hold.Handler) error { return o.list(&d.Require) }},
	{"respond", withCalls, func(_ helper, o *options, d *hold.Handler) error { return parseRespond(o, d) }},
	{"result", withCalls, func(_ helper, o *options, d *hold.Handler) error { return o.text(&d.Result) }},
	{"retry_unsafe", withoutClient, func(_ helper, o *options, d *hold.Handler) error { return o.flag(&d.RetryUnsafe) }},
	{"retryable", withCalls, func(_ helper, o *options, d *hold.Handler) error { return o.onOff(&d.Retryable) }},
	{"state_query", withCalls, func(_ helper, o *options, d *hold.Handler) error { return o.text(&d.StateQuery) }},
	{"status_url", inAll, func(_ helper, o *options, d *hold.Handler) error { return o.base(&d.StatusURL) }},
	{"succeeded", withCalls, func(_ helper, o *options, d *hold.Handler) error { return parseMatch(o, &d.Succeeded) }},
	{"then", withoutClient, func(h helper, o *options, d *hold.Handler) error { return parseBlock(h, o, &d.Then) }},
	{"use_body", withCalls, func(_ helper, o *options, d *hold.Handler) error { return o.onOff(&d.UseBody) }},
}

type helper = httpcaddyfile.Helper

// insteadOf says where directives stand that were written in place of an option.
var insteadOf = map[string]string{
	"hold":  "put it after callback, or into call { ... } if the client's own request is to go on after the callback",
	"park":  "put it after callback, or, to run in the background, into call { ... } or then { ... }",
	"defer": "put it into then { ... }",
}

// parseCallbackOption reads an option of callback. In a mode that it does not fit, the
// checks refuse it and say why.
func parseCallbackOption(h helper, o *options, handler *hold.Handler) error {
	var known []string
	for _, option := range handlerOptions {
		if option.name == o.name {
			return option.parse(h, o, handler)
		}
		if strings.Contains(string(option.modes), handler.Mode) {
			known = append(known, option.name)
		}
	}
	if err := o.misplaced(h, insteadOf[handler.Mode]); err != nil {
		return err
	}
	return o.unknown(known...)
}
