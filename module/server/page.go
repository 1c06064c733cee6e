package server

import (
	"net/http"

	"github.com/caddy-callback/caddy-callback/module/page"
	"github.com/caddy-callback/caddy-callback/module/problem"
)

// serveAsset answers with a file that pages load.
func serveAsset(w http.ResponseWriter, r *http.Request, name string) {
	switch {
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		problem.NotAllowed(readMethods).Write(w)
	case !page.ServeAsset(w, r, name):
		problem.UnknownTicket.Write(w)
	}
}

// readMethods is the value of Allow where there is only something to read.
const readMethods = http.MethodGet + ", " + http.MethodHead
