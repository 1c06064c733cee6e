package callback

import (
	"cmp"
	"mime"
	"slices"
	"strings"
)

// Headers of a reply that act on more than the reply: on all that a browser knows of the
// site, or on what other sites may do with it. siteWideFamilies are the beginnings of
// further ones.
var (
	siteWide = []string{
		"Accept-Ch", "Clear-Site-Data", "Content-Security-Policy", "Content-Security-Policy-Report-Only", "Critical-Ch", "Expect-Ct", "Nel",
		"Origin-Agent-Cluster", "Report-To", "Reporting-Endpoints", "Service-Worker-Allowed", "Set-Cookie", "Set-Cookie2", "Set-Login",
		"Strict-Transport-Security", "Use-As-Dictionary",
	}
	siteWideFamilies = []string{"Access-Control-", "Public-Key-Pins"}
)

// IsSiteWide reports whether a header of a reply acts on more than the reply. The name must
// be canonical.
func IsSiteWide(name string) bool {
	return slices.Contains(siteWide, name) ||
		slices.ContainsFunc(siteWideFamilies, func(family string) bool { return strings.HasPrefix(name, family) })
}

// sandbox is the policy under which a browser shows a page without running it, and as if it
// came from nowhere.
var sandbox = Field{Name: "Content-Security-Policy", Value: "sandbox"}

// Passive returns the fields as whoever makes callbacks, and is not trusted with the site,
// may have them sent from there: without headers that act on more than the reply, and in a
// sandbox if a browser would render the body.
func (f Fields) Passive() Fields {
	f.Header = slices.DeleteFunc(slices.Clone(f.Header), func(line Field) bool { return IsSiteWide(line.Name) })
	if f.Body != "" && isRendered(f.Header.Values("Content-Type"), f.Body) {
		f.Header = append(f.Header, sandbox)
	}
	return f
}

// inert are types that no browser renders as a page.
var inert = []string{"application/json", "application/octet-stream", "text/csv", "text/plain"}

// isRendered reports whether a browser may render a body as a page that has one of these
// types, or the type of what comes without one. Of several types browsers take the last that
// they can read.
func isRendered(contentTypes []string, body string) bool {
	if len(contentTypes) == 0 {
		contentTypes = []string{""}
	}
	return slices.ContainsFunc(contentTypes, func(contentType string) bool {
		mediaType, _, err := mime.ParseMediaType(cmp.Or(contentType, ContentType(body)))
		return err != nil || !slices.Contains(inert, mediaType) && !strings.HasSuffix(mediaType, "+json")
	})
}
