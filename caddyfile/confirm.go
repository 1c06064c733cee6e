package caddyfile

import "github.com/caddy-callback/caddy-callback/module/hold"

// parseConfirm reads what a person decides.
func parseConfirm(h helper, o *options, handler *hold.Handler) error {
	if err := o.once(); err != nil {
		return err
	}
	if o.NextArg() {
		return o.failf("%q is too much: it takes a block, as in: confirm { choice approve \"Approve\" }", o.Val())
	}
	confirm := new(hold.Confirm)
	inner := newOptions(o.Dispenser, o.of+": confirm")
	for nesting := o.Nesting(); inner.next(nesting); {
		if err := parseConfirmOption(h, inner, confirm); err != nil {
			return err
		}
		if err := confirm.Check(); err != nil {
			return inner.wrap(err)
		}
	}
	if err := confirm.CheckWhole(); err != nil {
		return o.failf("%w", err)
	}
	handler.Confirm = confirm
	return nil
}

func parseConfirmOption(h helper, o *options, c *hold.Confirm) error {
	switch o.name {
	case "choice":
		args := o.RemainingArgs()
		if len(args) != 2 && (len(args) != 3 || args[2] != "failed") {
			return o.failf("it needs a name and a label, and may have the word failed behind them, as in: choice reject \"Reject\" failed")
		}
		c.Choices = append(c.Choices, hold.Choice{Name: args[0], Label: args[1], Failed: len(args) == 3})
		return nil
	case "text":
		return o.text(&c.Text)
	case "title":
		return o.text(&c.Title)
	}
	if err := o.misplaced(h, "put it after callback, or into then { ... } if it is to run once the person has decided"); err != nil {
		return err
	}
	return o.unknown("choice", "text", "title")
}
