package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/inject"
	"github.com/caddy-callback/caddy-callback/module/problem"
)

// creation is a request to make a callback. Its texts are data: placeholders in them are
// not replaced.
type creation struct {
	activity, activityCase           string
	stateQuery                       string
	retryable, multiple, includeKey  bool
	alternativeDomain                string
	responseType, redirectURL        string
	body                             string
	code                             int
	header                           callback.Header
	correlationID                    string
	expiresIn                        time.Duration
	methods                          []string
	requireStatus, requireCorrelated bool
	deliverTo                        string
	data                             []byte
	result                           string
}

// creationFields read the fields of a request to make a callback.
var creationFields = map[string]func(c *creation, raw []byte) error{
	"callbackActivity":     textField(func(c *creation) *string { return &c.activity }),
	"callbackActivityCase": textField(func(c *creation) *string { return &c.activityCase }),
	"stateQueryParameter":  textField(func(c *creation) *string { return &c.stateQuery }),
	"retryableAfterError":  boolField(func(c *creation) *bool { return &c.retryable }),
	"allowMultipleCalls":   boolField(func(c *creation) *bool { return &c.multiple }),
	"alternativeDomain":    textField(func(c *creation) *string { return &c.alternativeDomain }),
	"responseType":         givenField(func(c *creation) *string { return &c.responseType }),
	"responseRedirectUrl":  textField(func(c *creation) *string { return &c.redirectURL }),
	"responseBody":         textField(func(c *creation) *string { return &c.body }),
	"responseCode":         readCode,
	"responseHeaders":      readHeaders,
	"includeApiKey":        boolField(func(c *creation) *bool { return &c.includeKey }),
	"correlationId":        givenField(func(c *creation) *string { return &c.correlationID }),
	"expiresIn":            readExpiry,
	"methods":              readMethods,
	"requireStatus":        boolField(func(c *creation) *bool { return &c.requireStatus }),
	"requireCorrelationId": boolField(func(c *creation) *bool { return &c.requireCorrelated }),
	"deliverTo":            givenField(func(c *creation) *string { return &c.deliverTo }),
	"data":                 readData,
	"result":               givenField(func(c *creation) *string { return &c.result }),
}

// defaultExpiresIn is how long a callback accepts calls if the request does not say it.
const defaultExpiresIn = 24 * time.Hour

// parseCreation reads a request to make a callback. It refuses what two parsers could read
// differently, such as a name that is given twice.
func parseCreation(body []byte) (*creation, error) {
	if err := inject.CheckJSON(body); err != nil {
		return nil, problem.InvalidRequest.With("The " + err.Error() + ".")
	}
	members, err := membersOf(body, len(body))
	if err != nil {
		return nil, err
	}
	c := &creation{retryable: true, expiresIn: defaultExpiresIn}
	for _, m := range members {
		read, known := creationFields[m.name]
		if !known {
			return nil, problem.InvalidField(m.name, "There is no such field; there are "+strings.Join(slices.Sorted(maps.Keys(creationFields)), ", ")+".")
		}
		if err := read(c, m.value); err != nil {
			return nil, problem.InvalidField(m.name, problem.Sentence(err))
		}
	}
	return c, nil
}

// member is a member of a JSON object.
type member struct {
	name  string
	value json.RawMessage
}

// errMembers is returned for an object with more members than are wanted.
var errMembers = errors.New("the object has too many members")

// membersOf returns the members of a valid JSON text that is an object of at most that
// many members. Names that differ only in case are refused, because many JSON parsers
// take them for the same.
func membersOf(text []byte, most int) ([]member, error) {
	d := json.NewDecoder(bytes.NewReader(text))
	if open, _ := d.Token(); open != json.Delim('{') {
		return nil, problem.InvalidRequest.With("The body must be a JSON object.")
	}
	var members []member
	seen := make(map[string]bool)
	for d.More() {
		if len(members) == most {
			return nil, errMembers
		}
		name, _ := d.Token()
		m := member{name: name.(string)}
		if err := d.Decode(&m.value); err != nil {
			return nil, problem.InvalidRequest.With("The body must be a JSON object.")
		}
		folded := fold(m.name)
		if seen[folded] {
			return nil, problem.InvalidField(m.name, "It is given twice, or again in another case; give it once.")
		}
		seen[folded] = true
		members = append(members, m)
	}
	return members, nil
}

// fold returns one text for all texts that strings.EqualFold takes for equal.
func fold(text string) string {
	return strings.Map(func(r rune) rune {
		least := r
		for other := unicode.SimpleFold(r); other != r; other = unicode.SimpleFold(other) {
			least = min(least, other)
		}
		return least
	}, text)
}

// mustBe returns an error that says what a value must be.
func mustBe(what string) error { return fmt.Errorf("it must be %s", what) }

func readText(raw []byte) (string, error) {
	var text string
	if raw[0] != '"' || json.Unmarshal(raw, &text) != nil {
		return "", mustBe("a string")
	}
	return text, nil
}

// textField reads a text. An empty one counts as not given.
func textField(field func(*creation) *string) func(*creation, []byte) error {
	return func(c *creation, raw []byte) (err error) {
		*field(c), err = readText(raw)
		return err
	}
}

// givenField reads a text that must not be empty.
func givenField(field func(*creation) *string) func(*creation, []byte) error {
	return func(c *creation, raw []byte) (err error) {
		if *field(c), err = readText(raw); err == nil && *field(c) == "" {
			return mustBe("a text that is not empty; leave the field out for the default")
		}
		return err
	}
}

func boolField(field func(*creation) *bool) func(*creation, []byte) error {
	return func(c *creation, raw []byte) error {
		switch string(raw) {
		case "true", "false":
			*field(c) = raw[0] == 't'
			return nil
		}
		return mustBe("true or false")
	}
}

func readCode(c *creation, raw []byte) (err error) {
	if c.code, err = strconv.Atoi(string(raw)); err != nil || c.code < 200 || c.code > 599 {
		return mustBe("a whole number from 200 to 599")
	}
	return nil
}

// Bounds on the headers of a reply.
const (
	maxReplyHeaders     = 64
	maxReplyHeaderBytes = 16 << 10
)

func readHeaders(c *creation, raw []byte) error {
	if raw[0] != '{' {
		return mustBe("an object with the headers' names and values")
	}
	tooMuch := fmt.Errorf("there are more than %d headers, or more than %d bytes of them", maxReplyHeaders, maxReplyHeaderBytes)
	members, err := membersOf(raw, maxReplyHeaders)
	switch {
	case errors.Is(err, errMembers):
		return tooMuch
	case err != nil:
		return fmt.Errorf("a header is given twice; join its values with a comma")
	}
	size := 0
	for _, m := range members {
		value, err := readText(m.value)
		if err != nil {
			return fmt.Errorf("the value of each header must be a string")
		}
		value = strings.TrimSpace(value)
		size += len(m.name) + len(value)
		c.header = append(c.header, callback.Field{Name: http.CanonicalHeaderKey(m.name), Value: value})
	}
	if size > maxReplyHeaderBytes {
		return tooMuch
	}
	slices.SortFunc(c.header, func(a, b callback.Field) int { return strings.Compare(a.Name, b.Name) })
	return nil
}

// maxExpiresIn bounds how long a callback can accept calls.
const maxExpiresIn = 365 * 24 * time.Hour

// readExpiry reads a duration, as text with a unit or as a number of seconds.
func readExpiry(c *creation, raw []byte) error {
	what := mustBe(`a duration like "30m", "24h" or "7d", or a number of seconds, above 0 and at most a year`)
	seconds, err := strconv.ParseFloat(string(raw), 64)
	switch {
	case err == nil && seconds > 0 && seconds <= maxExpiresIn.Seconds():
		c.expiresIn = time.Duration(seconds * float64(time.Second))
	case raw[0] == '"':
		text, _ := readText(raw)
		if c.expiresIn, err = caddy.ParseDuration(text); err != nil {
			return what
		}
	default:
		return what
	}
	if c.expiresIn < time.Millisecond || c.expiresIn > maxExpiresIn {
		return what
	}
	return nil
}

func readMethods(c *creation, raw []byte) error {
	var given []string
	if raw[0] != '[' || json.Unmarshal(raw, &given) != nil || len(given) == 0 {
		return mustBe("an array with some of " + strings.Join(callback.CallMethods, ", "))
	}
	for i, m := range given {
		if !slices.Contains(callback.CallMethods, m) || slices.Contains(given[:i], m) {
			return mustBe("an array with some of " + strings.Join(callback.CallMethods, ", ") + ", each once")
		}
	}
	// The order has no meaning. Use one, so that policies with the same meaning are
	// stored once.
	for _, m := range callback.CallMethods {
		if slices.Contains(given, m) {
			c.methods = append(c.methods, m)
		}
	}
	return nil
}

// maxData bounds the data that an app keeps with its callback, in bytes.
const maxData = 16 << 10

func readData(c *creation, raw []byte) error {
	var b bytes.Buffer
	if err := json.Compact(&b, raw); err != nil || b.Len() > maxData {
		return fmt.Errorf("it has more than %d bytes", maxData)
	}
	c.data = b.Bytes()
	return nil
}
