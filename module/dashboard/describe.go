package dashboard

import (
	"encoding/json"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-callback/caddy-callback/module/page"
	"github.com/caddy-callback/caddy-callback/module/routes"
)

// directive is one of the plugin's directives, as it is configured.
type directive struct {
	// Kind is what a Caddyfile calls it.
	Kind string
	// Site is where it stands.
	Site string
	Name string
	// Base is its own base URL; empty for the global one.
	Base    string
	Options []setting
}

// kinds are the modules that are shown, and what a Caddyfile calls them.
var kinds = map[string]string{
	"http.handlers.callback": "callback", "http.handlers.callback_server": "callback_server", "http.handlers.callback_api": "callback_api",
	"http.handlers.callback_dashboard": "callback_dashboard",
}

// shownOptions are the options whose values are shown. Of all others it is only said that they are
// given: what stands in them can be a secret, though it should not, or open something, as the URL
// of a receiver does.
var shownOptions = []string{
	"mode", "timeout", "name", "expires_in", "base_url", "status_url", "header_prefix", "state_query", "inject_off", "prefer", "ack", "ack_match", "methods",
	"correlation_id", "ask", "ask_prefix", "on_timeout", "idempotency", "answer", "attempt_timeout", "retry_unsafe", "on_disconnect",
	"copy_headers", "use_body", "errors", "require", "failed", "progress", "succeeded", "result", "on_conflict", "error_code", "error_text", "document_statuses",
	"failed_status", "failed_body", "retryable", "multiple", "keys",
	"deliver.from", "deliver.failed_from", "deliver.method", "deliver.format", "deliver.progress", "deliver.retry", "deliver.timeout", "deliver.only",
	"poll.from", "poll.after", "poll.every", "poll.longest", "poll.allow", "fetch.from",
	"confirm.title", "confirm.text", "confirm.choices", "page.template", "page.languages", "page.progress", "page.patience", "names", "health", "unmatched", "active_content", "key_off", "bodies", "title",
}

// directives returns the directives of the configuration in their order.
func (d *Dashboard) directives() (all []directive) {
	loaded, err := d.ctx.AppIfConfigured("http")
	if err != nil {
		return nil
	}
	servers := loaded.(*caddyhttp.App).Servers
	for _, name := range slices.Sorted(maps.Keys(servers)) {
		routes.Walk(servers[name], func(at *routes.Place) {
			module, ok := at.Handler.(caddy.Module)
			if !ok || kinds[string(module.CaddyModule().ID)] == "" {
				return
			}
			one := describe(at.Handler)
			one.Kind = strings.TrimSpace(kinds[string(module.CaddyModule().ID)] + " " + one.Kind)
			one.Site = siteOf(at, servers[name])
			all = append(all, one)
		})
	}
	return all
}

// siteOf says where a handler stands: the hosts and paths that lead to it, and where its server
// listens.
func siteOf(at *routes.Place, server *caddyhttp.Server) string {
	var words []string
	for p := at; p != nil; p = p.Parent {
		for _, matchers := range p.Route.MatcherSets {
			for _, m := range matchers {
				words = append(matchedBy(m), words...)
			}
		}
	}
	return strings.Join(append(words, "("+strings.Join(server.Listen, ", ")+")"), " ")
}

// matchedBy returns the hosts or paths that a matcher is about.
func matchedBy(m any) []string {
	switch m := m.(type) {
	case caddyhttp.MatchHost:
		return m
	case *caddyhttp.MatchHost:
		return *m
	case caddyhttp.MatchPath:
		return m
	case *caddyhttp.MatchPath:
		return *m
	}
	return nil
}

// describe returns the options of a directive. Its kind is the mode, if it has one.
func describe(handler any) (d directive) {
	v := reflect.Indirect(reflect.ValueOf(handler))
	if v.Kind() != reflect.Struct {
		return d
	}
	for _, o := range optionsOf(v, "") {
		switch o.Name {
		case "mode":
			d.Kind = o.Value
		case "name":
			d.Name = o.Value
		default:
			if o.Name == "base_url" {
				d.Base = o.Value
			}
			d.Options = append(d.Options, o)
		}
	}
	return d
}

const (
	notShown = "given"
	// mostOption bounds what is shown of a value, in characters.
	mostOption = 300
)

// optionsOf returns the options that are given in a struct of a configuration. prefix stands
// before their names.
func optionsOf(v reflect.Value, prefix string) (options []setting) {
	for i := range v.NumField() {
		field := v.Type().Field(i)
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		value := reflect.Indirect(v.Field(i))
		switch {
		case !field.IsExported() || v.Field(i).IsZero() || name == "-":
		case field.Anonymous && name == "" && value.Kind() == reflect.Struct:
			options = append(options, optionsOf(value, prefix)...)
		case name == "":
		default:
			options = append(options, optionOf(value, prefix+name)...)
		}
	}
	return options
}

// optionOf returns an option, or the options that it has itself.
func optionOf(value reflect.Value, name string) []setting {
	if list, ok := value.Interface().(caddyhttp.RouteList); ok {
		return []setting{{name, handlersOf(list)}}
	}
	if slices.Contains(shownOptions, name) {
		return []setting{{name, page.Short(mostOption, written(value))}}
	}
	if value.Kind() == reflect.Struct {
		return optionsOf(value, name+".")
	}
	return []setting{{name, notShown}}
}

// written returns a value as it is shown.
func written(value reflect.Value) string {
	switch v := value.Interface().(type) {
	case string:
		return v
	case caddy.Duration:
		return time.Duration(v).String()
	case []caddy.Duration:
		words := make([]string, len(v))
		for i, d := range v {
			words[i] = time.Duration(d).String()
		}
		return strings.Join(words, " ")
	case []string:
		return strings.Join(v, " ")
	}
	b, err := json.Marshal(value.Interface())
	if err != nil {
		return notShown
	}
	return string(b)
}

// handlersOf names the handlers of a block.
func handlersOf(list caddyhttp.RouteList) string {
	var names []string
	for _, route := range list {
		for _, handler := range route.Handlers {
			if m, ok := handler.(caddy.Module); ok {
				names = append(names, m.CaddyModule().ID.Name())
			}
		}
	}
	return "{ " + strings.Join(names, ", ") + " }"
}
