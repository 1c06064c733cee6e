package answer

import (
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// TooEarly reports whether a request with a method that can change something has come in TLS
// early data.
func TooEarly(r *http.Request) bool {
	return InEarlyData(r) && !slices.Contains([]string{http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace, "QUERY"}, r.Method)
}

// InEarlyData reports whether a request has come in TLS early data, which whoever has seen it
// can send again. A header that says so in any other way than it should says it, too (RFC
// 8470, section 5.1).
func InEarlyData(r *http.Request) bool {
	return r.TLS != nil && !r.TLS.HandshakeComplete || len(r.Header.Values("Early-Data")) > 0
}

// shownAs are what a browser may load a result for (Sec-Fetch-Dest): to show it, or to hand
// it to a page that has fetched it.
var shownAs = []string{"", "document", "iframe", "empty"}

// loadsAsPart reports whether a browser loads a result as a part of a page, such as a script
// or a style, which would run or act in that page. Pictures and sounds may be, where they
// are nothing else.
func loadsAsPart(r *http.Request, contentType string) bool {
	for _, dest := range r.Header.Values("Sec-Fetch-Dest") {
		if slices.Contains(shownAs, dest) {
			continue
		}
		mediaType, _, err := mime.ParseMediaType(contentType)
		family, kind, _ := strings.Cut(mediaType, "/")
		if err != nil || family != dest || !slices.Contains([]string{"image", "audio", "video"}, dest) || strings.HasPrefix(kind, "svg") {
			return true
		}
	}
	return false
}

// CrossSite reports whether a request could change something and a browser says that another
// site's page has made it.
func CrossSite(r *http.Request) bool {
	return r.Method != http.MethodGet && r.Method != http.MethodHead && r.Header.Get("Sec-Fetch-Site") == "cross-site"
}

// FromOwnPage reports whether nothing says that another page than one of the same origin, or
// other than its user, has made a request: what changes something, and is sent by a form, needs
// that.
func FromOwnPage(r *http.Request) bool {
	return slices.Contains([]string{"", "same-origin", "none"}, r.Header.Get("Sec-Fetch-Site")) && !FromElsewhere(r)
}

// FromElsewhere reports whether a page of another host has made the request. It is checked
// if no key is required. Browsers send Sec-Fetch-Site, which no page can forge, over
// connections that they trust; over others, Origin has to do.
func FromElsewhere(r *http.Request) bool {
	switch r.Header.Get("Sec-Fetch-Site") {
	case "same-origin", "none":
		return false
	}
	origin := r.Header.Get("Origin")
	if origin == "" {
		return false
	}
	u, err := url.Parse(origin)
	return err != nil || u.Host == "" || !strings.EqualFold(u.Host, r.Host)
}
