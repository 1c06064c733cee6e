package caddyfile

import (
	"strconv"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/dustin/go-humanize"
)

// options reads the options of one block.
type options struct {
	*caddyfile.Dispenser
	seen map[string]bool
}

func newOptions(d *caddyfile.Dispenser) *options {
	return &options{Dispenser: d, seen: make(map[string]bool)}
}

// once refuses an option that was given before.
func (o *options) once() error {
	if o.seen[o.Val()] {
		return o.Errf("%s is given twice", o.Val())
	}
	o.seen[o.Val()] = true
	return nil
}

// text reads an option's one value.
func (o *options) text(to *string) error {
	if err := o.once(); err != nil {
		return err
	}
	if !o.AllArgs(to) {
		return o.ArgErr()
	}
	if *to == "" {
		return o.Err("the value is empty")
	}
	return nil
}

// word reads an option's one value, which is one of a few.
func (o *options) word(to *string, words ...string) error {
	option := o.Val()
	if err := o.text(to); err != nil {
		return err
	}
	for _, w := range words {
		if *to == w {
			return nil
		}
	}
	return o.Errf("%s is %q; it is %s or %s", option, *to, words[0], words[1])
}

// onOff reads an option that is on or off.
func (o *options) onOff(to **bool) error {
	var word string
	if err := o.word(&word, "on", "off"); err != nil {
		return err
	}
	on := word == "on"
	*to = &on
	return nil
}

// list adds an option's values, of which there must be one.
func (o *options) list(to *[]string) error {
	if err := o.once(); err != nil {
		return err
	}
	*to = o.RemainingArgs()
	if len(*to) == 0 {
		return o.ArgErr()
	}
	return nil
}

// duration reads an option's one value, a duration.
func (o *options) duration(to *caddy.Duration) error {
	option := o.Val()
	var text string
	if err := o.text(&text); err != nil {
		return err
	}
	d, err := parseDuration(text)
	if err != nil {
		return o.Errf("%s: %v", option, err)
	}
	*to = caddy.Duration(d)
	return nil
}

// parseDuration reads a duration that time can be measured with.
func parseDuration(text string) (time.Duration, error) {
	d, err := caddy.ParseDuration(text)
	if err != nil {
		return 0, mismatch{text, "a duration; write one like 30s, 2m or 1d"}
	}
	if d < time.Millisecond {
		return 0, mismatch{text, "a duration of at least a millisecond"}
	}
	return d, nil
}

// size reads an option's one value, a number of bytes.
func (o *options) size(to *int64) error {
	option := o.Val()
	var text string
	if err := o.text(&text); err != nil {
		return err
	}
	n, err := humanize.ParseBytes(text)
	if err != nil || n == 0 || n > 1<<62 {
		return o.Errf("%s: %v", option, mismatch{text, "a size; write one like 10MiB"})
	}
	*to = int64(n)
	return nil
}

// count reads an option's one value, a number.
func (o *options) count(to *int) error {
	option := o.Val()
	var text string
	if err := o.text(&text); err != nil {
		return err
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		return o.Errf("%s: %v", option, mismatch{text, "a number above 0"})
	}
	*to = n
	return nil
}

// mismatch says that a text is not what it should be.
type mismatch struct {
	text     string
	expected string
}

func (e mismatch) Error() string { return strconv.Quote(e.text) + " is not " + e.expected }
