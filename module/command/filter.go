package command

import (
	"errors"
	"net/url"

	"github.com/spf13/cobra"

	"github.com/caddy-callback/caddy-callback/module/answer"
)

// filterFlags are the flags that say which callbacks are meant, with the parameters of the API
// that they set.
var filterFlags = []struct{ flag, parameter, usage string }{
	{"phase", "phase", "Only those that are waiting, resolved, failed, expired or closed"},
	{"name", "name", "Only those of the directive with this name"},
	{"correlation-id", "correlationId", "Only those with this correlation id"},
	{"created-after", "createdAfter", "Only those made after a time like 2026-11-23T22:42:15Z, or an age like 90m or 7d"},
	{"since", "createdAfter", "The same as --created-after"},
	{"created-before", "createdBefore", "Only those made before such a time"},
}

// addFilters adds the flags that say which callbacks are meant.
func addFilters(cmd *cobra.Command) {
	for _, f := range filterFlags {
		cmd.Flags().String(f.flag, "", f.usage)
	}
	cmd.Flags().Bool("dead", false, "Only those whose result could not be delivered and was given up")
	cmd.Flags().Bool("confirm", false, "Only those that a person decides")
}

// filters returns the parameters that the flags set.
func (c *adminClient) filters() (url.Values, error) {
	query := make(url.Values)
	for _, f := range filterFlags {
		if !c.set(f.flag) {
			continue
		}
		if query.Has(f.parameter) {
			return nil, errors.New("--created-after and --since are the same; leave one of the two out")
		}
		query.Set(f.parameter, c.text(f.flag))
	}
	if c.on("dead") {
		query.Set("delivery", answer.DeliveryDead)
	}
	if c.on("confirm") {
		query.Set("confirm", "true")
	}
	return query, nil
}

// on reports whether a switch was given.
func (c *adminClient) on(flag string) bool {
	on, _ := c.cmd.Flags().GetBool(flag)
	return on
}
