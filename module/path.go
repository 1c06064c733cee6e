package module

import (
	"strings"

	"github.com/caddy-callback/caddy-callback/module/callback"
)

// resource is what a path of callback_server leads to.
type resource uint8

const (
	// notOurs: the path is the site's own.
	notOurs resource = iota
	// nothing: the path is ours, and leads nowhere.
	nothing
	// callPath: /cb/{state} and /cb/{state}/failed
	callPath
	// fixedPath: /cb
	fixedPath
	// queryPath: /cbq/{param}
	queryPath
	// statusPath: /cbr/{ticket}
	statusPath
	// resultPath: /cbr/{ticket}/result
	resultPath
)

// location is a parsed path.
type location struct {
	resource resource
	// secret is the state or the ticket.
	secret callback.UUID
	// parameter is the name of the query parameter that carries the state.
	parameter string
	// suffix is what comes after the state.
	suffix string
}

// parsePath reads a path as it was escaped in the request, so that a state has one
// spelling only. A slash at the end changes nothing.
func parsePath(escaped string) location {
	space, rest, deeper := strings.Cut(strings.TrimPrefix(escaped, "/"), "/")
	if !strings.HasPrefix(escaped, "/") {
		return location{}
	}
	switch space {
	case "cb", "cbq", "cbr":
	default:
		return location{}
	}
	if space == "cb" && rest == "" {
		return location{resource: fixedPath}
	}
	rest = strings.TrimSuffix(rest, "/")
	if !deeper || rest == "" {
		return location{resource: nothing}
	}
	if space == "cbq" {
		if !queryName.MatchString(rest) {
			return location{resource: nothing}
		}
		return location{resource: queryPath, parameter: rest}
	}
	text, suffix, more := strings.Cut(rest, "/")
	secret, ok := callback.ParseUUID(text)
	if !ok || more && suffix == "" {
		return location{resource: nothing}
	}
	switch space + "/" + suffix {
	case "cb/":
		return location{resource: callPath, secret: secret}
	case "cb/" + callback.SuffixFailed:
		return location{resource: callPath, secret: secret, suffix: suffix}
	case "cbr/":
		return location{resource: statusPath, secret: secret}
	case "cbr/result":
		return location{resource: resultPath, secret: secret}
	}
	return location{resource: nothing}
}
