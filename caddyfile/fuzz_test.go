package caddyfile

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"

	"github.com/caddy-callback/caddy-callback/module/config"
)

// directive returns a parser's view of a directive's text.
func directive(text string) (httpcaddyfile.Helper, bool) {
	tokens, err := caddyfile.Tokenize([]byte(text), "Caddyfile")
	return httpcaddyfile.Helper{Dispenser: caddyfile.NewDispenser(tokens), State: make(map[string]any)}, err == nil && len(tokens) > 0
}

// FuzzCallback parses any text as a directive. A directive that is accepted must also
// load, except for errors that only show when placeholders are replaced.
func FuzzCallback(f *testing.F) {
	const base = "\tbase_url https://app.example.com\n"
	for _, options := range []string{
		"name orders\nexpires_in 1d\nstatus_url http://[::1]:80/a/\nheader_prefix X-\nstate_query s",
		"inject off\ninject header X-A {http.callback.url}\ninject query a b\ninject json /a/- `json:{\"a\":\"{b}\"}`",
		"inject form a {http.request.uuid}\nack 200 3xx\nmethods get POST\nrespond 202 {\n\tbody {http.callback.call.body}\n}",
		"redir /a/{http.callback.id}?b#c permanent\nrespond <<A\n\tb\n\tA\nheader X-A b\non_disconnect close",
		"copy_headers A B\nuse_body off\nerrors caddy", "name a {\n}\n}", "header A \"b\nc\"", "respond {\n{", "inject json a json:",
	} {
		f.Add("callback hold 2m {\n" + base + options + "\n}")
	}
	for _, text := range []string{"callback", "callback hold", "callback park 1s", "callback defer {", "callback hold 1d {", "}{", "callback hold {}"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		h, ok := directive(text)
		if !ok {
			return
		}
		handler, err := parseCallback(h)
		if err != nil {
			if !strings.Contains(err.Error(), ", at Caddyfile:") {
				t.Errorf("no file and line in: %v", err)
			}
			return
		}
		// In one configuration a name belongs to one directive.
		if err := loadHandler(newContext(t, nil), handler); err != nil && !config.ReplacedAtLoad(text) {
			t.Errorf("it was taken, and does not load: %v", err)
		}
	})
}

func loadHandler(base caddy.Context, handler any) error {
	raw, err := json.Marshal(handler)
	if err != nil {
		return err
	}
	var fields map[string]any
	if err := json.Unmarshal(raw, &fields); err != nil {
		return err
	}
	fields["handler"] = "callback"
	return load(base, fields)
}

// FuzzGlobal does the same for the global option.
func FuzzGlobal(f *testing.F) {
	for _, options := range []string{
		"base_url https://a.example\nstatus_url https://b.example/c\nheader_prefix X-\nretain 1d",
		"store badger a {\n\tencryption_key {env.A}\n\tsecret {file./b}\n\tmin_free 1GiB\n\tmax_size 2GB\n}",
		"max_body_size 1\nmax_memory 2EB\nmax_waiting 3\nmax_held 4", "store", "store badger {\n", "store badger a b", "store nothing",
	} {
		f.Add("callback {\n" + options + "\n}")
	}
	base := newContext(f, nil)
	f.Fuzz(func(t *testing.T, text string) {
		h, ok := directive(text)
		if !ok {
			return
		}
		option, err := parseGlobal(h.Dispenser, nil)
		if err != nil {
			if !strings.Contains(err.Error(), ", at Caddyfile:") {
				t.Errorf("no file and line in: %v", err)
			}
			return
		}
		ctx, cancel := caddy.NewContext(base)
		defer cancel()
		_, err = ctx.LoadModuleByID("callback", option.(httpcaddyfile.App).Value)
		if err != nil && !config.ReplacedAtLoad(text) {
			t.Errorf("it was taken, and does not load: %v", err)
		}
	})
}
