package dashboard

import (
	"crypto/sha256"
	"crypto/subtle"
	"net/http"
	"slices"

	"github.com/caddy-callback/caddy-callback/module/answer"
	"github.com/caddy-callback/caddy-callback/module/app"
	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/desk"
	"github.com/caddy-callback/caddy-callback/module/problem"
)

// visitor is who has made a request, and what it may do.
type visitor struct {
	// by is the name of the key, or the user that Caddy has authenticated; empty if nobody
	// knows.
	by string
	// names are those of the callbacks that there are for the visitor; nil for all.
	names []string
	// acts says that the visitor may act, and not only see.
	acts bool
	// keyShown says that the visitor has shown a key.
	keyShown bool
}

// challenge is what a browser asks for name and key after.
var challenge = http.Header{"Www-Authenticate": {`Basic realm="callback dashboard", charset="UTF-8"`}}

// errNobody is the problem of whoever has not shown a key that may see the pages, whatever is
// wrong with what was shown.
var errNobody = func() problem.Problem {
	p := problem.KeyRequired.With("Give the name of a key as the user name, and the key as the password. The key needs the permission read.")
	p.Title, p.Header = "These pages need a key.", challenge
	p.Advice = "Load the page again, and give the name of a key and the key. Ask whoever runs this site for one."
	return p
}()

// admit returns who has made the request. What changes something needs the permission manage,
// everything else read.
func (d *Dashboard) admit(r *http.Request) (*visitor, error) {
	changes := r.Method != http.MethodGet && r.Method != http.MethodHead
	if changes && !answer.FromOwnPage(r) || d.KeyOff && answer.FromElsewhere(r) {
		return nil, problem.CrossSite
	}
	if d.KeyOff {
		return &visitor{by: app.User(r), acts: true}, nil
	}
	keys, name, named := shown(r)
	reads, manages := d.callerOf(keys, name, named, app.PermissionRead), d.callerOf(keys, name, named, app.PermissionManage)
	caller, acts := reads, len(manages.Names) > 0
	if changes {
		caller = manages
	}
	switch {
	case len(caller.Names) > 0:
		return &visitor{by: caller.Names[0], names: desk.NamesOf(caller), acts: acts, keyShown: true}, nil
	case changes && len(reads.Names) > 0:
		return nil, problem.KeyNotAllowed
	}
	return nil, errNobody
}

// shown returns the keys that a request shows: a password, with the name of the key that it
// is, or bearer tokens.
func shown(r *http.Request) (keys []string, name string, named bool) {
	if name, key, ok := r.BasicAuth(); ok {
		return []string{key}, name, true
	}
	return app.BearerKeys(r.Header), "", false
}

// callerOf returns who shows these keys, with those that have the permission. If a name is
// given the key must have that one. The time that it takes reveals nothing about a key.
func (d *Dashboard) callerOf(keys []string, name string, named bool, permission string) callback.Caller {
	c := d.app.Caller(keys, permission)
	if !named {
		return c
	}
	given := sha256.Sum256([]byte(name))
	c.Names = slices.DeleteFunc(c.Names, func(of string) bool {
		sum := sha256.Sum256([]byte(of))
		return subtle.ConstantTimeCompare(given[:], sum[:]) != 1
	})
	return c
}

// sees reports whether there are callbacks with that name for the visitor.
func (v *visitor) sees(name string) bool { return v.names == nil || slices.Contains(v.names, name) }

// desk returns what the visitor sees and may do.
func (v *visit) desk() *desk.Desk {
	return &desk.Desk{Runtime: v.rt, Names: v.visitor.names, By: v.visitor.by, KeyShown: v.visitor.keyShown, Through: "the dashboard"}
}
