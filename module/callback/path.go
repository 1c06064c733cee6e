package callback

import (
	"net/url"
	"regexp"
	"strings"
)

// The first segments of callback_server's own paths.
const (
	callSpace   = "cb"
	querySpace  = "cbq"
	ticketSpace = "cbr"
)

// Ends of paths.
const (
	// SuffixFailed ends the path of calls that mean Failed whatever their content.
	SuffixFailed = "failed"
	suffixResult = "result"
)

// KeyParameter is the query parameter that carries a key.
const KeyParameter = "api_key"

// CallbackURL returns the URL that the partner is given.
func (p *Policy) CallbackURL(state UUID) string {
	if p.StateQuery != "" {
		return p.BaseURL + "/" + querySpace + "/" + p.StateQuery + "?" + p.StateQuery + "=" + state.String()
	}
	return p.BaseURL + "/" + callSpace + "/" + state.String()
}

// StatusLink returns the URL where the waiting side can read the status.
func (p *Policy) StatusLink(ticket UUID) string {
	return p.StatusURL + "/" + ticketSpace + "/" + ticket.String()
}

// ResultLink returns the URL where the waiting side can fetch the result.
func (p *Policy) ResultLink(ticket UUID) string { return p.StatusLink(ticket) + "/" + suffixResult }

// Resource is what a path of callback_server leads to.
type Resource uint8

const (
	// OfSite means that the path is the site's own.
	OfSite Resource = iota
	// Nowhere means that the path is callback_server's own, but nothing is there.
	Nowhere
	// CallPath is /cb/{state} and /cb/{state}/failed
	CallPath
	// FixedPath is /cb
	FixedPath
	// QueryPath is /cbq/{param}
	QueryPath
	// StatusPath is /cbr/{ticket}
	StatusPath
	// ResultPath is /cbr/{ticket}/result
	ResultPath
)

// Path is a parsed path of callback_server.
type Path struct {
	Resource Resource
	// Secret is the state or the ticket.
	Secret UUID
	// Parameter is the name of the query parameter that carries the state.
	Parameter string
	// Suffix is what comes after the state.
	Suffix string
}

// ParsePath reads a path in its escaped form, as the request has it, so that there is
// only one spelling of a state. A slash at the end changes nothing.
func ParsePath(escaped string) Path {
	space, rest, deeper := strings.Cut(strings.TrimPrefix(escaped, "/"), "/")
	if !strings.HasPrefix(escaped, "/") || !IsOwnSpace(space) {
		return Path{}
	}
	if space == callSpace && rest == "" {
		return Path{Resource: FixedPath}
	}
	rest = strings.TrimSuffix(rest, "/")
	if !deeper || rest == "" {
		return Path{Resource: Nowhere}
	}
	if space == querySpace {
		if !queryName.MatchString(rest) {
			return Path{Resource: Nowhere}
		}
		return Path{Resource: QueryPath, Parameter: rest}
	}
	text, suffix, more := strings.Cut(rest, "/")
	secret, ok := ParseUUID(text)
	if !ok || more && suffix == "" {
		return Path{Resource: Nowhere}
	}
	switch space + "/" + suffix {
	case callSpace + "/":
		return Path{Resource: CallPath, Secret: secret}
	case callSpace + "/" + SuffixFailed:
		return Path{Resource: CallPath, Secret: secret, Suffix: suffix}
	case ticketSpace + "/":
		return Path{Resource: StatusPath, Secret: secret}
	case ticketSpace + "/" + suffixResult:
		return Path{Resource: ResultPath, Secret: secret}
	}
	return Path{Resource: Nowhere}
}

// IsOwnSpace reports whether a path that begins with this segment is one of
// callback_server's own.
func IsOwnSpace(segment string) bool {
	return segment == callSpace || segment == querySpace || segment == ticketSpace
}

// queryName matches the names of query parameters that can carry a state. The first
// character is no dot, because "." and ".." are directories in a path.
var queryName = regexp.MustCompile(`^[A-Za-z0-9_~-][A-Za-z0-9._~-]{0,63}$`)

// LeadsBack reports whether a URL leads to one of callback_server's own paths below
// the base URL.
func LeadsBack(target, base string) bool {
	b, err := url.Parse(strings.TrimSuffix(base, "/"))
	if err != nil {
		return false
	}
	if end := strings.IndexAny(target, "?#"); end >= 0 {
		target = target[:end]
	}
	target = strings.TrimPrefix(target, b.Scheme+"://"+b.Host)
	below, found := strings.CutPrefix(target, b.EscapedPath())
	return found && ParsePath(below).Resource != OfSite
}
