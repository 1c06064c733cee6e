package hold

import (
	"fmt"
	"net/url"

	"github.com/caddy-callback/caddy-callback/module/app"
	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/inject"
)

// Delivery says where results are sent, and how.
type Delivery struct {
	// From is where the client has put the URL that its result goes to. Towards the
	// upstream, ours takes its place. Default: json callbackUrl.
	From *inject.Location `json:"from,omitempty"`

	// To is where the results of clients go that have given no URL.
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
