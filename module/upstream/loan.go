package upstream

import (
	"context"
	"maps"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// loan lends the handlers what belongs to a request: its replacer, its variables and its
// writer. They must not touch them once the request has been answered, and may go on for
// longer. So they get a replacer and variables of their own, which ask those of the request
// only as long as the loan lasts. It is the context of their request.
type loan struct {
	// Context is that of the request, without its end.
	context.Context

	mu sync.Mutex
	// returned says that nothing of the request may be touched any more.
	returned bool

	// replacer and vars are those of the request; nil if it has none.
	replacer *caddy.Replacer
	vars     map[string]any

	// own are the handlers' own.
	own struct {
		replacer *caddy.Replacer
		vars     map[string]any
		groups   map[string]struct{}
	}
	// asking says that one of the replacers asks the other, which must not ask back.
	asking atomic.Bool
	// over is returned, for those who must not wait. ended says that the handlers have.
	over, ended atomic.Bool
}

// routeGroupKey is the context key of the route groups that a request has passed.
const routeGroupKey = caddy.CtxKey("route_group")

// varsPrefix begins the placeholders of variables.
const varsPrefix = "http.vars."

// lend begins a loan of what belongs to the request with that context.
func lend(ctx context.Context) *loan {
	l := &loan{Context: context.WithoutCancel(ctx)}
	l.replacer, _ = ctx.Value(caddy.ReplacerCtxKey).(*caddy.Replacer)
	l.vars, _ = ctx.Value(caddyhttp.VarsCtxKey).(map[string]any)
	if l.replacer == nil {
		return l
	}
	l.own.replacer = caddy.NewEmptyReplacer()
	l.own.replacer.Map(l.lookUp)
	l.replacer.Map(l.ofHandlers)
	return l
}

// lookUp looks a placeholder up for the handlers: in their variables, and else in the
// request's replacer.
func (l *loan) lookUp(key string) (any, bool) {
	if name, ok := strings.CutPrefix(key, varsPrefix); ok && l.vars != nil {
		return l.ownVars()[name], true
	}
	if l.asking.Load() {
		return nil, false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.returned {
		return nil, false
	}
	l.asking.Store(true)
	defer l.asking.Store(false)
	return l.replacer.Get(key)
}

// ofHandlers looks up what the handlers have set, such as the address of the upstream, for
// those around them.
func (l *loan) ofHandlers(key string) (any, bool) {
	if !l.ended.Load() || l.asking.Load() || strings.HasPrefix(key, varsPrefix) {
		return nil, false
	}
	return l.own.replacer.Get(key)
}

// share shows the variables of the handlers to those around them. The loan must be locked.
func (l *loan) share() {
	if !l.returned && l.vars != nil {
		maps.Copy(l.vars, l.own.vars)
	}
}

// end ends the loan. If the handlers are about to touch something, it waits for that.
func (l *loan) end() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.returned = true
	l.over.Store(true)
}

// close ends the loan when the handlers have ended: those around them see what they have
// set.
func (l *loan) close() {
	l.ended.Store(true)
	defer l.end()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.share(); l.returned || l.replacer == nil {
		return
	}
	l.asking.Store(true)
	defer l.asking.Store(false)
	if _, ok := l.own.replacer.Get(proxyPrefix + "upstream.address"); ok {
		// What an earlier proxy has set would hide what this one has.
		l.replacer.DeleteByPrefix(proxyPrefix)
	}
}

// proxyPrefix begins the placeholders that a proxy sets.
const proxyPrefix = "http.reverse_proxy."

// Value implements context.Context, with the handlers' own things in place of those of the
// request.
func (l *loan) Value(key any) any {
	switch key {
	case caddy.ReplacerCtxKey:
		if l.own.replacer != nil {
			return l.own.replacer
		}
	case caddyhttp.VarsCtxKey:
		if l.vars != nil {
			return l.ownVars()
		}
	case routeGroupKey:
		return l.ownGroups()
	case caddyhttp.ExtraLogFieldsCtxKey:
		if l.over.Load() {
			return new(caddyhttp.ExtraLogFields)
		}
	}
	return l.Context.Value(key)
}

// ownVars returns the handlers' variables.
func (l *loan) ownVars() map[string]any {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.own.vars != nil:
	case l.returned:
		l.own.vars = make(map[string]any)
	default:
		l.own.vars = maps.Clone(l.vars)
	}
	return l.own.vars
}

// ownGroups returns the route groups that the handlers' request has passed. Most handlers
// never ask.
func (l *loan) ownGroups() any {
	l.mu.Lock()
	defer l.mu.Unlock()
	groups, ok := l.Context.Value(routeGroupKey).(map[string]struct{})
	switch {
	case l.own.groups != nil:
	case !ok:
		return nil
	case l.returned:
		l.own.groups = make(map[string]struct{})
	default:
		l.own.groups = maps.Clone(groups)
	}
	return l.own.groups
}
