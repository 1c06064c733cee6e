package server

import (
	"net/http"

	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/inject"
	"github.com/caddy-callback/caddy-callback/module/page"
)

// isPerson reports whether a browser makes the request for a person who will see the answer.
// Where the browser does not say so, that is one who wants a page, or who posts a form to a
// URL which was registered in advance.
func isPerson(r *http.Request, at callback.Path) bool {
	if page.Wanted(r) {
		return true
	}
	return r.Header.Get("Sec-Fetch-Mode") == "" && at.Resource == callback.QueryPath && r.Method == http.MethodPost && inject.IsForm(r.Header.Get("Content-Type"))
}
