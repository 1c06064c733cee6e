package server

import (
	"mime"
	"net/http"
	"strings"

	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/inject"
)

// isPerson reports whether a browser makes the request for a person who will see the
// answer: a navigation (Fetch Metadata, Sec-Fetch-Mode). Where the browser does not say so, it
// is one that names HTML among what it accepts, or that posts a form to a URL which was
// registered in advance.
func isPerson(r *http.Request, at callback.Path) bool {
	if mode := r.Header.Get("Sec-Fetch-Mode"); mode != "" {
		return mode == "navigate"
	}
	for _, line := range r.Header.Values("Accept") {
		for accepted := range strings.SplitSeq(line, ",") {
			if mediaType, _, _ := mime.ParseMediaType(accepted); mediaType == "text/html" {
				return true
			}
		}
	}
	return at.Resource == callback.QueryPath && r.Method == http.MethodPost && inject.IsForm(r.Header.Get("Content-Type"))
}
