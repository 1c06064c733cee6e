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

// assetPart stands in the place of a ticket in the paths of what pages load.
const assetPart = "-"

// KeyParameter is the query parameter that carries a key.
const KeyParameter = "api_key"

// callbackURL returns the URL that the partner is given. parameter is the query parameter
// that carries the state; empty for a state in the path.
func callbackURL(base, parameter string, state UUID) string {
	if parameter != "" {
		return base + "/" + querySpace + "/" + parameter + "?" + parameter + "=" + state.String()
	}
	return base + "/" + callSpace + "/" + state.String()
}

// statusURL returns the URL where the waiting side can read the status.
func statusURL(base string, ticket UUID) string {
	return base + "/" + ticketSpace + "/" + ticket.String()
}

// Resource is what a path of callback_server leads to.
type Resource uint8

const (
	// OfSite means that the path is the site's own.
	OfSite Resource = iota
	// Nowhere means that the path is callback_server's own, or looks like one that is, but
	// nothing is there.
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
	// AssetPath is /cbr/-/{file}
	AssetPath
)

// Path is a parsed path of callback_server.
type Path struct {
	Resource Resource
	// Secret is the state or the ticket.
	Secret UUID
	// Parameter is the name of the query parameter that carries the state.
	Parameter string
	// Suffix is what comes after the state, or the name of a file that pages load.
	Suffix string
}

// ParsePath reads a path in its escaped form, as the request has it. Doubled slashes, a
// slash at the end, and the case of all but secret and parameter change nothing. A secret
// has one spelling: in any other, and behind dots or escapes, nothing is there.
func ParsePath(escaped string) Path {
	if !strings.HasPrefix(escaped, "/") {
		return Path{}
	}
	at := parseClean(cleanPath(escaped))
	space, _, _ := strings.Cut(escaped[1:], "/")
	if at.Resource == OfSite && (IsOwnSpace(space) || hidesOwnSpace(escaped)) {
		return Path{Resource: Nowhere}
	}
	return at
}

// cleanPath returns a path without empty parts, its words for spaces and ends in lower
// case.
func cleanPath(path string) string {
	parts := partsOf(path)
	for i, part := range parts {
		word := strings.ToLower(part)
		if i == 0 && IsOwnSpace(word) || i == 2 && (word == SuffixFailed || word == suffixResult) {
			parts[i] = word
		}
	}
	return "/" + strings.Join(parts, "/")
}

// partsOf returns the parts of a path that are not empty.
func partsOf(path string) []string {
	return strings.FieldsFunc(path, func(r rune) bool { return r == '/' })
}

// parseClean reads a path that cleanPath has cleaned. A path that has not the form of one
// of ours is the site's.
func parseClean(path string) Path {
	space, rest, _ := strings.Cut(path[1:], "/")
	switch {
	case !IsOwnSpace(space):
		return Path{}
	case rest == "" && space == callSpace:
		return Path{Resource: FixedPath}
	case space == querySpace && queryName.MatchString(rest):
		return Path{Resource: QueryPath, Parameter: rest}
	}
	text, suffix, _ := strings.Cut(rest, "/")
	if space == ticketSpace && text == assetPart && suffix != "" && !strings.Contains(suffix, "/") {
		return Path{Resource: AssetPath, Suffix: suffix}
	}
	resource := secretPaths[space+"/"+suffix]
	secret, canonical := ParseUUID(text)
	switch {
	case resource == OfSite || !uuidShape.MatchString(text):
		return Path{}
	case !canonical:
		return Path{Resource: Nowhere}
	case resource == CallPath:
		return Path{Resource: resource, Secret: secret, Suffix: suffix}
	}
	return Path{Resource: resource, Secret: secret}
}

// secretPaths are the paths that hold a secret, by what is around it.
var secretPaths = map[string]Resource{
	callSpace + "/":                  CallPath,
	callSpace + "/" + SuffixFailed:   CallPath,
	ticketSpace + "/":                StatusPath,
	ticketSpace + "/" + suffixResult: ResultPath,
}

// uuidShape matches what somebody may have made of a UUID.
var uuidShape = regexp.MustCompile(`^[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}$`)

// maxEscapes bounds how often a path is unescaped to see where it leads.
const maxEscapes = 3

// hidesOwnSpace reports whether a path leads to one of ours for a reader that resolves
// its escapes and dots.
func hidesOwnSpace(path string) bool {
	if !strings.Contains(path, "%") && !strings.Contains(path, "/.") {
		return false
	}
	for range maxEscapes {
		if dotsLeadToOwnSpace(path) {
			return true
		}
		plain, err := url.PathUnescape(path)
		if err != nil || plain == path {
			return false
		}
		path = plain
	}
	return dotsLeadToOwnSpace(path)
}

// dotsLeadToOwnSpace reports whether a path with dots leads to one of ours, or through one
// of our spaces.
func dotsLeadToOwnSpace(path string) bool {
	var parts []string
	for part := range strings.SplitSeq(strings.TrimPrefix(path, "/"), "/") {
		switch part {
		case ".":
		case "..":
			parts = parts[:max(0, len(parts)-1)]
		default:
			parts = append(parts, part)
		}
		if len(parts) > 0 && IsOwnSpace(parts[0]) {
			return true
		}
	}
	return parseClean(cleanPath("/"+strings.Join(parts, "/"))).Resource != OfSite
}

// IsOwnSpace reports whether a path that begins with this segment is one of
// callback_server's own.
func IsOwnSpace(segment string) bool {
	return segment == callSpace || segment == querySpace || segment == ticketSpace
}

// queryName matches the names of query parameters that can carry a state. The first
// character is no dot, because "." and ".." are directories in a path.
var queryName = regexp.MustCompile(`^[A-Za-z0-9_~-][A-Za-z0-9._~-]{0,63}$`)

// IsBelow reports whether a path stands below another, which has no slash at its end.
func IsBelow(path, prefix string) bool { return strings.HasPrefix(path, prefix+"/") }
