package caddyfile

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
	"github.com/dustin/go-humanize"

	"github.com/caddy-callback/caddy-callback/module/config"
)

// options reads the options of one block.
type options struct {
	*caddyfile.Dispenser
	// of names the directive or option that the block belongs to, as messages call
	// it.
	of string
	// seen says where each option was given last, all where the block's head and its
	// options stand.
	seen map[string]origin
	all  origins

	// name is the option that is being read, start its position, and before the name
	// of the option before it.
	name   string
	start  caddyfile.Dispenser
	before string
}

func newOptions(d *caddyfile.Dispenser, of string) *options {
	return &options{Dispenser: d, of: of, seen: make(map[string]origin), all: origins{originOf(d)}}
}

// next moves on to the next option of the block.
func (o *options) next(nesting int) bool {
	if !o.NextBlock(nesting) {
		return false
	}
	o.before, o.name, o.start = o.name, o.Val(), *o.Dispenser
	o.all = append(o.all, originOf(o.Dispenser))
	return true
}

// failf returns an error about the option that is being read.
func (o *options) failf(format string, args ...any) error {
	return o.wrap(fmt.Errorf(o.name+": "+format, args...))
}

// wrap adds to an error what the option belongs to, and the option's line.
func (o *options) wrap(err error) error {
	return o.start.WrapErr(fmt.Errorf("%s: %w", o.of, err))
}

// unknown returns the error that there is no such option. known are the options that
// exist, sorted.
func (o *options) unknown(known ...string) error {
	if o.name == "{" {
		return o.start.Errf("%s: %s takes no block; remove its braces", o.of, o.before)
	}
	meant := ""
	if near := config.Nearest(o.name, known); near != "" {
		meant = " (did you mean " + near + "?)"
	}
	return o.start.Errf("%s has no option %s%s; its options are %s", o.of, o.name, meant, enumerate(known))
}

// enumerate lists words as a sentence does.
func enumerate(words []string) string {
	last := len(words) - 1
	if last < 1 {
		return strings.Join(words, "")
	}
	return strings.Join(words[:last], ", ") + " and " + words[last]
}

// misplaced returns the error that a directive stands in the place of an option, nil if what
// is being read is no directive. instead says where directives stand.
func (o *options) misplaced(h httpcaddyfile.Helper, instead string) error {
	// What follows is no directive, so that the parser stops there at the latest.
	const end = "no directive"
	var tokens []caddyfile.Token
	for i, text := range []string{"route", "{", o.name, end, "}"} {
		tokens = append(tokens, caddyfile.Token{File: o.File(), Line: max(1, i), Text: text})
	}
	_, err := httpcaddyfile.ParseSegmentAsSubroute(h.WithDispenser(caddyfile.NewDispenser(tokens)))
	if err == nil || strings.Contains(err.Error(), "unrecognized directive: "+o.name+" ") {
		return nil
	}
	return o.start.Errf("%s: %s is a directive, not an option; %s", o.of, o.name, instead)
}

// once refuses an option that was given before, unless that came with an import that is
// over: then this one takes its place, and sets everything that the other one has set.
func (o *options) once() error {
	at := o.all[len(o.all)-1]
	if earlier, given := o.seen[o.name]; given && !o.all.replaces(at, earlier) {
		if at.importedAt != (position{}) && !at.sameText(earlier) {
			return o.failf("it is given before the import that gives it, too; write it after the import, and it takes the other's place")
		}
		return o.failf("it is given twice; leave one of the two out")
	}
	o.seen[o.name] = at
	return nil
}

// text reads an option's one value.
func (o *options) text(to *string) error {
	if err := o.once(); err != nil {
		return err
	}
	if !o.AllArgs(to) {
		return o.failf("it needs exactly one value")
	}
	if *to == "" {
		return o.failf("the value is empty; an environment variable that is not set is empty, too")
	}
	return nil
}

// checked is text for a value of which check says whether it is valid.
func (o *options) checked(to *string, check func() error) error {
	if err := o.text(to); err != nil {
		return err
	}
	if err := check(); err != nil {
		return o.wrap(err)
	}
	return nil
}

// onOff reads an option that is on or off.
func (o *options) onOff(to **bool) error {
	var word string
	if err := o.text(&word); err != nil {
		return err
	}
	if word != "on" && word != "off" {
		return o.failf("%q is not known; write on or off", word)
	}
	on := word == "on"
	*to = &on
	return nil
}

// keyOff reads the option of a directive for which every key may do what its permissions say,
// or which needs none.
func (o *options) keyOff(to *bool) error {
	var word string
	if err := o.text(&word); err != nil {
		return err
	}
	if word != "off" {
		return o.failf("%q is not known; every key of the global callback option may do what its permissions say, so write off, or leave the option out", word)
	}
	*to = true
	return nil
}

// list reads an option's values. There must be at least one.
func (o *options) list(to *[]string) error {
	if err := o.once(); err != nil {
		return err
	}
	*to = o.RemainingArgs()
	if len(*to) == 0 {
		return o.failf("it needs at least one value")
	}
	return nil
}

// base reads a URL that is the base of others. One with placeholders can only be
// checked when the configuration is loaded.
func (o *options) base(to *string) error {
	if err := o.text(to); err != nil {
		return err
	}
	if config.ReplacedAtLoad(*to) {
		return nil
	}
	if err := config.CheckBase(*to); err != nil {
		return o.failf("%w", err)
	}
	return nil
}

// duration reads an option's one value, a duration.
func (o *options) duration(to *caddy.Duration) error {
	var text string
	if err := o.text(&text); err != nil {
		return err
	}
	d, err := parseDuration(text)
	if err != nil {
		return o.failf("%w", err)
	}
	*to = caddy.Duration(d)
	return nil
}

// parseDuration reads a duration of at least a millisecond.
func parseDuration(text string) (time.Duration, error) {
	d, err := caddy.ParseDuration(text)
	if err != nil {
		return 0, mismatch{text, "a duration; write one like 30s, 2m or 1d"}
	}
	if d < time.Millisecond {
		return 0, mismatch{text, "a duration of at least a millisecond; write one like 30s, 2m or 1d"}
	}
	return d, nil
}

// size reads an option's one value, a number of bytes.
func (o *options) size(to *int64) error {
	var text string
	if err := o.text(&text); err != nil {
		return err
	}
	n, err := humanize.ParseBytes(text)
	if err != nil || n == 0 || n > 1<<62 {
		return o.failf("%w", mismatch{text, "a size; write one like 10MiB"})
	}
	*to = int64(n)
	return nil
}

// count reads an option's one value, a number.
func (o *options) count(to *int) error {
	var text string
	if err := o.text(&text); err != nil {
		return err
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		return o.failf("%w", mismatch{text, "a number above 0; write one like 1000"})
	}
	*to = n
	return nil
}

// mismatch is the error that a text is not what is expected.
type mismatch struct {
	text     string
	expected string
}

func (e mismatch) Error() string { return strconv.Quote(e.text) + " is not " + e.expected }
