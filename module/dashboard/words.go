package dashboard

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
)

// count writes a number for people.
func count(n int) string { return humanize.Comma(int64(n)) }

// bytesOf writes a size for people.
func bytesOf(n uint64) string { return humanize.IBytes(n) }

// plural writes a number of things.
func plural(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return count(n) + " " + many
}

// unit is a unit of time.
type unit struct {
	length time.Duration
	name   string
}

var units = []unit{{24 * time.Hour, "d"}, {time.Hour, "h"}, {time.Minute, "min"}, {time.Second, "s"}}

// span writes a duration for people: in its two largest units, or to a thousandth of a second.
func span(d time.Duration) string {
	if d < 0 {
		return "-" + span(-d)
	}
	if d < 10*time.Second {
		text := strconv.FormatFloat(d.Seconds(), 'f', 3, 64)
		return strings.TrimSuffix(strings.TrimRight(text, "0"), ".") + " s"
	}
	largest := slices.IndexFunc(units, func(u unit) bool { return d >= u.length })
	text := strconv.Itoa(int(d/units[largest].length)) + " " + units[largest].name
	if largest+1 < len(units) {
		next := units[largest+1]
		if n := int(d % units[largest].length / next.length); n > 0 {
			text += " " + strconv.Itoa(n) + " " + next.name
		}
	}
	return text
}

// since writes how long ago something was, to the second.
func since(d time.Duration) string { return span(max(0, d).Truncate(time.Second)) }
