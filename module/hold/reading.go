package hold

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/inject"
	"github.com/caddy-callback/caddy-callback/module/problem"
)

// errOtherType is wrapped by the error that a body is not of the kind in which a value is
// looked for.
var errOtherType = errors.New("body is of another type")

// read returns a value from the client's request, "" if there is none. It is an error if
// there are several that differ, or if the body cannot be read.
func (o *outgoing) read(at inject.Location) (string, error) {
	m := inject.Message{Header: o.client, Query: o.out.URL.RawQuery, Body: o.body}
	if at.InBody() {
		m.Header = o.out.Header
		if len(m.Body) == 0 {
			return "", nil
		}
		if err := checkKind(at.In, m); err != nil {
			return "", err
		}
	}
	return valueOf(m, at)
}

// checkKind makes sure that a body can be read as what the place says.
func checkKind(in inject.Place, m inject.Message) error {
	contentType := m.Header.Get("Content-Type")
	switch {
	case in == inject.JSON && !inject.IsJSON(contentType):
		return fmt.Errorf("%w: its Content-Type is %q, not application/json", errOtherType, contentType)
	case in == inject.Form && !inject.IsForm(contentType):
		return fmt.Errorf("%w: its Content-Type is %q, not application/x-www-form-urlencoded", errOtherType, contentType)
	}
	return checkUnpacked(m)
}

// checkUnpacked makes sure that a body has no coding.
func checkUnpacked(m inject.Message) error {
	if coding := m.Header.Get("Content-Encoding"); coding != "" && !strings.EqualFold(coding, "identity") {
		return fmt.Errorf("body cannot be read: its Content-Encoding is %q", coding)
	}
	return nil
}

// valueOf returns the value at a place of a message, "" if there is none, or null. It is an
// error if there are several that differ, or if the body cannot be read.
func valueOf(m inject.Message, at inject.Location) (string, error) {
	values, err := m.Values(at)
	if err != nil || len(values) == 0 {
		return "", err
	}
	if slices.ContainsFunc(values, func(v string) bool { return v != values[0] }) {
		return "", fmt.Errorf("value is ambiguous: %s is there more than once, with values that differ", at)
	}
	if at.In == inject.JSON {
		if literal, _, _ := inject.GetLiteral(m.Body, at.Name); string(literal) == "null" {
			return "", nil
		}
	}
	return values[0], nil
}

// reason returns an error as a sentence that begins with "The".
func reason(err error) string { return "The " + err.Error() + "." }

// correlationID reads the correlation id that the client gives.
func (o *outgoing) correlationID(at inject.Location) (string, error) {
	id, err := o.read(at)
	switch {
	case err != nil:
		return "", problem.InvalidCorrelationID.With(reason(err))
	case id == "":
		return "", problem.InvalidCorrelationID.With("The request must hold it: " + at.String() + ".")
	case !callback.ValidCorrelationID(id):
		return "", problem.InvalidCorrelationID
	}
	return id, nil
}

// deliverTo returns the URL to which the result is sent. A request whose body is of another
// type than the one that would hold the URL holds none.
func (o *outgoing) deliverTo() (string, error) {
	from, to := o.h.deliverFrom, o.h.deliverTo
	if from == nil {
		return to, nil
	}
	url, err := o.read(*from)
	switch {
	case err == nil && url == "" && to != "", errors.Is(err, errOtherType) && to != "":
		return to, nil
	case err != nil:
		return "", problem.NoDeliveryURL.With(reason(err))
	case url == "":
		return "", problem.NoDeliveryURL.With("The request must hold it: " + from.String() + ".")
	}
	if err := o.checkDeliveryURL(*from, url); err != nil {
		return "", problem.DeliveryURLNotAllowed.With("The URL in " + from.String() + ": " + err.Error() + ".")
	}
	return url, nil
}

func (o *outgoing) checkDeliveryURL(from inject.Location, url string) error {
	if from.In == inject.JSON {
		if literal, _, _ := inject.GetLiteral(o.body, from.Name); len(literal) > 0 && literal[0] != '"' {
			return errors.New("it is no string; write it in quotes")
		}
	}
	return o.h.deliverer.CheckURL(url)
}
