package callback

import (
	"mime"
	"slices"
	"strings"
)

// Headers of a reply that act on more than the reply: on all that a browser knows of the
// site, or on what other sites may do with it. siteWideFamilies are the beginnings of
// further ones.
var (
	siteWide         = []string{"Clear-Site-Data", "Content-Security-Policy", "Content-Security-Policy-Report-Only", "Service-Worker-Allowed", "Set-Cookie", "Set-Cookie2", "Strict-Transport-Security"}
	siteWideFamilies = []string{"Access-Control-"}
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
	if f.Body != "" && isRendered(f.Header.Get("Content-Type"), f.Body) {
		f.Header = append(f.Header, sandbox)
	}
	return f
}

// inert are types that no browser renders as a page.
var inert = []string{"application/json", "application/octet-stream", "text/csv", "text/plain"}

// isRendered reports whether a browser may render a body of that type as a page, or the type
// of what comes without one.
func isRendered(contentType, body string) bool {
	if contentType == "" {
		contentType = ContentType(body)
	}
	mediaType, _, err := mime.ParseMediaType(contentType)
	return err != nil || !slices.Contains(inert, mediaType) && !strings.HasSuffix(mediaType, "+json")
}
