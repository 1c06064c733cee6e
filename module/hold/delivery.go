package hold

import (
	"errors"
	"fmt"
	"net/url"

	"github.com/caddy-callback/caddy-callback/module/app"
	"github.com/caddy-callback/caddy-callback/module/callback"
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

	// Method is the method of a delivery: POST, PUT or PATCH. Default: POST.
	Method string `json:"method,omitempty"`

	app.DeliveryRules
	app.OwnRules
}

// Check makes sure that the delivery makes sense on its own.
func (d *Delivery) Check() error {
	for _, check := range []func() error{d.DeliveryRules.Check, d.OwnRules.Check, d.shape().Check} {
		if err := check(); err != nil {
			return err
		}
	}
	if d.From != nil {
		if err := callback.CheckLocation(*d.From); err != nil {
			return fmt.Errorf("from: %w", err)
		}
	}
	return checkTarget("to", d.To)
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
	return d.CheckTargets(d.place() != nil)
}

// place returns the place where the client's request holds its URL, nil for none.
func (d *Delivery) place() *inject.Location {
	if d.From == nil && d.To == "" {
		return &inject.Location{In: inject.JSON, Name: "callbackUrl"}
	}
	return d.From
}

// shape returns what of the options is stored with a policy.
func (d *Delivery) shape() *callback.Shape { return &callback.Shape{Method: d.Method} }

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
