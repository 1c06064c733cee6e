package hold

import (
	"fmt"
	"net/url"

	"github.com/caddy-callback/caddy-callback/module/app"
	"github.com/caddy-callback/caddy-callback/module/callback"
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

	app.DeliveryRules
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
