package callback

import (
	"net/http"
	"slices"
)

// LookMethods are the methods of requests that look at a callback URL and are never a
// call: partners check a URL with them before they use it.
var LookMethods = []string{http.MethodHead, http.MethodOptions}

// Look decides on a request that only looks at the callback's URL. Where the callback
// takes calls the verdict is Looked, whatever keys the callback asks for. Else it is what a POST
// would get that has the same header and nothing in it. Nothing changes.
func (r *Record) Look(p *Policy, c *Call, look Lookup, now Time) Verdict {
	if c.Caller.at(r.Name).shut {
		return Verdict{Kind: Forbidden}
	}
	if r.takesCalls(p, now) {
		return Verdict{Kind: Looked}
	}
	post := *c
	if post.Method = http.MethodPost; len(p.Methods) > 0 && !slices.Contains(p.Methods, post.Method) {
		post.Method = p.Methods[0]
	}
	verdict := r.Receive(p, &post, look, now)
	verdict.Next = nil
	return verdict
}

// takesCalls reports whether a call can still be accepted.
func (r *Record) takesCalls(p *Policy, now Time) bool {
	if r.Phase.Final() {
		return r.takesMore(p, now)
	}
	return r.Call == nil && now < r.ExpiresAt
}
