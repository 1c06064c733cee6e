package app

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"

	"golang.org/x/net/http/httpguts"

	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/config"
	"github.com/caddy-callback/caddy-callback/module/deliver"
	"github.com/caddy-callback/caddy-callback/module/inject"
)

// OwnRules say how results are sent, beside DeliveryRules. Only a directive has them, and
// none of them is stored with its callbacks.
type OwnRules struct {
	// Only lists the hosts that results may be sent to, whatever a client names: names or
	// addresses, each with a port if it is that one alone. Default: any host that is
	// public, or that allow has.
	Only []string `json:"only,omitempty"`

	// Headers are further headers of each delivery. Their values may hold secrets, as
	// placeholders like {env.NAME}, and {http.callback.id}, {http.callback.correlation_id}
	// and {http.callback.name}. Default: none.
	Headers map[string]string `json:"headers,omitempty"`
}

// IsZero reports whether no rule is given.
func (o *OwnRules) IsZero() bool { return len(o.Only) == 0 && len(o.Headers) == 0 }

// Check makes sure that the rules make sense on their own. Errors begin with the option.
func (o *OwnRules) Check() error {
	for _, text := range o.Only {
		if _, err := deliver.ParseOnly(text); err != nil {
			return fmt.Errorf("only: %w", err)
		}
	}
	seen := make(map[string]bool)
	for _, name := range slices.Sorted(maps.Keys(o.Headers)) {
		if err := checkDeliveryHeader(name, o.Headers[name]); err != nil {
			return fmt.Errorf("header: %w", err)
		}
		if canonical := http.CanonicalHeaderKey(name); seen[canonical] {
			return fmt.Errorf("header: %s is given twice; leave one of the two out", canonical)
		}
		seen[http.CanonicalHeaderKey(name)] = true
	}
	return nil
}

// CheckWire makes sure that no header is a wire header, which each delivery has anyway.
func (o *OwnRules) CheckWire(wire callback.Wire) error {
	for _, name := range slices.Sorted(maps.Keys(o.Headers)) {
		if wire.Speaks(name) {
			return fmt.Errorf("header: %s says in each delivery what has become of its callback; choose another name, or other names for what the plugin says, with header_prefix", name)
		}
	}
	return nil
}

// SecretHeader returns the name of a header that holds a secret, with the placeholder that
// stands for it; "" if there is none.
func (o *OwnRules) SecretHeader() (name, placeholder string) {
	for _, name := range slices.Sorted(maps.Keys(o.Headers)) {
		for _, key := range config.NewValue(o.Headers[name]).Keys() {
			if isSecret(key) {
				return name, "{" + key + "}"
			}
		}
	}
	return "", ""
}

// isSecret reports whether a placeholder with that key stands for a secret.
func isSecret(key string) bool {
	return strings.HasPrefix(key, "env.") || strings.HasPrefix(key, "file.")
}

// setByDelivery are the headers that a delivery sets itself, and what to do about them.
var setByDelivery = map[string]string{
	"Host":                "it is that of the URL; write another URL, in to",
	"Webhook-Id":          "each delivery has it; leave it out",
	"Webhook-Timestamp":   "each delivery has it; leave it out",
	"Webhook-Signature":   "each delivery has it that is signed; write: sign {env.NAME}",
	callback.OriginHeader: "each delivery has it, so that one that comes back is known; leave it out",
	"Content-Encoding":    "it says how the body of the result is packed; leave it out",
	"Traceparent":         "it is that of the client's request; leave it out",
	"Tracestate":          "it is that of the client's request; leave it out",
}

func init() {
	for _, name := range callback.DigestHeaders {
		setByDelivery[name] = "it would be about other bytes than those that are sent; to let the receiver check them, write: sign {env.NAME}"
	}
	for _, name := range append([]string{"Alt-Svc"}, inject.HopHeaders...) {
		if setByDelivery[name] == "" {
			setByDelivery[name] = "it belongs to the connection; leave it out"
		}
	}
}

// credentials are the headers whose values are secrets in any case.
var credentials = []string{"Authorization", "Cookie"}

func checkDeliveryHeader(name, text string) error {
	if !httpguts.ValidHeaderFieldName(name) {
		return fmt.Errorf("%q is not the name of a header", name)
	}
	if instead := setByDelivery[callback.PlainHeader(name)]; instead != "" {
		return fmt.Errorf("%s cannot be set: %s", name, instead)
	}
	value, secret := config.NewValue(text), false
	for _, key := range value.Keys() {
		of, ours := strings.CutPrefix(key, callback.PlaceholderPrefix)
		switch {
		case isSecret(key):
			secret = true
		case config.ReplacedAtLoad("{" + key + "}"), ours && slices.Contains(callback.DeliveryPlaceholders(), of):
		default:
			return fmt.Errorf("{%s} means nothing in a header of a delivery; there are {env.NAME}, {file.PATH} and %s", key, listDeliveryPlaceholders())
		}
	}
	switch {
	case text == "":
		return fmt.Errorf("the value of %s is empty; an environment variable that is not set is empty, too", name)
	case !httpguts.ValidHeaderFieldValue(value.With("0")):
		return fmt.Errorf("the value of %s has a character that no header can hold, such as a line break", name)
	case !secret && slices.Contains(credentials, http.CanonicalHeaderKey(name)):
		return fmt.Errorf("the value of %s is a secret: write it with {env.NAME} or {file.PATH}, so that it is not in the configuration", name)
	}
	return nil
}

func listDeliveryPlaceholders() string {
	return "{" + callback.PlaceholderPrefix + strings.Join(callback.DeliveryPlaceholders(), "}, {"+callback.PlaceholderPrefix) + "}"
}

// deliveryHeader is a compiled header. known has the values of the placeholders that are
// replaced when the configuration is loaded.
type deliveryHeader struct {
	name  string
	value config.Value
	known map[string]string
}

// compile puts the rules into a Deliverer.
func (o *OwnRules) compile(d *Deliverer) error {
	for _, text := range o.Only {
		only, err := deliver.ParseOnly(text)
		if err != nil {
			return fmt.Errorf("only: %w", err)
		}
		d.guard.Only = append(d.guard.Only, only)
	}
	for _, name := range slices.Sorted(maps.Keys(o.Headers)) {
		h := deliveryHeader{name: http.CanonicalHeaderKey(name), value: config.NewValue(o.Headers[name]), known: make(map[string]string)}
		for _, key := range h.value.Keys() {
			placeholder := "{" + key + "}"
			if !config.ReplacedAtLoad(placeholder) {
				continue
			}
			value, err := secretOf(placeholder)
			if err != nil {
				d.missing = errors.Join(d.missing, fmt.Errorf("header: %s: %w", h.name, err))
				continue
			}
			if !httpguts.ValidHeaderFieldValue(value) {
				// It may be a secret, so it is not shown.
				return fmt.Errorf("header: %s: %s has a character that no header can hold, such as a line break", h.name, placeholder)
			}
			h.known[key] = value
		}
		d.headers = append(d.headers, h)
	}
	return nil
}

// header returns the directive's own headers of a delivery.
func (d *Deliverer) header(r *callback.Record) http.Header {
	header := make(http.Header, len(d.headers))
	for _, h := range d.headers {
		value := h.value.Expand(func(key string) (string, bool) {
			if value, ok := h.known[key]; ok {
				return value, true
			}
			return r.DeliveryPlaceholder(strings.TrimPrefix(key, callback.PlaceholderPrefix))
		}, func(text string) string { return text })
		header.Set(h.name, value)
	}
	return header
}

// CheckTargets makes sure that a secret in a header goes only where the operator says. named
// says that clients can name URLs.
func (o *OwnRules) CheckTargets(named bool) error {
	name, placeholder := o.SecretHeader()
	if name == "" || !named || len(o.Only) > 0 {
		return nil
	}
	return errors.New("header: " + name + " holds the secret " + placeholder + ", and a client can name any URL, which would get it; list the hosts that may get it, as in: only hooks.example.com")
}
