package hold

import (
	"net/http"
	"slices"
)

// methodQuery is QUERY, which asks as GET does, with a body (RFC 10008).
const methodQuery = "QUERY"

// isSafe reports whether a request with that method only asks, and changes nothing (RFC
// 9110, section 9.2.1): a 200 to it normally is the answer itself.
func isSafe(method string) bool {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace, methodQuery:
		return true
	}
	return false
}

// isIdempotent reports whether a request with that method can be carried out twice
// without harm (RFC 9110, section 9.2.2).
func isIdempotent(method string) bool {
	return isSafe(method) || slices.Contains([]string{http.MethodPut, http.MethodDelete}, method)
}
