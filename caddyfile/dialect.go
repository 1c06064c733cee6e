package caddyfile

import (
	"strconv"

	"github.com/caddy-callback/caddy-callback/module/hold"
	"github.com/caddy-callback/caddy-callback/module/inject"
)

func parseMatch(o *options, to *[]hold.Match) error {
	args := o.RemainingArgs()
	if len(args) < 2 {
		return o.failf("it needs a place, a name and values, as in: %s json status error", o.name)
	}
	match := hold.Match{Location: inject.Location{In: inject.Place(args[0]), Name: args[1]}}
	if len(args) > 2 {
		match.Values = args[2:]
	}
	*to = append(*to, match)
	return nil
}

func parsePlace(o *options, to **inject.Location) error {
	if err := o.once(); err != nil {
		return err
	}
	var place, name string
	if !o.AllArgs(&place, &name) {
		return o.failf("it needs a place and a name, as in: %s json error.code", o.name)
	}
	*to = &inject.Location{In: inject.Place(place), Name: name}
	return nil
}

func parseFailedStatus(o *options, d *hold.Dialect) error {
	var text string
	if err := o.text(&text); err != nil {
		return err
	}
	status, err := strconv.Atoi(text)
	if err != nil || status == 0 {
		return o.failf("%w", mismatch{text, "a status; write one from 400 to 599"})
	}
	d.FailedStatus = status
	return nil
}

// yesNo reads an option that is on or off, and off by default.
func (o *options) yesNo(to *bool) error {
	var on *bool
	if err := o.onOff(&on); err != nil {
		return err
	}
	*to = *on
	return nil
}
