package caddyfile

import (
	"net/http"
	"strconv"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-callback/caddy-callback/module"
)

// parseCallback sets up the handler that makes callbacks of requests. Syntax:
//
//	callback [<matcher>] hold [<timeout>] {
//	    name          <name>
//	    expires_in    <duration>
//	    base_url      <url>
//	    status_url    <url>
//	    header_prefix <prefix>
//	    state_query   <param>
//	    inject        header|query|form|json <name> <value>
//	    inject        off
//	    ack           <status|2xx>...
//	    methods       <method>...
//	    respond       <body>|<status> [<status>] { body <text> }
//	    header        <name> <value>
//	    redir         <url> [<code>]
//	    on_disconnect keep|close
//	    copy_headers  <name>...
//	    use_body      on|off
//	    errors        problem|caddy
//	}
func parseCallback(h httpcaddyfile.Helper) (caddyhttp.MiddlewareHandler, error) {
	h.Next()
	start := *h.Dispenser
	handler := new(module.Handler)
	if err := parseMode(h, handler); err != nil {
		return nil, err
	}
	o := newOptions(h.Dispenser)
	for nesting := h.Nesting(); h.NextBlock(nesting); {
		if err := parseCallbackOption(o, handler); err != nil {
			return nil, err
		}
	}
	if err := checkCallback(h, handler); err != nil {
		return nil, start.Errf("callback %s: %v", handler.Mode, err)
	}
	return handler, nil
}

// parseMode reads the directive's first line.
func parseMode(h httpcaddyfile.Helper, handler *module.Handler) error {
	if !h.NextArg() {
		return h.Err("callback needs a mode: callback hold [<timeout>]")
	}
	handler.Mode = h.Val()
	switch handler.Mode {
	case "hold":
	case "park":
		if h.NextArg() {
			return h.Err("callback park takes no timeout: its client does not wait")
		}
		return h.Err("callback park is not available in this release; the mode is hold")
	case "defer":
		if !h.NextBlock(h.Nesting()) {
			return h.Err("callback defer needs a block then { ... }: what runs in the background cannot be what follows in the route")
		}
		return h.Err("callback defer is not available in this release; the mode is hold")
	default:
		return h.Errf("callback has no mode %q; the mode is hold", handler.Mode)
	}
	if h.NextArg() {
		timeout, err := parseDuration(h.Val())
		if err != nil {
			return h.Errf("the timeout: %v", err)
		}
		handler.Timeout = caddy.Duration(timeout)
	}
	if h.NextArg() {
		return h.ArgErr()
	}
	return nil
}

func parseCallbackOption(o *options, handler *module.Handler) error {
	switch o.Val() {
	case "name":
		return o.text(&handler.Name)
	case "expires_in":
		return o.duration(&handler.ExpiresIn)
	case "base_url":
		return o.base(&handler.BaseURL)
	case "status_url":
		return o.base(&handler.StatusURL)
	case "header_prefix":
		return o.prefix(&handler.HeaderPrefix)
	case "state_query":
		return o.text(&handler.StateQuery)
	case "inject":
		return parseInject(o, handler)
	case "ack":
		return o.list(&handler.Ack)
	case "methods":
		return parseMethods(o, handler)
	case "respond":
		return parseRespond(o, handler)
	case "header":
		return parseHeader(o, handler)
	case "redir":
		return parseRedirect(o, handler)
	case "on_disconnect":
		return o.word(&handler.OnDisconnect, "keep", "close")
	case "copy_headers":
		return o.list(&handler.CopyHeaders)
	case "use_body":
		return o.onOff(&handler.UseBody)
	case "errors":
		return o.word(&handler.Errors, "problem", "caddy")
	}
	return o.Errf("callback %s has no option %s", handler.Mode, o.Val())
}

func parseInject(o *options, handler *module.Handler) error {
	args := o.RemainingArgs()
	if len(args) == 1 && args[0] == "off" {
		handler.InjectOff = true
		return nil
	}
	if len(args) != 3 {
		return o.Err("inject needs a place, a name and a value, as in: inject json callbackUrl {http.callback.url}")
	}
	handler.Inject = append(handler.Inject, module.Injection{In: args[0], Name: args[1], Value: args[2]})
	return nil
}

func parseMethods(o *options, handler *module.Handler) error {
	if err := o.list(&handler.Methods); err != nil {
		return err
	}
	for i, m := range handler.Methods {
		handler.Methods[i] = strings.ToUpper(m)
	}
	return nil
}

// parseRespond reads the reply's response as Caddy reads its own respond.
func parseRespond(o *options, handler *module.Handler) error {
	if err := o.once(); err != nil {
		return err
	}
	var response caddyhttp.StaticResponse
	if err := response.UnmarshalCaddyfile(o.NewFromNextSegment()); err != nil {
		return err
	}
	if response.Close {
		return o.Err("respond: close makes no sense for a callback's reply")
	}
	respond := &module.Respond{Body: response.Body}
	if response.StatusCode != "" {
		status, err := strconv.Atoi(string(response.StatusCode))
		if err != nil {
			return o.Errf("respond: %v", mismatch{string(response.StatusCode), "a status"})
		}
		respond.Status = status
	}
	handler.Respond = respond
	return nil
}

func parseHeader(o *options, handler *module.Handler) error {
	var name, value string
	if !o.AllArgs(&name, &value) {
		return o.Err("header needs a name and a value")
	}
	if handler.ReplyHeaders == nil {
		handler.ReplyHeaders = make(http.Header)
	}
	handler.ReplyHeaders.Add(name, value)
	return nil
}

func parseRedirect(o *options, handler *module.Handler) error {
	if err := o.once(); err != nil {
		return err
	}
	args := o.RemainingArgs()
	if len(args) != 1 && len(args) != 2 {
		return o.ArgErr()
	}
	handler.Redirect = &module.Redirect{URL: args[0]}
	if len(args) == 1 {
		return nil
	}
	switch args[1] {
	case "permanent":
		handler.Redirect.Status = http.StatusMovedPermanently
	case "temporary":
		handler.Redirect.Status = http.StatusFound
	default:
		status, err := strconv.Atoi(args[1])
		if err != nil {
			return o.Errf("redir: %v", mismatch{args[1], "a status"})
		}
		handler.Redirect.Status = status
	}
	return nil
}

// checkCallback makes sure that the directive makes sense together with the global
// option, while line and file can still be named.
func checkCallback(h httpcaddyfile.Helper, handler *module.Handler) error {
	whole := *handler
	if whole.BaseURL == "" {
		whole.BaseURL = globalBase(h)
	}
	return whole.Check()
}

// hasPlaceholder reports whether a value can only be judged when the
// configuration is loaded.
func hasPlaceholder(value string) bool { return strings.Contains(value, "{") }
