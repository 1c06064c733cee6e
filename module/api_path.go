package module

import (
	"net/http"
	"slices"
	"strings"

	"github.com/caddy-callback/caddy-callback/module/callback"
)

// apiResource is what a path of the API leads to.
type apiResource uint8

const (
	// apiNotOurs: the path is the site's own.
	apiNotOurs apiResource = iota
	// apiNothing: the path is ours, and leads nowhere.
	apiNothing
	// apiCollection: /callbacks
	apiCollection
	// apiDocument: /callbacks/openapi.json
	apiDocument
	// apiCallback: /callbacks/{id}
	apiCallback
	// apiResult: /callbacks/{id}/result
	apiResult
	// apiResolve: /callbacks/{id}/resolve
	apiResolve
	// apiRedeliver: /callbacks/{id}/redeliver
	apiRedeliver
)

// apiPath begins all paths of the API.
const apiPath = "/callbacks"

// apiLocation is a parsed path of the API.
type apiLocation struct {
	resource apiResource
	// id is the callback's; zero where the path has none that can be one.
	id callback.UUID
}

// parseAPIPath reads a path as it was escaped in the request. A slash at the end
// changes nothing.
func parseAPIPath(escaped string) apiLocation {
	rest, ours := strings.CutPrefix(escaped, apiPath)
	if !ours || rest != "" && rest[0] != '/' {
		return apiLocation{}
	}
	if rest == "" || rest == "/" {
		return apiLocation{resource: apiCollection}
	}
	rest = strings.TrimSuffix(rest[1:], "/")
	if rest == "openapi.json" {
		return apiLocation{resource: apiDocument}
	}
	text, _, _ := strings.Cut(rest, "/")
	resource, known := map[string]apiResource{
		text: apiCallback, text + "/result": apiResult, text + "/resolve": apiResolve, text + "/redeliver": apiRedeliver,
	}[rest]
	if !known || text == "" {
		return apiLocation{resource: apiNothing}
	}
	id, _ := callback.ParseUUID(text)
	return apiLocation{resource: resource, id: id}
}

// apiMethod is what a method does to a resource of the API, and the permission that
// it needs.
type apiMethod struct {
	name       string
	permission string
	serve      func(*apiRequest)
}

// methods returns what can be done to the resource.
func (r apiResource) methods() []apiMethod {
	reads := func(serve func(*apiRequest)) []apiMethod {
		return []apiMethod{{http.MethodGet, PermissionRead, serve}, {http.MethodHead, PermissionRead, serve}}
	}
	switch r {
	case apiCollection:
		return append(reads((*apiRequest).list), apiMethod{http.MethodPost, PermissionCreate, (*apiRequest).create})
	case apiDocument:
		return []apiMethod{{http.MethodGet, "", (*apiRequest).describe}, {http.MethodHead, "", (*apiRequest).describe}}
	case apiCallback:
		return append(reads((*apiRequest).show), apiMethod{http.MethodDelete, PermissionManage, (*apiRequest).close})
	case apiResult:
		return reads((*apiRequest).result)
	case apiResolve:
		return []apiMethod{{http.MethodPost, PermissionManage, (*apiRequest).resolve}}
	case apiRedeliver:
		return []apiMethod{{http.MethodPost, PermissionManage, (*apiRequest).redeliver}}
	}
	return nil
}

// method returns what a method does, and whether it can be done.
func (r apiResource) method(name string) (apiMethod, bool) {
	all := r.methods()
	i := slices.IndexFunc(all, func(m apiMethod) bool { return m.name == name })
	if i < 0 {
		return apiMethod{}, false
	}
	return all[i], true
}

// allow returns the value of the Allow header.
func (r apiResource) allow() string {
	var names []string
	for _, m := range r.methods() {
		names = append(names, m.name)
	}
	return strings.Join(names, ", ")
}
