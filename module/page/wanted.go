package page

import (
	"mime"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// Wanted reports whether a request is to be answered with a page, where there is a document
// for programs, too: a browser opens it as a document of its own or in a frame (Fetch
// Metadata). Where a browser does not say so, and for other clients, HTML must be named among
// what is accepted, and not after JSON.
func Wanted(r *http.Request) bool {
	if mode := r.Header.Get("Sec-Fetch-Mode"); mode != "" {
		return mode == "navigate" && slices.Contains([]string{"", "document", "iframe", "frame"}, r.Header.Get("Sec-Fetch-Dest"))
	}
	lines := r.Header.Values("Accept")
	if len(lines) == 0 {
		return false
	}
	accepted := parseAccept(lines)
	html := accepted["text/html"]
	return html > 0 && html >= accepted.json() && !accepted.isDefault()
}

// isDefault reports whether it is what Java's URLConnection accepts for programs that do not say
// what they accept. Browsers that name these types name XHTML, too.
func (a accept) isDefault() bool {
	return a["image/gif"] > 0 && a["image/jpeg"] > 0 && a["application/xhtml+xml"] == 0
}

// Vary says on what it depends whether an answer is a page.
func Vary(h http.Header) {
	const names = "Accept, Sec-Fetch-Mode, Sec-Fetch-Dest"
	if !slices.Contains(h.Values("Vary"), names) {
		h.Add("Vary", names)
	}
}

// accept has the quality of each media range in Accept (RFC 9110, section 12.5.1).
type accept map[string]float64

func parseAccept(lines []string) accept {
	a := make(accept)
	for _, line := range lines {
		for element := range strings.SplitSeq(line, ",") {
			mediaType, parameters, err := mime.ParseMediaType(element)
			if err != nil {
				continue
			}
			quality := 1.0
			if q, ok := parameters["q"]; ok {
				if quality, err = strconv.ParseFloat(q, 64); err != nil || quality < 0 || quality > 1 {
					continue
				}
			}
			a[mediaType] = max(a[mediaType], quality)
		}
	}
	return a
}

// json returns the quality of JSON: that of its types, if one is named, else that of the
// range in which they are.
func (a accept) json() float64 {
	quality, named := 0.0, false
	for mediaType, q := range a {
		if mediaType == "application/json" || strings.HasPrefix(mediaType, "application/") && strings.HasSuffix(mediaType, "+json") {
			quality, named = max(quality, q), true
		}
	}
	if named {
		return quality
	}
	if q, ok := a["application/*"]; ok {
		return q
	}
	return a["*/*"]
}
