package caddyfile

import (
	"github.com/caddyserver/caddy/v2"

	"github.com/caddy-callback/caddy-callback/module/hold"
	"github.com/caddy-callback/caddy-callback/module/inject"
)

// parsePoll reads how the upstream is asked for the result.
func parsePoll(h helper, o *options, handler *hold.Handler) error {
	if err := o.once(); err != nil {
		return err
	}
	if o.NextArg() {
		return o.failf("%q is too much: it takes a block, as in: poll { from header Location }", o.Val())
	}
	poll := new(hold.Poll)
	inner := newOptions(o.Dispenser, o.of+": poll")
	for nesting := o.Nesting(); inner.next(nesting); {
		if err := parsePollOption(h, inner, poll); err != nil {
			return err
		}
		if err := poll.Check(); err != nil {
			return inner.wrap(err)
		}
	}
	handler.Poll = poll
	return nil
}

func parsePollOption(h helper, o *options, p *hold.Poll) error {
	switch o.name {
	case "from":
		var place, name string
		if !o.AllArgs(&place, &name) {
			return o.failf("it needs a place and a name, as in: from header Location, or: from json urls.get")
		}
		p.From = append(p.From, inject.Location{In: inject.Place(place), Name: name})
		return nil
	case "to":
		return o.text(&p.To)
	case "after":
		return o.duration(&p.After)
	case "every":
		return parseEvery(o, p)
	case "allow":
		return o.list(&p.Allow)
	case "using":
		return parseBlock(h, o, &p.Using)
	}
	if err := o.misplaced(h, "put it into using { ... }"); err != nil {
		return err
	}
	return o.unknown("after", "allow", "every", "from", "to", "using")
}

func parseEvery(o *options, p *hold.Poll) error {
	if err := o.once(); err != nil {
		return err
	}
	args := o.RemainingArgs()
	if len(args) != 1 && len(args) != 2 {
		return o.failf("it needs a duration, and may have a longest one, as in: every 5s 1m")
	}
	p.Longest = 0
	for i, to := range []*caddy.Duration{&p.Every, &p.Longest}[:len(args)] {
		d, err := parseDuration(args[i])
		if err != nil {
			return o.failf("%w", err)
		}
		*to = caddy.Duration(d)
	}
	return nil
}

// parseFetch reads where the result is fetched from.
func parseFetch(h helper, o *options, handler *hold.Handler) error {
	const example = "as in: fetch from json data.url { reverse_proxy https://api.example.com }"
	if err := o.once(); err != nil {
		return err
	}
	fetch := new(hold.Fetch)
	switch args := o.RemainingArgs(); {
	case len(args) == 3 && args[0] == "from":
		fetch.From = &inject.Location{In: inject.Place(args[1]), Name: args[2]}
	case len(args) == 2 && args[0] == "to":
		fetch.To = args[1]
	case len(args) == 5 && args[0] == "from" && args[3] == "to":
		fetch.From, fetch.To = &inject.Location{In: inject.Place(args[1]), Name: args[2]}, args[4]
	default:
		return o.failf("it needs the place of the URL in the call, or a path, and a block, %s", example)
	}
	if err := fetch.Check(); err != nil {
		return o.failf("%w", err)
	}
	if err := parseDirectives(h, o, &fetch.Using); err != nil {
		return err
	}
	handler.Fetch = fetch
	return nil
}
