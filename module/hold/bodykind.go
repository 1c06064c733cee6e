package hold

import (
	"fmt"
	"strings"

	"github.com/caddy-callback/caddy-callback/module/inject"
	"github.com/caddy-callback/caddy-callback/module/problem"
)

// bodyKind is what a body can be in which a value has a place.
type bodyKind struct {
	in inject.Place
	// name is what messages call it, and types are the media types that it has.
	name, types string
	// has reports whether a Content-Type is that of such a body.
	has func(contentType string) bool
	// other is the problem of a request with another body.
	other problem.Problem
}

// bodyKinds are all kinds, in the order in which messages name them.
var bodyKinds = []bodyKind{
	{inject.JSON, "JSON", "application/json", inject.IsJSON, problem.NotJSON},
	{inject.XML, "XML", "application/xml", inject.IsXML, problem.NotXML},
	{inject.Form, "a form", "application/x-www-form-urlencoded or multipart/form-data", inject.IsForm, problem.NotForm},
}

// kindOf returns the kind of body that has the place.
func kindOf(in inject.Place) bodyKind {
	for _, kind := range bodyKinds {
		if kind.in == in {
			return kind
		}
	}
	return bodyKind{}
}

// refuses says what is wrong with a Content-Type, "" for nothing.
func (k bodyKind) refuses(contentType string) string {
	if k.has == nil || k.has(contentType) {
		return ""
	}
	return fmt.Sprintf("Content-Type is %q, not %s", contentType, k.types)
}

// oneBody returns the kind of body in which some places are, "" if none is in a body. It is an
// error if they are in two.
func oneBody(places []inject.Location) (body inject.Place, err error) {
	for _, at := range places {
		switch {
		case !at.InBody():
		case body != "" && body != at.In:
			return body, twoKinds(body, at.In)
		default:
			body = at.In
		}
	}
	return body, nil
}

// twoKinds is the error that one body would be of two kinds.
func twoKinds(a, b inject.Place) error {
	var names []string
	for _, kind := range bodyKinds {
		if kind.in == a || kind.in == b {
			names = append(names, kind.name)
		}
	}
	return fmt.Errorf("a body cannot be both %s; use one of the two", strings.Join(names, " and "))
}
