package hold

import (
	"errors"
	"fmt"

	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/engine"
	"github.com/caddy-callback/caddy-callback/module/inject"
	"github.com/caddy-callback/caddy-callback/module/problem"
)

// errOtherType is wrapped by the error that a body is not of the kind in which a value is
// looked for.
var errOtherType = errors.New("body is of another type")

// read returns a value from the client's request. null is nothing. The errors are those of
// inject.Message, and errOtherType; engine.ErrBusy is one of them.
func (o *outgoing) read(at inject.Location) (inject.Value, error) {
	m := inject.Message{Header: o.client, Query: o.out.URL.RawQuery, Body: o.own.Bytes(), Unpacked: o.unpacked}
	if at.InBody() {
		m.Header = o.out.Header
		if len(m.Body) == 0 {
			return inject.Value{}, nil
		}
		if err := checkKind(at.In, m.Header.Get("Content-Type")); err != nil {
			return inject.Value{}, err
		}
	}
	value, err := m.Read(at)
	if value.IsNull() {
		return inject.Value{}, nil
	}
	return value, err
}

// checkKind makes sure that a body of that type can be read as what the place says.
func checkKind(in inject.Place, contentType string) error {
	if fault := kindOf(in).refuses(contentType); fault != "" {
		return fmt.Errorf("%w: its %s", errOtherType, fault)
	}
	return nil
}

// reason returns an error as a sentence that begins with "The".
func reason(err error) string { return "The " + err.Error() + "." }

// correlationID reads the correlation id that the client gives.
func (o *outgoing) correlationID(at inject.Location) (string, error) {
	value, err := o.read(at)
	id := value.Text
	switch {
	case errors.Is(err, engine.ErrBusy):
		return "", err
	case err != nil:
		return "", problem.InvalidCorrelationID.With(reason(err))
	case id == "":
		return "", problem.InvalidCorrelationID.With("The request must hold it: " + at.String() + ".")
	case !callback.ValidCorrelationID(id):
		return "", problem.InvalidCorrelationID
	}
	return id, nil
}

// deliverTo returns the URL to which the result is sent.
func (o *outgoing) deliverTo() (string, error) {
	from := o.h.deliverFrom
	url, err := o.targetFrom(from, o.h.deliverTo, o.h.deliverTo == "")
	if err == nil && url == "" {
		return "", problem.NoDeliveryURL.With("The request must hold it: " + from.String() + ".")
	}
	return url, err
}

// deliverFailedTo returns the URL to which the result is sent if the callback does not
// resolve; "" if there is none but that for all results.
func (o *outgoing) deliverFailedTo() (string, error) {
	return o.targetFrom(o.h.Deliver.FailedFrom, o.h.deliverFailedTo, false)
}

// targetFrom returns the URL in a place of the client's request, or another one if it holds
// none there. A request whose body is of another type than the one that would hold the URL
// holds none, unless it is needed.
func (o *outgoing) targetFrom(from *inject.Location, other string, needed bool) (string, error) {
	if from == nil {
		return other, nil
	}
	value, err := o.read(*from)
	url := value.Text
	switch {
	case err == nil && url == "", errors.Is(err, errOtherType) && !needed:
		return other, nil
	case errors.Is(err, engine.ErrBusy):
		return "", err
	case err != nil:
		return "", problem.NoDeliveryURL.With(reason(err))
	}
	err = o.h.deliverer.CheckURL(url)
	if !value.IsText() {
		err = errors.New("it is no string; write it in quotes")
	}
	if err != nil {
		return "", problem.DeliveryURLNotAllowed.With("The URL in " + from.String() + ": " + err.Error() + ".")
	}
	return url, nil
}
