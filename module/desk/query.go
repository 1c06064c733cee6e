package desk

import (
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddy-callback/caddy-callback/module/answer"
	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/problem"
	"github.com/caddy-callback/caddy-callback/module/store"
)

// parameter reads one parameter of a query.
type parameter struct {
	name string
	read func(q *store.Query, value string, now time.Time) error
}

// filters are the parameters that say which callbacks a query means, and paging those that
// say which of them are on a page.
var (
	filters = []parameter{
		{"phase", func(q *store.Query, value string, _ time.Time) error { return readPhase(&q.Phase, value) }},
		{"name", func(q *store.Query, value string, _ time.Time) error { q.Name = value; return nil }},
		{"id", func(q *store.Query, value string, _ time.Time) error { return readID(&q.ID, value) }},
		{"correlationId", func(q *store.Query, value string, _ time.Time) error {
			return readCorrelationID(&q.CorrelationID, value)
		}},
		{"delivery", func(q *store.Query, value string, _ time.Time) error { return readDelivery(&q.Dead, value) }},
		{"confirm", func(q *store.Query, value string, _ time.Time) error { return readConfirm(&q.Confirm, value) }},
		{"createdAfter", func(q *store.Query, value string, now time.Time) error { return readMoment(&q.From, value, now) }},
		{"createdBefore", func(q *store.Query, value string, now time.Time) error { return readMoment(&q.Before, value, now) }},
	}
	paging = []parameter{
		{"order", func(q *store.Query, value string, _ time.Time) error { return readOrder(&q.OldestFirst, value) }},
		{"limit", func(q *store.Query, value string, _ time.Time) error { return readLimit(&q.Limit, value) }},
		cursor,
	}
	cursor  = parameter{"cursor", func(q *store.Query, value string, _ time.Time) error { return readCursor(&q.After, value) }}
	listing = slices.Concat(filters, paging)
	// counting are the parameters that say what is counted or acted upon, and where to go on.
	counting = append(slices.Clone(filters), cursor)
)

// errQuery is the problem of a URL whose query cannot be read.
var errQuery = problem.InvalidRequest.With("The query cannot be read.")

// Parameters returns the names of the parameters that ParseQuery reads.
func Parameters() []string { return namesOf(listing) }

func namesOf(parameters []parameter) []string {
	names := make([]string, len(parameters))
	for i, p := range parameters {
		names[i] = p.name
	}
	return names
}

// ParseQuery reads what is to be listed. The error is a problem that names the parameter. An
// unknown one is refused: if it were ignored, the list could have more in it than was asked
// for.
func ParseQuery(values url.Values, now time.Time) (store.Query, error) {
	return parse(listing, values, now)
}

// ParseCount reads which callbacks are to be counted, and where to go on. The error is a problem
// that names the parameter.
func ParseCount(values url.Values, now time.Time) (store.Query, error) {
	return parse(counting, values, now)
}

// CountParameters returns the names of the parameters that ParseCount reads.
func CountParameters() []string { return namesOf(counting) }

func parse(parameters []parameter, values url.Values, now time.Time) (q store.Query, err error) {
	for name, all := range values {
		i := slices.IndexFunc(parameters, func(p parameter) bool { return p.name == name })
		switch {
		case i < 0:
			return q, problem.InvalidField(name, "There is no such parameter; there are "+enumerated(namesOf(parameters))+".")
		case len(all) > 1:
			return q, problem.InvalidField(name, "It is given twice; give it once.")
		}
		if err := parameters[i].read(&q, all[0], now); err != nil {
			return q, problem.InvalidField(name, problem.Sentence(err))
		}
	}
	return q, nil
}

// mustBe returns an error that says what a value must be.
func mustBe(what string) error { return fmt.Errorf("it must be %s", what) }

var phases = []callback.Phase{callback.Waiting, callback.Resolved, callback.Failed, callback.Expired, callback.Closed}

func readPhase(to *callback.Phase, value string) error {
	i := slices.IndexFunc(phases, func(p callback.Phase) bool { return p.String() == value })
	if i < 0 {
		return mustBe("waiting, resolved, failed, expired or closed")
	}
	*to = phases[i]
	return nil
}

// readDelivery reads the state of delivery that listed callbacks must have. It can only be
// dead, because only deliveries that were given up need somebody's attention.
func readDelivery(dead *bool, value string) error {
	if value != answer.DeliveryDead {
		return mustBe(answer.DeliveryDead)
	}
	*dead = true
	return nil
}

func readID(to *callback.UUID, value string) error {
	id, ok := callback.ParseUUID(value)
	if !ok {
		return mustBe("the id of a callback, in lower case")
	}
	*to = id
	return nil
}

func readCorrelationID(to *string, value string) error {
	if !callback.ValidCorrelationID(value) {
		return mustBe("a correlation id: at most 256 printable ASCII characters, with no space at either end")
	}
	*to = value
	return nil
}

// readConfirm reads that a person must decide. It can only be true, as a delivery can only be
// dead.
func readConfirm(confirm *bool, value string) error {
	if value != "true" {
		return mustBe("true")
	}
	*confirm = true
	return nil
}

func readOrder(oldest *bool, value string) error {
	if *oldest = value == "oldest"; !*oldest && value != "newest" {
		return mustBe("newest or oldest")
	}
	return nil
}

// readMoment reads a time, or an age: how long ago it was.
func readMoment(to *callback.Time, value string, now time.Time) error {
	if at, err := time.Parse(time.RFC3339, value); err == nil && at.After(time.UnixMilli(0)) {
		*to = callback.At(at)
		return nil
	}
	age, err := caddy.ParseDuration(value)
	if err != nil || age <= 0 || now.Add(-age).Before(time.UnixMilli(1)) {
		return mustBe("a time like 2026-11-23T22:42:15Z, or an age like 90m or 7d")
	}
	*to = callback.At(now.Add(-age))
	return nil
}

func readLimit(to *int, value string) (err error) {
	if *to, err = strconv.Atoi(value); err != nil || *to < 1 || *to > store.MaxPageSize {
		return mustBe("a whole number from 1 to " + strconv.Itoa(store.MaxPageSize))
	}
	return nil
}

// cursorLength is the length of a cursor in bytes: a time and an id.
const cursorLength = 8 + 16

func encodeCursor(c store.Cursor) string {
	if c == (store.Cursor{}) {
		return ""
	}
	b := binary.BigEndian.AppendUint64(make([]byte, 0, cursorLength), uint64(c.CreatedAt))
	return base64.RawURLEncoding.EncodeToString(append(b, c.ID[:]...))
}

func readCursor(to *store.Cursor, value string) error {
	b, err := base64.RawURLEncoding.Strict().DecodeString(value)
	if err != nil || len(b) != cursorLength {
		return mustBe("the value of next in the page before")
	}
	to.CreatedAt = callback.Time(binary.BigEndian.Uint64(b))
	copy(to.ID[:], b[8:])
	return nil
}

// enumerated returns words as a sentence lists them.
func enumerated(words []string) string {
	last := len(words) - 1
	text := ""
	for i, word := range words {
		switch {
		case i > 0 && i == last:
			text += " and "
		case i > 0:
			text += ", "
		}
		text += word
	}
	return text
}
