package api

import (
	"net/http"
	"slices"
	"strings"

	"github.com/caddy-callback/caddy-callback/module/app"
	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/desk"
)

// resource is what a path of the API leads to.
type resource uint8

const (
	// ofSite: the path does not belong to the API.
	ofSite resource = iota
	// nowhere: the path belongs to the API, and leads nowhere.
	nowhere
	// collection: /callbacks
	collection
	// document: /callbacks/openapi.json
	document
	// roster: /callbacks/nodes
	roster
	// number: /callbacks/count
	number
	// changes: /callbacks/events
	changes
	// closingAll: /callbacks/close
	closingAll
	// resolvingAll: /callbacks/resolve
	resolvingAll
	// redeliveringAll: /callbacks/redeliver
	redeliveringAll
	// oneCallback: /callbacks/{id}
	oneCallback
	// itsResult: /callbacks/{id}/result
	itsResult
	// resolving: /callbacks/{id}/resolve
	resolving
	// redelivering: /callbacks/{id}/redeliver
	redelivering
)

// Path is the beginning of all paths of the API.
const Path = "/callbacks"

// location is a parsed path of the API.
type location struct {
	resource resource
	// id is the callback's; zero if the path has no valid one.
	id callback.UUID
}

// namedPaths are the paths below Path that are no id's.
var namedPaths = map[string]resource{
	"openapi.json": document, "nodes": roster, "count": number, "events": changes,
	string(desk.Close): closingAll, string(desk.Resolve): resolvingAll, string(desk.Redeliver): redeliveringAll,
}

// parsePath reads a path as it was escaped in the request. A slash at the end
// changes nothing.
func parsePath(escaped string) location {
	rest, ours := strings.CutPrefix(escaped, Path)
	if !ours || rest != "" && rest[0] != '/' {
		return location{}
	}
	if rest == "" || rest == "/" {
		return location{resource: collection}
	}
	rest = strings.TrimSuffix(rest[1:], "/")
	if resource, named := namedPaths[rest]; named {
		return location{resource: resource}
	}
	text, _, _ := strings.Cut(rest, "/")
	resource, known := map[string]resource{
		text: oneCallback, text + "/result": itsResult, text + "/resolve": resolving, text + "/redeliver": redelivering,
	}[rest]
	if !known || text == "" {
		return location{resource: nowhere}
	}
	id, _ := callback.ParseUUID(text)
	return location{resource: resource, id: id}
}

// hasID reports whether the paths of the resource name a callback.
func (r resource) hasID() bool { return r >= oneCallback }

// method is what a method does to a resource of the API, and the permission that
// it needs.
type method struct {
	name       string
	permission string
	serve      func(*request) error
}

// methods returns the methods that the resource has.
func (r resource) methods() []method {
	reads := func(serve func(*request) error) []method {
		return []method{{http.MethodGet, app.PermissionRead, serve}, {http.MethodHead, app.PermissionRead, serve}}
	}
	switch r {
	case collection:
		return append(reads((*request).list), method{http.MethodPost, app.PermissionCreate, (*request).create})
	case document:
		return []method{{http.MethodGet, "", (*request).describe}, {http.MethodHead, "", (*request).describe}}
	case roster:
		return reads((*request).nodes)
	case number:
		return reads((*request).count)
	case changes:
		return reads((*request).watch)
	case closingAll, redeliveringAll:
		return []method{{http.MethodPost, app.PermissionManage, (*request).actOnAll}}
	case resolvingAll:
		return []method{{http.MethodPost, app.PermissionManage, (*request).resolveAll}}
	case oneCallback:
		return append(reads((*request).show), method{http.MethodDelete, app.PermissionManage, (*request).close})
	case itsResult:
		return reads((*request).result)
	case resolving:
		return []method{{http.MethodPost, app.PermissionManage, (*request).resolve}}
	case redelivering:
		return []method{{http.MethodPost, app.PermissionManage, (*request).redeliver}}
	}
	return nil
}

// method returns the method with that name, and whether the resource has it.
func (r resource) method(name string) (method, bool) {
	all := r.methods()
	i := slices.IndexFunc(all, func(m method) bool { return m.name == name })
	if i < 0 {
		return method{}, false
	}
	return all[i], true
}

// allow returns the value of the Allow header.
func (r resource) allow() string {
	var names []string
	for _, m := range r.methods() {
		names = append(names, m.name)
	}
	return strings.Join(names, ", ")
}
