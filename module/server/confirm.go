package server

import (
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddy-callback/caddy-callback/module/answer"
	"github.com/caddy-callback/caddy-callback/module/app"
	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/config"
)

// checkNames makes sure that the names can be those of callbacks.
func (s *Server) checkNames() error {
	for i, name := range s.Names {
		switch {
		case !config.IsName(name):
			return fmt.Errorf("%q must be at most 64 letters, digits, underscores and hyphens", name)
		case slices.Contains(s.Names[:i], name):
			return fmt.Errorf("%s is given twice; leave one of the two out", name)
		}
	}
	return nil
}

// userPlaceholder matches one placeholder of the request.
var userPlaceholder = regexp.MustCompile(`^\{http\.[^{}\s]+\}$`)

// checkUser makes sure that the placeholder can say who a person is.
func (s *Server) checkUser() error {
	switch {
	case s.User == "":
		return nil
	case !userPlaceholder.MatchString(s.User), strings.HasPrefix(s.User, "{"+callback.PlaceholderPrefix):
		return fmt.Errorf("%q is not one placeholder of the request; write one that what guards the site sets, like {http.request.header.Remote-User}", s.User)
	}
	return nil
}

// userOf returns who makes a request, as what guards the site says it; "" if nothing does.
func (s *Server) userOf(r *http.Request) string {
	if s.User == "" {
		return app.User(r)
	}
	repl, ok := r.Context().Value(caddy.ReplacerCtxKey).(*caddy.Replacer)
	if !ok {
		return ""
	}
	user, _ := repl.GetString(strings.Trim(s.User, "{}"))
	return user
}

// serves reports whether callbacks with that name can be called here. Those that another
// callback_server has for its own cannot.
func (s *Server) serves(name string) bool {
	if len(s.Names) > 0 {
		return slices.Contains(s.Names, name)
	}
	return !s.app.ServedElsewhere(name)
}

// shows reports whether status and result of callbacks with that name can be read here.
func (s *Server) shows(name string) bool {
	return len(s.Names) == 0 || slices.Contains(s.Names, name)
}

// answerPerson answers a person at a callback that people decide on, if what they see is a page
// on which they decide, or see what was decided.
func (s *Server) answerPerson(w http.ResponseWriter, r *http.Request, v callback.Verdict, p *callback.Policy) (answered bool) {
	switch {
	case v.Confirmation != nil:
		answer.WriteConfirmation(w, r, v, p, s.userOf(r))
	case answer.ShowsDecided(v, p):
		// To load that page again sends nothing again.
		reply := *v.Reply
		reply.Status, reply.Header = http.StatusSeeOther, append(slices.Clone(reply.Header), callback.Field{Name: "Location", Value: itself(r)})
		answer.WriteReply(w, &reply)
	default:
		return false
	}
	return true
}

// itself returns the URL of a request, relative to itself: what stands before in the path, Caddy
// need not know.
func itself(r *http.Request) string {
	path := r.URL.EscapedPath()
	last := path[strings.LastIndexByte(path, '/')+1:]
	if last == "" {
		last = "./"
	}
	if r.URL.RawQuery != "" {
		last += "?" + r.URL.RawQuery
	}
	return last
}
