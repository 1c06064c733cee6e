package hold

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/caddy-callback/caddy-callback/module/app"
	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/config"
	"github.com/caddy-callback/caddy-callback/module/deliver"
	"github.com/caddy-callback/caddy-callback/module/inject"
)

// Delivery configures where results are sent, and how.
type Delivery struct {
	// From is the place in the client's request that holds the URL to which its result
	// is sent. In park, the upstream gets the callback URL in that place instead.
	// Default: json callbackUrl, or no place if to is given.
	From *inject.Location `json:"from,omitempty"`

	// To is the URL to which a result is sent if the request holds no URL. Default: a
	// request without a URL is refused.
	To string `json:"to,omitempty"`

	// FailedFrom is the place in the client's request that holds the URL to which the result
	// is sent if the callback does not resolve. In park, the upstream gets the URL for
	// failures in that place instead. Default: none.
	FailedFrom *inject.Location `json:"failed_from,omitempty"`

	// FailedTo is the URL to which such a result is sent if the request holds no URL for
	// it. Default: where all other results go.
	FailedTo string `json:"failed_to,omitempty"`

	// Method is the method of a delivery: POST, PUT or PATCH. Default: POST.
	Method string `json:"method,omitempty"`

	// Body is what is delivered in place of the body of a result. It may hold
	// {http.callback.result.body} and other placeholders of the result; in a text that is
	// JSON they are escaped. Default: the body of the result.
	Body string `json:"body,omitempty"`

	// Format is "cloudevents" for deliveries that are events of CloudEvents 1.0, in binary
	// mode, or "plain". Default: plain.
	Format string `json:"format,omitempty"`

	// Progress delivers calls that are not the answer yet, too, in their order and before the
	// result. Default: false.
	Progress bool `json:"progress,omitempty"`

	app.DeliveryRules
	app.OwnRules
}

// Check makes sure that the delivery makes sense on its own.
func (d *Delivery) Check() error {
	for _, check := range []func() error{d.DeliveryRules.Check, d.OwnRules.Check, d.checkBody, d.shape().Check} {
		if err := check(); err != nil {
			return err
		}
	}
	for _, place := range []struct {
		option string
		at     *inject.Location
	}{{"from", d.From}, {"failed_from", d.FailedFrom}} {
		if place.at == nil {
			continue
		}
		if err := callback.CheckLocation(*place.at); err != nil {
			return fmt.Errorf("%s: %w", place.option, err)
		}
	}
	if err := checkTarget("to", d.To); err != nil {
		return err
	}
	return checkTarget("failed_to", d.FailedTo)
}

// checkTarget makes sure that results can be sent to the URL in an option.
func checkTarget(option, target string) error {
	if target == "" {
		return nil
	}
	if u, err := url.Parse(target); err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Hostname() == "" || u.User != nil {
		return fmt.Errorf("%s: %q is not a URL that results can be sent to; write one like https://app.example.com/results", option, target)
	}
	return nil
}

// CheckWhole makes sure that the options make sense together. It is called when all of them
// are read.
func (d *Delivery) CheckWhole() error {
	for _, name := range slices.Sorted(maps.Keys(d.Headers)) {
		canonical := http.CanonicalHeaderKey(name)
		if d.Format == callback.FormatCloudEvents && callback.IsOfEvent(canonical) {
			return fmt.Errorf("header: %s is what receivers know an event by, and set with format cloudevents; leave it out", name)
		}
		if canonical == "Content-Type" && d.Body != "" && inject.IsJSON(d.Headers[name]) {
			if e, err := callback.NewEnvelope(d.Body); err == nil && !e.IsJSON() {
				return errors.New("body: it is no JSON, which the header Content-Type says it is: values would not be escaped; write an object, an array or a string")
			}
		}
	}
	if from := d.place(); from != nil && d.FailedFrom != nil && sameLocation(*from, *d.FailedFrom) {
		return fmt.Errorf("failed_from: %s is where the URL for all results is; write another place, or leave failed_from out if failures go there, too", d.FailedFrom)
	}
	return d.CheckTargets(d.place() != nil || d.FailedFrom != nil)
}

// sameLocation reports whether two locations are the same place of a message.
func sameLocation(a, b inject.Location) bool {
	if a.In == inject.Header {
		a.Name, b.Name = callback.PlainHeader(a.Name), callback.PlainHeader(b.Name)
	}
	return a == b
}

// place returns the place where the client's request holds its URL, nil for none.
func (d *Delivery) place() *inject.Location {
	if d.From == nil && d.To == "" {
		return &inject.Location{In: inject.JSON, Name: "callbackUrl"}
	}
	return d.From
}

// shape returns what of the options is stored with a policy.
func (d *Delivery) shape() *callback.Shape {
	s := &callback.Shape{Method: d.Method, Body: d.Body, Format: d.Format, Progress: d.Progress}
	if s.Format == formatPlain {
		s.Format = ""
	}
	return s
}

// formatPlain is the format of results that are delivered as they are.
const formatPlain = "plain"

// checkBody refuses placeholders that have no value when a result is delivered, and secrets,
// which would be stored.
func (d *Delivery) checkBody() error {
	for _, key := range config.NewValue(d.Body).Keys() {
		switch {
		case strings.HasPrefix(key, callback.PlaceholderPrefix):
			// The shape's own check knows them.
		case config.ReplacedAtLoad("{" + key + "}"):
			return fmt.Errorf("body: {%s} would be stored with each callback, where no secret belongs; put it into a header, as in: header Authorization \"Bearer {env.HOOK_TOKEN}\"", key)
		case strings.HasPrefix(key, "http."):
			return fmt.Errorf("body: {%s} means nothing when a result is delivered; there are {%s%s}", key,
				callback.PlaceholderPrefix, strings.Join(callback.EnvelopePlaceholders(), "}, {"+callback.PlaceholderPrefix))
		}
	}
	return nil
}

// stored returns the shape as a policy has it: nil for results as they are.
func (d *Delivery) stored() *callback.Shape {
	if s := d.shape(); *s != (callback.Shape{}) {
		return s
	}
	return nil
}

// within returns the rules that only the directive has. A secret in a header goes nowhere but
// to the directive's own targets, if it does not say where: results that are left from an
// earlier configuration may have a URL that a client has named.
func (d *Delivery) within(targets ...string) app.OwnRules {
	rules := d.OwnRules
	if name, _ := rules.SecretHeader(); name == "" || len(rules.Only) > 0 {
		return rules
	}
	for _, target := range targets {
		if target != "" {
			rules.Only = append(rules.Only, deliver.Host(target))
		}
	}
	return rules
}

// checkName makes sure that the options are found again after a restart, without a name in
// the global ones.
func (d *Delivery) checkName() error {
	switch {
	case !d.OwnRules.IsZero():
		return errors.New("deliver: after a restart, only and header are found by the directive's name; add the option name")
	case !d.DeliveryRules.IsZero():
		return errors.New("deliver: after a restart, its options are found by the directive's name; add the option name, or put them into the global callback option")
	}
	return nil
}
