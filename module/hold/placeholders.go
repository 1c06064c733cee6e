package hold

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"sync"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-callback/caddy-callback/module/app"
	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/engine"
	"github.com/caddy-callback/caddy-callback/module/memory"
)

// placeholdersVar is the request variable that holds the scope of a request.
const placeholdersVar = "callback.placeholders"

// scope holds the values of the placeholders {http.callback.*} of one request. If several
// directives make callbacks, the placeholders stand for the latest one; the calls of all
// can be read by the names of their directives.
type scope struct {
	mu sync.Mutex
	rt *app.Runtime
	// request ends with the request.
	request context.Context
	current *engine.Callback
	call    *callback.Call
	named   map[string]*callback.Call
	// wholes are calls with their bodies in memory.
	wholes map[*callback.Call]*callback.Call
	// passed are the directives that the request has passed, in order.
	passed []passage
}

// passage is a directive, and the callback that it made for the request.
type passage struct {
	h  *Handler
	id callback.UUID
}

// scopeFor returns the request's scope, and makes the placeholders available to the
// handlers that follow.
func scopeFor(r *http.Request, rt *app.Runtime) *scope {
	if s, ok := caddyhttp.GetVar(r.Context(), placeholdersVar).(*scope); ok {
		return s
	}
	s := &scope{rt: rt, request: r.Context()}
	repl, ok := r.Context().Value(caddy.ReplacerCtxKey).(*caddy.Replacer)
	if !ok {
		return s
	}
	caddyhttp.SetVar(r.Context(), placeholdersVar, s)
	repl.Map(func(key string) (any, bool) {
		name, ok := strings.CutPrefix(key, callback.PlaceholderPrefix)
		if !ok {
			return nil, false
		}
		value, ok := s.get(name)
		return value, ok
	})
	return s
}

// set makes a callback the one that the placeholders stand for.
func (s *scope) set(cb *engine.Callback) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.current, s.call = cb, nil
}

// setCall makes a call readable, also by the name of its directive.
func (s *scope) setCall(name string, call *callback.Call) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.call = call
	s.name(name, call)
}

// addCall makes the call of an earlier step readable by the name of its directive.
func (s *scope) addCall(name string, call *callback.Call) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.name(name, call)
}

func (s *scope) name(name string, call *callback.Call) {
	if name == "" {
		return
	}
	if s.named == nil {
		s.named = make(map[string]*callback.Call)
	}
	s.named[name] = call
}

// get returns the value of a placeholder, without its prefix.
func (s *scope) get(name string) (string, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.current != nil {
		if value, ok := s.current.Placeholder(name); ok {
			return value, true
		}
	}
	call := s.call
	if !strings.HasPrefix(name, "call.") {
		of, rest, _ := strings.Cut(name, ".")
		if call, name = s.named[of], rest; !strings.HasPrefix(name, "call.") {
			return "", false
		}
	}
	if call == nil {
		return "", false
	}
	return s.whole(call).Placeholder(name)
}

// whole returns a call with its body in memory, for those who look into it until the request
// ends. The scope must be locked.
func (s *scope) whole(call *callback.Call) *callback.Call {
	if whole := s.wholes[call]; whole != nil {
		return whole
	}
	stored := call.Body.File != "" && call.Body.Data == nil
	if !stored && call.Header.Get("Content-Encoding") == "" {
		return call
	}
	// A placeholder cannot say that there is no memory.
	space := s.rt.Engine.Memory(memory.Nobody).Forced()
	whole := *call
	if stored {
		data, err := s.rt.Engine.BodiesIn(space).Whole(context.Background(), call.Body)
		if err != nil {
			return call
		}
		context.AfterFunc(s.request, data.Release)
		whole.Body.Data = data.Bytes()
	}
	// What the call was judged by is released when that is over.
	whole.Unpacked = s.rt.Engine.Packed(whole.Body.Data, space)
	context.AfterFunc(s.request, whole.Unpacked.Release)
	if s.wholes == nil {
		s.wholes = make(map[*callback.Call]*callback.Call)
	}
	s.wholes[call] = &whole
	return &whole
}

// setPlaceholders makes {http.callback.*} stand for the exchange's callback.
func (x *exchange) setPlaceholders() {
	s := scopeFor(x.r, x.rt)
	s.set(x.callback)
	s.pass(passage{x.h, x.callback.ID})
}

// pass notes that the request has passed a directive.
func (s *scope) pass(p passage) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !slices.Contains(s.passed, p) {
		s.passed = append(s.passed, p)
	}
}

// passedBefore returns how many times the request has passed a directive.
func passedBefore(r *http.Request, h *Handler) int {
	n := 0
	for _, p := range passages(r) {
		if p.h == h {
			n++
		}
	}
	return n
}

// madeBefore reports whether a callback was made for the request by a directive that the
// request has passed.
func madeBefore(r *http.Request, id callback.UUID) bool {
	return slices.ContainsFunc(passages(r), func(p passage) bool { return p.id == id })
}

func passages(r *http.Request) []passage {
	s, ok := caddyhttp.GetVar(r.Context(), placeholdersVar).(*scope)
	if !ok {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.passed)
}

// Provides implements app.Provider.
func (h *Handler) Provides(name string) bool {
	switch {
	case callback.OfCall(name):
		return h.Call != nil
	case name == "api_key":
		return slices.Contains(h.Keys, app.KeyInclude)
	case name == "failed_url":
		return h.Mode != modeDefer && h.StateQuery == "" && h.Confirm == nil
	case name == "url" || name == "redirect_uri" || name == "state":
		return h.Mode != modeDefer
	}
	return true
}
