package caddyfile

import (
	"cmp"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-callback/caddy-callback/module/app"
	"github.com/caddy-callback/caddy-callback/module/hold"
	"github.com/caddy-callback/caddy-callback/module/inject"
)

// parseCallback sets up the handler that creates a callback for each request. Syntax:
//
//	callback [<matcher>] hold [<timeout>] | park | defer [<attempt_timeout>] {
//	    name          <name>
//	    expires_in    <duration>
//	    base_url      <url>
//	    status_url    <url>
//	    header_prefix <prefix>
//	    state_query   <param>
//	    correlation_id request|ack header|query|form|json|xml <name>
//	    inject        header|query|form|json|xml <name> <value>
//	    inject        off
//	    ack           <status|class>...
//	    ack           header|json|xml <name> [<pattern>...]
//	    only          header|query|form|json|xml <name> [<pattern>...]
//	    prefer        on|off
//	    answer        202|ack
//	    methods       <method>...
//	    respond       <body>|<status> [<status>] { body <text> }
//	    header        <name> <value>
//	    redir         <url> [<code>]
//	    redir_failed  <url> [<code>]
//	    redir_late    <url> [<code>]
//	    require       correlation_id|status...
//	    failed        header|query|form|json|xml <name> [<pattern>...]
//	    succeeded     header|query|form|json|xml <name> <pattern>...
//	    progress      header|query|form|json|xml <name> [<pattern>...]
//	    result        body|query|call
//	    on_conflict   reject|ignore
//	    error_code    header|query|form|json|xml <name>
//	    error_text    header|query|form|json|xml <name>
//	    document_statuses <name>...
//	    failed_status <status>
//	    failed_body   on|off
//	    retryable     on|off
//	    multiple      on|off
//	    key           <name>...|include
//	    ask           <path>
//	    confirm {
//	        title     <text>
//	        text      <text>
//	        choice    <name> <label> [failed]
//	    }
//	    on_timeout    fail|park|redirect
//	    on_disconnect keep|close
//	    idempotency   on|off
//	    idempotency_scope <placeholder>
//	    message       <text>
//	    page          [<template>] {
//	        progress  header|query|form|json|xml <name> [<number>]
//	        redir     <url>
//	        patience  <duration>
//	        lang      <language>...
//	    }
//	    poll {
//	        from      header|json|xml <name>
//	        to        <path>
//	        after     <duration>
//	        every     <duration> [<longest>]
//	        allow     <host>...
//	        using     { <directives> }
//	    }
//	    fetch         from header|query|form|json|xml <name> | to <path> { <directives> }
//	    call          { <directives> }
//	    then          { <directives> }
//	    attempt_timeout <duration>
//	    retry_unsafe
//	    deliver       [off] {
//	        from      header|query|form|json|xml <name>
//	        to        <url>
//	        allow     <host|range|http://host>...
//	        sign      <secret>...
//	        retry     <delay>...
//	        timeout   <duration>
//	        only      <host>...
//	        header    <name> <value>
//	        method    POST|PUT|PATCH
//	        failed_from header|query|form|json|xml <name>
//	        failed_to <url>
//	        body      <template>
//	        format    plain|cloudevents
//	        progress  on|off
//	    }
//	    copy_headers  <name>...
//	    use_body      on|off
//	    errors        problem|caddy
//	}
func parseCallback(h httpcaddyfile.Helper) (caddyhttp.MiddlewareHandler, error) {
	h.Next()
	start := *h.Dispenser
	handler := new(hold.Handler)
	if err := parseMode(h, handler); err != nil {
		return nil, err
	}
	global := globalOption(h)
	if err := withGlobal(handler, global).CheckOptions(); err != nil {
		return nil, start.Errf("callback %s: %w", handler.Mode, err)
	}
	o := newOptions(h.Dispenser, "callback "+handler.Mode)
	for nesting := h.Nesting(); o.next(nesting); {
		if err := parseCallbackOption(h, o, handler); err != nil {
			return nil, err
		}
		if err := withGlobal(handler, global).CheckOptions(); err != nil {
			return nil, o.wrap(err)
		}
	}
	if err := withGlobal(handler, global).Check(); err != nil {
		return nil, start.Errf("callback %s: %w", handler.Mode, err)
	}
	if err := app.CheckKeysOf(handler.Name, handler.Keys, global.Keys); err != nil {
		return nil, start.Errf("callback %s: %w", handler.Mode, err)
	}
	if err := claimName(h, start, handler); err != nil {
		return nil, err
	}
	return handler, nil
}

// withGlobal returns a copy of the handler with the values of the global option
// filled in, so that the whole can be checked while errors can still name file and
// line.
func withGlobal(handler *hold.Handler, global globals) *hold.Handler {
	whole := *handler
	whole.BaseURL = cmp.Or(whole.BaseURL, global.BaseURL)
	whole.HeaderPrefix = cmp.Or(whole.HeaderPrefix, global.HeaderPrefix)
	whole.InjectOff = whole.InjectOff || global.InjectOff
	return &whole
}

// parseMode reads the directive's first line.
func parseMode(h httpcaddyfile.Helper, handler *hold.Handler) error {
	if !h.NextArg() {
		return h.Err("callback needs a mode, as in: callback hold 2m")
	}
	handler.Mode = h.Val()
	switch handler.Mode {
	case "hold":
		return parseTimeout(h, "the timeout", &handler.Timeout)
	case "defer":
		return parseTimeout(h, "the attempt_timeout", &handler.AttemptTimeout)
	case "park":
		if h.NextArg() {
			return h.Errf("callback park takes no timeout, because its client does not wait; remove %q", h.Val())
		}
		return nil
	}
	return h.Errf("callback has no mode %q; the modes are hold, park and defer, as in: callback hold 2m", handler.Mode)
}

// parseTimeout reads the duration that may follow the mode, which stands in h.
func parseTimeout(h httpcaddyfile.Helper, what string, to *caddy.Duration) error {
	mode := h.Val()
	if !h.NextArg() {
		return nil
	}
	if strings.HasPrefix(h.Val(), "/") || strings.HasPrefix(h.Val(), "@") {
		return h.Errf("callback %s: the matcher %s stands before the mode, as in: callback %s %s 2m", mode, h.Val(), h.Val(), mode)
	}
	timeout, err := parseDuration(h.Val())
	if err != nil {
		return h.Errf("callback %s: %s: %w", mode, what, err)
	}
	*to = caddy.Duration(timeout)
	if h.NextArg() {
		return h.Errf("callback %s: %q is too much: after %s stands %s alone", mode, h.Val(), mode, what)
	}
	return nil
}

func parseInject(o *options, handler *hold.Handler) error {
	args := o.RemainingArgs()
	if len(args) == 1 && args[0] == "off" {
		handler.InjectOff = true
		return o.once()
	}
	if len(args) != 3 {
		return o.failf("it needs a place, a name and a value, as in: inject json callbackUrl {http.callback.url}")
	}
	handler.Inject = append(handler.Inject, hold.Injection{In: inject.Place(args[0]), Name: args[1], Value: args[2]})
	return nil
}

// parseAck reads a list of statuses, or a place in the ack with what is there.
func parseAck(o *options, handler *hold.Handler) error {
	args := o.RemainingArgs()
	if len(args) == 0 {
		return o.failf("it needs statuses, or a place with what is there, as in: ack 202, or: ack json status accepted")
	}
	if isPlace(args[0]) {
		if len(args) == 1 {
			return o.failf("after %s it needs a name, and may have values, as in: ack json status accepted", args[0])
		}
		match := hold.Match{Location: inject.Location{In: inject.Place(args[0]), Name: args[1]}}
		if len(args) > 2 {
			match.Values = args[2:]
		}
		handler.AckMatch = append(handler.AckMatch, match)
		return nil
	}
	if i := slices.IndexFunc(args, isPlace); i > 0 {
		return o.failf("%s begins a line of its own: beside the statuses write another line, as in: ack json status accepted", args[i])
	}
	handler.Ack = args
	return o.once()
}

// isPlace reports whether a word is meant as a place in a message.
func isPlace(word string) bool {
	return slices.Contains([]string{"header", "query", "form", "json", "xml", "body", "cookie"}, word)
}

func parseMethods(o *options, handler *hold.Handler) error {
	if err := o.list(&handler.Methods); err != nil {
		return err
	}
	for i, m := range handler.Methods {
		handler.Methods[i] = strings.ToUpper(m)
	}
	return nil
}

// parseRespond reads the reply's response as Caddy reads its own respond.
func parseRespond(o *options, handler *hold.Handler) error {
	if err := o.once(); err != nil {
		return err
	}
	if n := o.CountRemainingArgs(); n != 1 && n != 2 {
		return o.failf("it needs a body, a status, or both, as in: respond \"thank you\" 202")
	}
	var response caddyhttp.StaticResponse
	if err := response.UnmarshalCaddyfile(o.NewFromNextSegment()); err != nil {
		return fmt.Errorf("%s: respond: %w", o.of, err)
	}
	if response.Close {
		return o.failf("close makes no sense for a callback's reply; remove it")
	}
	respond := &hold.Respond{Body: response.Body}
	if response.StatusCode != "" {
		status, err := strconv.Atoi(string(response.StatusCode))
		if err != nil {
			return o.failf("%w", mismatch{string(response.StatusCode), "a status; write one from 200 to 599"})
		}
		respond.Status = status
	}
	handler.Respond = respond
	return nil
}

func parseHeader(o *options, handler *hold.Handler) error {
	var name, value string
	if !o.AllArgs(&name, &value) {
		return o.failf("it needs a name and a value, as in: header Cache-Control no-store")
	}
	if handler.ReplyHeaders == nil {
		handler.ReplyHeaders = make(http.Header)
	}
	handler.ReplyHeaders.Add(name, value)
	return nil
}

func parseRedirect(o *options, to **hold.Redirect) error {
	if err := o.once(); err != nil {
		return err
	}
	args := o.RemainingArgs()
	if len(args) != 1 && len(args) != 2 {
		return o.failf("it needs a URL, and may have a status, as in: redir https://shop.example.com/thanks 303")
	}
	*to = &hold.Redirect{URL: args[0]}
	if len(args) == 1 {
		return nil
	}
	switch args[1] {
	case "permanent":
		(*to).Status = http.StatusMovedPermanently
	case "temporary":
		(*to).Status = http.StatusFound
	default:
		status, err := strconv.Atoi(args[1])
		if err != nil || status == 0 {
			return o.failf("%w", mismatch{args[1], "the status of a redirect; write 301, 302, 303, 307, 308, permanent or temporary"})
		}
		(*to).Status = status
	}
	return nil
}
