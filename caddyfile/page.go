package caddyfile

import (
	"strconv"

	"github.com/caddy-callback/caddy-callback/module/hold"
	"github.com/caddy-callback/caddy-callback/module/inject"
)

// parsePage reads which page people see.
func parsePage(h helper, o *options, handler *hold.Handler) error {
	if err := o.once(); err != nil {
		return err
	}
	page := new(hold.Page)
	switch args := o.RemainingArgs(); {
	case len(args) > 1:
		return o.failf("%q is too much: it takes the file of a template and a block, as in: page waiting.html { redir /done }", args[1])
	case len(args) == 1 && args[0] == "":
		return o.failf("the name of the file is empty; an environment variable that is not set is empty, too")
	case len(args) == 1:
		page.Template = args[0]
	}
	inner := newOptions(o.Dispenser, o.of+": page")
	for nesting := o.Nesting(); inner.next(nesting); {
		if err := parsePageOption(h, inner, page); err != nil {
			return err
		}
		if err := page.Check(); err != nil {
			return inner.wrap(err)
		}
	}
	if err := page.CheckWhole(); err != nil {
		return o.failf("%w", err)
	}
	handler.Page = page
	return nil
}

func parsePageOption(h helper, o *options, p *hold.Page) error {
	switch o.name {
	case "lang":
		return o.list(&p.Languages)
	case "patience":
		return o.duration(&p.Patience)
	case "progress":
		return parsePageProgress(o, p)
	case "redir":
		return o.text(&p.Redirect)
	}
	if err := o.misplaced(h, "put it after callback; what the page looks like is in its template"); err != nil {
		return err
	}
	return o.unknown("lang", "patience", "progress", "redir")
}

func parsePageProgress(o *options, p *hold.Page) error {
	args := o.RemainingArgs()
	if len(args) != 2 && len(args) != 3 {
		return o.failf("it needs a place and a name, and may have the number that stands for all, as in: progress json percent, or: progress json fraction 1")
	}
	shown := hold.PageProgress{Location: inject.Location{In: inject.Place(args[0]), Name: args[1]}}
	if len(args) == 3 {
		most, err := strconv.ParseFloat(args[2], 64)
		if err != nil || !(most > 0) {
			return o.failf("%w", mismatch{args[2], "the number that stands for all; write one above 0, like 1 or 100"})
		}
		shown.Most = most
	}
	p.Progress = append(p.Progress, shown)
	return nil
}
