package callback

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/caddy-callback/caddy-callback/module/inject"
)

// Envelope is what is delivered in place of the body of a result: a text with placeholders,
// compiled once. If it is JSON, it stays JSON whatever the values are.
type Envelope struct {
	parts []part
	json  bool
}

// maxEnvelope is how long the text of an envelope can be, in bytes.
const maxEnvelope = 64 << 10

// bodyPlaceholder is the placeholder for the body of the result.
const bodyPlaceholder = "result.body"

// resultPlaceholders are the placeholders {http.callback.<name>} that can stand in an
// envelope, beside those of the headers of a delivery and that for the body.
var resultPlaceholders = []struct {
	name  string
	value func(*Record, Result) string
	// number says that the value is a number.
	number bool
}{
	{"result.status", func(_ *Record, result Result) string { return strconv.Itoa(result.Status) }, true},
	{"result.phase", func(r *Record, _ Result) string { return r.Phase.String() }, false},
	{"result.error_code", func(r *Record, _ Result) string { return r.Failure.code() }, false},
	{"result.error_text", func(r *Record, _ Result) string { return r.Failure.text() }, false},
}

func (f *Failure) code() string {
	if f == nil {
		return ""
	}
	return f.ErrorCode
}

func (f *Failure) text() string {
	if f == nil {
		return ""
	}
	return f.ErrorText
}

// EnvelopePlaceholders returns the names of the placeholders that can stand in an envelope,
// without their prefix.
func EnvelopePlaceholders() []string {
	names := DeliveryPlaceholders()
	for _, p := range resultPlaceholders {
		names = append(names, p.name)
	}
	return append(names, bodyPlaceholder)
}

// isNumber reports whether the value of a placeholder is a number.
func isNumber(name string) bool {
	for _, p := range resultPlaceholders {
		if p.name == name {
			return p.number
		}
	}
	return false
}

// EnvelopeLookup returns the values of the placeholders in an envelope around a result of the
// record, but for the body.
func (r *Record) EnvelopeLookup(result Result) Lookup {
	return func(name string) string {
		for _, p := range resultPlaceholders {
			if p.name == name {
				return p.value(r, result)
			}
		}
		value, _ := r.DeliveryPlaceholder(name)
		return value
	}
}

// NewEnvelope compiles text.
func NewEnvelope(text string) (*Envelope, error) {
	switch {
	case len(text) > maxEnvelope:
		return nil, errors.New("it is longer than 64 KiB")
	case !utf8.ValidString(text):
		return nil, errors.New("it is not UTF-8")
	}
	e := &Envelope{parts: NewTemplate(text).parts}
	for _, p := range e.parts {
		if p.literal == "" && !slices.Contains(EnvelopePlaceholders(), p.name) {
			return nil, fmt.Errorf("there is no placeholder {%s%s} in what is delivered; there are {%s%s}", PlaceholderPrefix, p.name,
				PlaceholderPrefix, strings.Join(EnvelopePlaceholders(), "}, {"+PlaceholderPrefix))
		}
	}
	return e, e.readJSON()
}

// readJSON notes whether the text is JSON. It must be, if it begins with a brace.
func (e *Envelope) readJSON() error {
	if len(e.parts) == 0 || e.parts[0].name != "" {
		return nil
	}
	begin := strings.TrimLeft(e.parts[0].literal, " \t\r\n")
	if begin == "" || !strings.ContainsRune(`{["`, rune(begin[0])) {
		return nil
	}
	sample := e.sample(`""`)
	err := checkJSON(sample)
	switch {
	case err != nil:
	case checkJSON(e.sample("0")) != nil:
		err = fmt.Errorf("the name of a member cannot be {%s%s} without quotes", PlaceholderPrefix, bodyPlaceholder)
	case nesting([]byte(sample)) > maxNesting:
		err = fmt.Errorf("its arrays and objects are nested more than %d deep", maxNesting)
	}
	e.json = err == nil
	if begin[0] == '{' && err != nil {
		return fmt.Errorf("it begins as JSON does, and is none: %w", err)
	}
	return nil
}

func checkJSON(text string) error {
	var value any
	return json.Unmarshal([]byte(text), &value)
}

// maxNesting is how deep arrays and objects can be nested in an envelope, and in a body that
// stands there as a value: many readers of JSON take no more than some thousand.
const maxNesting = 1000

// IsValue reports whether a body can stand in an envelope as a JSON value.
func IsValue(body []byte) bool {
	return utf8.Valid(body) && json.Valid(body) && nesting(body) <= maxNesting
}

// nesting returns how deep arrays and objects are nested in valid JSON.
func nesting(text []byte) (deepest int) {
	depth, quoted := 0, false
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == '"':
			quoted = !quoted
		case c == '\\':
			i++
		case quoted:
		case c == '[' || c == '{':
			depth++
			deepest = max(deepest, depth)
		case c == ']' || c == '}':
			depth--
		}
	}
	return deepest
}

// sample returns the text with a value for each placeholder: body is that of the body where it
// stands as a value of its own.
func (e *Envelope) sample(body string) string {
	var b strings.Builder
	for _, p := range e.parts {
		switch {
		case p.name == "":
			b.WriteString(p.literal)
		case p.quoted:
			// No escape ends with this character.
			b.WriteString("x")
		case isNumber(p.name):
			b.WriteString("200")
		case p.name == bodyPlaceholder:
			b.WriteString(body)
		default:
			b.WriteString(`""`)
		}
	}
	return b.String()
}

// IsJSON reports whether what is delivered is JSON.
func (e *Envelope) IsJSON() bool { return e.json }

// MediaType returns the media type of what is delivered.
func (e *Envelope) MediaType() string {
	if e.json {
		return "application/json"
	}
	return "text/plain; charset=utf-8"
}

// Header returns the header lines of a result for the envelope with it.
func (e *Envelope) Header(h Header) Header {
	made := slices.DeleteFunc(slices.Clone(h), func(f Field) bool {
		return slices.Contains(bodyHeaders, f.Name) || slices.Contains(DigestHeaders, f.Name)
	})
	return append(made, Field{Name: "Content-Type", Value: e.MediaType()})
}

// BodyForm is how the body of a result stands in an envelope.
type BodyForm uint8

// The forms.
const (
	// NoBody: the piece is a text.
	NoBody BodyForm = iota
	// BodyAsIs: byte for byte.
	BodyAsIs
	// BodyInString: within a JSON string.
	BodyInString
	// BodyAsValue: as a JSON value; one that is no JSON becomes a string.
	BodyAsValue
)

// Piece is a piece of an envelope that is filled in: a text, or the body.
type Piece struct {
	Text string
	Body BodyForm
}

// Fill returns the pieces of the envelope with these values. They are data: braces in them
// mean nothing.
func (e *Envelope) Fill(look Lookup) []Piece {
	var pieces []Piece
	var text strings.Builder
	for _, p := range e.parts {
		switch p.name {
		case bodyPlaceholder:
			pieces = append(pieces, Piece{Text: text.String()}, Piece{Body: e.bodyForm(p)})
			text.Reset()
		case "":
			text.WriteString(p.literal)
		default:
			text.WriteString(e.escaped(p, look(p.name)))
		}
	}
	return append(pieces, Piece{Text: text.String()})
}

func (e *Envelope) bodyForm(p part) BodyForm {
	switch {
	case !e.json:
		return BodyAsIs
	case p.quoted:
		return BodyInString
	}
	return BodyAsValue
}

// escaped returns a value as it stands in the envelope.
func (e *Envelope) escaped(p part, value string) string {
	switch {
	case !e.json || !p.quoted && isNumber(p.name):
		return value
	case p.quoted:
		return inject.QuoteWithin(value)
	}
	return string(inject.Quote(value))
}
