package app

import (
	"cmp"
	"errors"
	"fmt"
	"regexp"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/config"
	"github.com/caddy-callback/caddy-callback/module/deliver"
)

// DeliveryRules say how results are sent. A rule that a directive does not give is
// taken from the global option.
type DeliveryRules struct {
	// Allow lists hosts and address ranges that results may be sent to even if the
	// addresses are private; http://<host> allows plain HTTP to that host, too.
	// Default: none.
	Allow []string `json:"allow,omitempty"`

	// Sign are the secrets that deliveries are signed with (Standard Webhooks), as
	// placeholders like {env.NAME}. Default: none.
	Sign []string `json:"sign,omitempty"`

	// Retry lists how long to wait after each failed attempt; after the last wait
	// comes one last attempt. Default: 5s, 5m, 30m, 2h, 5h, 10h, 10h.
	Retry []caddy.Duration `json:"retry,omitempty"`

	// Timeout is how long an attempt may take. Default: 30s.
	Timeout caddy.Duration `json:"timeout,omitempty"`
}

var deliverySecret = regexp.MustCompile(`^\{(env|file)\.[^{}]+\}$`)

// Check makes sure that the rules make sense on their own. Errors begin with the
// option.
func (d *DeliveryRules) Check() error {
	for _, text := range d.Allow {
		if _, err := deliver.ParseAllow(text); err != nil {
			return fmt.Errorf("allow: %w", err)
		}
	}
	for _, text := range d.Sign {
		if !deliverySecret.MatchString(text) {
			return errors.New("sign: the secret must be {env.NAME} or {file.PATH}, so that it is not in the configuration")
		}
	}
	for _, wait := range d.Retry {
		if wait < 0 {
			return fmt.Errorf("retry: the wait %v is negative; write durations like 5s 5m 1h", time.Duration(wait))
		}
	}
	if d.Timeout < 0 {
		return errors.New("timeout is negative; leave it out for the default")
	}
	return nil
}

// IsZero reports whether no rule is given.
func (d *DeliveryRules) IsZero() bool {
	return d.Allow == nil && d.Sign == nil && d.Retry == nil && d.Timeout == 0
}

// over returns the rules, with those that are not given taken from others.
func (d DeliveryRules) over(others DeliveryRules) DeliveryRules {
	if len(d.Allow) == 0 {
		d.Allow = others.Allow
	}
	if len(d.Sign) == 0 {
		d.Sign = others.Sign
	}
	if len(d.Retry) == 0 {
		d.Retry = others.Retry
	}
	d.Timeout = cmp.Or(d.Timeout, others.Timeout)
	return d
}

// Deliverer sends results by the rules of one directive, or of the global option.
type Deliverer struct {
	// headers are the directive's own.
	headers []deliveryHeader
	// missing says which values of the headers are missing; nil for none.
	missing error
	// own says that the secrets are those of the rules themselves, and not the global ones.
	own     bool
	guard   deliver.Guard
	client  *deliver.Client
	secrets []deliver.Secret
	retry   []time.Duration
}

// NewDeliverer compiles rules, and those that only a directive has. Rules that are not given
// are taken from the global option.
func (a *App) NewDeliverer(rules DeliveryRules, own OwnRules) (*Deliverer, error) {
	signsItself := len(rules.Sign) > 0
	rules = rules.over(*a.Deliver)
	d := &Deliverer{own: signsItself, guard: deliver.Guard{Own: &a.bases}}
	for _, text := range rules.Allow {
		allow, err := deliver.ParseAllow(text)
		if err != nil {
			return nil, fmt.Errorf("allow: %w", err)
		}
		d.guard.Allow = append(d.guard.Allow, allow)
	}
	if err := own.compile(d); err != nil {
		return nil, err
	}
	a.missing = errors.Join(a.missing, d.missing)
	for _, text := range rules.Sign {
		signing, err := secretOf(text)
		if err != nil {
			return nil, fmt.Errorf("sign: %w; %s", err, config.MakeSigningSecret)
		}
		secret, err := deliver.ParseSecret(signing)
		if err != nil {
			return nil, fmt.Errorf("sign: %s: %w; %s", text, err, config.MakeSigningSecret)
		}
		d.secrets = append(d.secrets, secret)
	}
	for _, wait := range rules.Retry {
		d.retry = append(d.retry, time.Duration(wait))
	}
	if d.retry == nil {
		d.retry = deliver.DefaultSchedule
	}
	d.client = deliver.New(deliver.Options{Guard: d.guard, Timeout: time.Duration(rules.Timeout)})
	return d, nil
}

// Sender says of the results of a directive that has this Deliverer who delivers them. What
// is to be signed is never sent without a signature, and what is to be signed with a secret
// of the directive's own by nobody else. Nor does anybody else have the directive's headers.
func (d *Deliverer) Sender() (s callback.Sender) {
	if len(d.headers) > 0 {
		s |= callback.OnlyDirective
	}
	if len(d.secrets) > 0 {
		s |= callback.OnlySigned
		if d.own {
			s |= callback.OnlyDirective
		}
	}
	return s
}

// Sender says of the results of callbacks that are made through the API who delivers them.
func (a *App) Sender() callback.Sender {
	s := callback.OnlyGlobal
	if len(a.deliverer.secrets) > 0 {
		s |= callback.OnlySigned
	}
	return s
}

// CheckURL makes sure that results may be sent to a URL.
func (d *Deliverer) CheckURL(text string) error {
	_, err := d.guard.CheckURL(text)
	return err
}

// Close closes the connections over which results were sent.
func (d *Deliverer) Close() { d.client.Close() }

// CheckDeliverTo makes sure that results may be sent to a URL. own is one more of our
// base URLs, which results are not sent to; it may be empty.
func (a *App) CheckDeliverTo(text, own string) (err error) {
	guard := a.deliverer.guard
	if guard.Own, err = guard.Own.With(own); err != nil {
		return err
	}
	_, err = guard.CheckURL(text)
	return err
}
