package dashboard

import (
	"net/http"
	"strings"

	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/problem"
)

// view is what a path leads to.
type view uint8

const (
	nowhere view = iota
	viewNow
	viewList
	viewAll
	viewOne
	viewAct
	viewBody
	viewDownload
	viewReplay
	viewLive
	viewStream
	viewApprovals
	viewRoutes
	viewCheck
	viewAsset
)

// assetsAt is the directory of what pages load.
const assetsAt = "-"

// location is a parsed path.
type location struct {
	view view
	// id is the callback's; zero if the path has no valid one.
	id callback.UUID
	// part is the last part of some paths: what is to be done, or which body it is.
	part string
	// root leads from the path to where the pages are mounted, with a slash at its end.
	root string
}

// single are the paths of one part.
var single = map[string]view{"": viewNow, "list": viewList, "live": viewLive, "events": viewStream, "approvals": viewApprovals, "routes": viewRoutes}

// ofCallback are the views of one callback, by what follows its id.
var ofCallback = map[string]view{"body": viewBody, "download": viewDownload, "replay": viewReplay}

// parsePath reads a path.
func parsePath(path string) location {
	path = strings.TrimPrefix(path, "/")
	at := location{root: "./"}
	if depth := strings.Count(path, "/"); depth > 0 {
		// A path that leads nowhere may have any number of parts.
		at.root = strings.Repeat("../", min(depth, 8))
	}
	parts := strings.SplitN(path, "/", 5)
	switch {
	case len(parts) == 1:
		at.view = single[parts[0]]
	case parts[0] == assetsAt && len(parts) == 2:
		at.view, at.part = viewAsset, parts[1]
	case parts[0] == "list" && len(parts) == 2:
		at.view, at.part = viewAll, parts[1]
	case path == "routes/check":
		at.view = viewCheck
	case parts[0] == "callback":
		at.ofCallback(parts[1:])
	}
	return at
}

// ofCallback reads what follows "callback".
func (at *location) ofCallback(parts []string) {
	at.id, _ = callback.ParseUUID(parts[0])
	switch {
	case at.id.IsZero():
	case len(parts) == 1:
		at.view = viewOne
	case len(parts) == 2:
		at.view, at.part = viewAct, parts[1]
	case len(parts) == 3:
		at.view, at.part = ofCallback[parts[1]], parts[2]
	}
}

// serving answers a visit. Its error is answered with a problem.
type serving func(*visit) error

// errNoPage is the problem of a path that leads nowhere.
var errNoPage = func() problem.Problem {
	p := problem.UnknownPath.With("No page of the dashboard has this address. If the directive is to be mounted at a path, put it into handle_path.")
	p.Title, p.Advice = "There is nothing at this path.", "Go back to the beginning."
	return p
}()

// method returns what serves the path by a method.
func (at location) method(name string) (serving, error) {
	methods := at.methods()
	if methods == nil {
		return nil, errNoPage
	}
	if name == http.MethodHead {
		name = http.MethodGet
	}
	if serve := methods[name]; serve != nil {
		return serve, nil
	}
	allow := http.MethodPost
	if methods[http.MethodGet] != nil {
		allow = http.MethodGet + ", " + http.MethodHead
		if methods[http.MethodPost] != nil {
			allow += ", " + http.MethodPost
		}
	}
	return nil, problem.NotAllowed(allow)
}

// methods returns the methods that the path has.
func (at location) methods() map[string]serving {
	get := func(serve serving) map[string]serving { return map[string]serving{http.MethodGet: serve} }
	switch at.view {
	case viewNow:
		return get((*visit).now)
	case viewList:
		return get((*visit).list)
	case viewAll:
		return map[string]serving{http.MethodGet: (*visit).all, http.MethodPost: (*visit).doAll}
	case viewOne:
		return get((*visit).one)
	case viewAct:
		return map[string]serving{http.MethodPost: (*visit).act}
	case viewBody:
		return get((*visit).body)
	case viewDownload:
		return get((*visit).download)
	case viewReplay:
		return map[string]serving{http.MethodGet: (*visit).replay, http.MethodPost: (*visit).doReplay}
	case viewLive:
		return get((*visit).tail)
	case viewStream:
		return get((*visit).stream)
	case viewApprovals:
		return get((*visit).approvals)
	case viewRoutes:
		return get((*visit).routes)
	case viewCheck:
		return map[string]serving{http.MethodPost: (*visit).check}
	case viewAsset:
		return get((*visit).asset)
	}
	return nil
}
