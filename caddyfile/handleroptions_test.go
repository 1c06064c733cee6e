package caddyfile

import (
	"slices"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-callback/caddy-callback/module/api"
	"github.com/caddy-callback/caddy-callback/module/app"
	"github.com/caddy-callback/caddy-callback/module/hold"
	"github.com/caddy-callback/caddy-callback/module/server"
)

// read parses a line as an option.
func read(line string, parse func(h httpcaddyfile.Helper, o *options) error) error {
	h, _ := directive("test {\n" + line + "\n}")
	o := newOptions(h.Dispenser, "test")
	h.Next()
	o.next(h.Nesting())
	return parse(h, o)
}

func TestEveryOptionThatMessagesListIsKnown(t *testing.T) {
	for what, parse := range map[string]func(h httpcaddyfile.Helper, o *options) error{
		"hold": func(h httpcaddyfile.Helper, o *options) error {
			return parseCallbackOption(h, o, &hold.Handler{Mode: "hold"})
		},
		"park": func(h httpcaddyfile.Helper, o *options) error {
			return parseCallbackOption(h, o, &hold.Handler{Mode: "park"})
		},
		"defer": func(h httpcaddyfile.Helper, o *options) error {
			return parseCallbackOption(h, o, &hold.Handler{Mode: "defer"})
		},
		"callback_server": func(h httpcaddyfile.Helper, o *options) error { return parseServerOption(h, o, new(server.Server)) },
		"callback_api":    func(h httpcaddyfile.Helper, o *options) error { return parseAPIOption(h, o, new(api.API)) },
		"the app":         func(_ httpcaddyfile.Helper, o *options) error { return parseGlobalOption(o, new(app.App)) },
		"deliver":         func(_ httpcaddyfile.Helper, o *options) error { return parseDeliverOption(o, new(hold.Delivery)) },
	} {
		err := read("no_such_option", parse)
		if err == nil {
			t.Fatalf("%s: an unknown option is taken", what)
		}
		_, list, _ := strings.Cut(err.Error(), "; its options are ")
		list, _, _ = strings.Cut(strings.ReplaceAll(list, " and ", ", "), ", at ")
		names := strings.Split(list, ", ")
		if !slices.IsSorted(names) {
			t.Errorf("%s: the options are not sorted: %s", what, list)
		}
		for _, name := range names {
			if err := read(name, parse); err != nil && strings.Contains(err.Error(), "has no option") {
				t.Errorf("%s: %s is listed: %v", what, name, err)
			}
		}
	}
}

// TestOptionsAreListedForTheModesThatTakeThem gives each option in each mode. The checks
// refuse it if and only if it is not listed for the mode.
func TestOptionsAreListedForTheModesThatTakeThem(t *testing.T) {
	values := map[string]string{
		"ack": "202", "answer": "ack", "ask": "/a", "attempt_timeout": "1m", "base_url": "https://a.example.com", "copy_headers": "X-A",
		"correlation_id": "request header X-A", "deliver": "", "document_statuses": "A", "error_code": "json a", "error_text": "json a", "errors": "caddy",
		"expires_in": "1h", "failed": "json a b", "failed_body": "on", "failed_status": "500", "header": "X-A b", "header_prefix": "X-A-", "idempotency": "off",
		"idempotency_scope": "{http.auth.user.id}", "inject": "header X-A b", "key": "include", "message": "a", "methods": "POST", "multiple": "on", "name": "a",
		"on_conflict": "ignore", "on_disconnect": "close", "on_timeout": "park", "only": "json a b", "page": "a.html", "prefer": "off", "progress": "json a b", "redir": "https://a.example.com",
		"redir_failed": "https://a.example.com", "redir_late": "https://a.example.com", "require": "status", "respond": "a", "result": "query",
		"retry_unsafe": "", "retryable": "off", "state_query": "s", "status_url": "https://a.example.com", "succeeded": "json a b",
		"use_body": "off",
	}
	for _, option := range handlerOptions {
		value, known := values[option.name]
		if block := slices.Contains([]string{"call", "confirm", "fetch", "poll", "then"}, option.name); known == block {
			t.Errorf("this test has no value for %s", option.name)
		}
		for mode := range strings.FieldsSeq(string(inAll)) {
			handler := &hold.Handler{Mode: mode}
			// Some of these make sense only beside another.
			beside := map[string]string{"redir_failed": "redir", "redir_late": "redir"}[option.name]
			lines := []string{option.name + " " + value}
			switch option.name {
			case "call":
				lines, handler.Call = nil, caddyhttp.RouteList{{}}
			case "then":
				lines, handler.Then = nil, caddyhttp.RouteList{{}}
			case "poll":
				lines, handler.Poll = nil, new(hold.Poll)
			case "confirm":
				lines, handler.Confirm = nil, new(hold.Confirm)
			case "fetch":
				lines, handler.Fetch = nil, new(hold.Fetch)
			}
			if beside != "" {
				lines = append(lines, beside+" "+values[beside])
			}
			for _, line := range lines {
				if err := read(line, func(h httpcaddyfile.Helper, o *options) error { return parseCallbackOption(h, o, handler) }); err != nil {
					t.Fatalf("%s: %v", line, err)
				}
			}
			err := handler.CheckOptions()
			if listed := strings.Contains(string(option.modes), mode); listed != (err == nil) {
				t.Errorf("%s in %s is listed: %t, and refused: %v", option.name, mode, listed, err)
			}
		}
	}
}
