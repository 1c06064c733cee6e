package module

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"time"

	"github.com/caddyserver/caddy/v2"
	"go.uber.org/zap"

	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/deliver"
	"github.com/caddy-callback/caddy-callback/module/engine"
	"github.com/caddy-callback/caddy-callback/module/inject"
	"github.com/caddy-callback/caddy-callback/module/problem"
)

// Delivery says where results are sent, and how.
type Delivery struct {
	// From is where the client has put the URL that its result goes to. Towards the
	// upstream, ours takes its place. Default: json callbackUrl.
	From *inject.Location `json:"from,omitempty"`

	// To is where the results of clients go that have given no URL.
	To string `json:"to,omitempty"`

	DeliveryRules
}

// DeliveryRules say how results are sent. Those that a directive does not give are
// those of the global option.
type DeliveryRules struct {
	// Allow lists hosts and address ranges that results may be sent to although their
	// addresses are private; http://<host> allows plain HTTP to that host, too.
	// Default: none.
	Allow []string `json:"allow,omitempty"`

	// Sign are the secrets that deliveries are signed with (Standard Webhooks), as
	// placeholders like {env.NAME}. Default: none.
	Sign []string `json:"sign,omitempty"`

	// Retry lists the waits before further attempts. Default: 5s, 5m, 30m, 2h, 5h,
	// 10h, 10h.
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

// Check makes sure that the delivery makes sense on its own.
func (d *Delivery) Check() error {
	if err := d.DeliveryRules.Check(); err != nil {
		return err
	}
	if d.From != nil {
		if err := callback.CheckLocation(*d.From); err != nil {
			return fmt.Errorf("from: %w", err)
		}
	}
	if d.To == "" {
		return nil
	}
	if u, err := url.Parse(d.To); err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Hostname() == "" || u.User != nil {
		return fmt.Errorf("to: %q is not a URL that results can be sent to; write one like https://app.example.com/results", d.To)
	}
	return nil
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
	if d.Timeout == 0 {
		d.Timeout = others.Timeout
	}
	return d
}

// deliverer sends results by the rules of one directive, or of the global option.
type deliverer struct {
	from    *inject.Location
	to      string
	guard   deliver.Guard
	client  *deliver.Client
	secrets []deliver.Secret
	retry   []time.Duration
}

// newDeliverer compiles the rules. own are our own base URLs, to which nothing is
// sent.
func newDeliverer(rules DeliveryRules, own *deliver.Bases) (*deliverer, error) {
	d := &deliverer{guard: deliver.Guard{Own: own}}
	for _, text := range rules.Allow {
		allow, err := deliver.ParseAllow(text)
		if err != nil {
			return nil, fmt.Errorf("allow: %w", err)
		}
		d.guard.Allow = append(d.guard.Allow, allow)
	}
	for _, text := range rules.Sign {
		secret, err := deliver.ParseSecret(caddy.NewReplacer().ReplaceKnown(text, ""))
		if err != nil {
			return nil, fmt.Errorf("sign: %s: %w", text, err)
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

// Deliver implements engine.Worker: it sends a result to the client's URL.
func (wk worker) Deliver(ctx context.Context, cb *engine.Callback, number int) callback.Sent {
	d := wk.deliverer(cb.Name)
	if d == nil {
		return callback.Sent{RetryAt: callback.At(wk.rt.engine.Now().Add(firstBackoff)), Error: "no configuration"}
	}
	outcome := d.client.Send(ctx, wk.message(cb, d, number))
	sent := callback.Sent{Status: outcome.Status, Error: outcome.Error}
	switch outcome.Kind {
	case deliver.Delivered:
		sent.OK = true
		return sent
	case deliver.Gone:
		sent.Dead = true
		return sent
	}
	zap.New(wk.rt.log).Info("a result could not be delivered",
		zap.Stringer("id", cb.ID), zap.Int("attempt", cb.Delivery.Attempts+1), zap.String("reason", outcome.Error), zap.Error(outcome.Cause))
	wait, more := deliver.Next(d.retry, cb.Delivery.Attempts+1, outcome.RetryAfter, rand.Float64)
	sent.Dead = !more
	sent.RetryAt = callback.At(wk.rt.engine.Now().Add(wait))
	return sent
}

// deliverer returns who sends the results of a directive.
func (wk worker) deliverer(name string) *deliverer {
	if h := wk.rt.route(name); h != nil && h.deliverer != nil {
		return h.deliverer
	}
	if a := wk.rt.current(); a != nil {
		return a.deliverer
	}
	return nil
}

// message is the result as it is sent.
func (wk worker) message(cb *engine.Callback, d *deliverer, number int) deliver.Message {
	ended := cb.AsClientSees()
	result := ended.Result(cb.Policy)
	header := make(http.Header)
	result.Header.AddTo(header)
	if id := cb.Delivery.CorrelationID; id != "" {
		header.Set(cb.Policy.Wire().CorrelationID, id)
	}
	header.Set(cb.Policy.Wire().ResultStatus, strconv.Itoa(result.Status))
	cb.Trace.AddTo(header)
	m := deliver.Message{
		URL: cb.Delivery.URL, ID: cb.ID.String(), Timestamp: time.Now(), Header: header, Secrets: d.secrets,
	}
	if number > 1 {
		m.ID += "." + strconv.Itoa(number)
	}
	if result.Body == nil {
		header.Set("Content-Type", problem.MediaType)
		m.Body = deliver.Bytes(failedProblem(ended, result).Document())
		return m
	}
	m.Body = deliver.Body{Size: result.Body.Size, Open: func(ctx context.Context) (io.ReadCloser, error) {
		return wk.rt.engine.OpenBody(ctx, *result.Body)
	}}
	return m
}
