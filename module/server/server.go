// Package server is the directive callback_server: it takes the calls to callback URLs,
// shows status and result to the holders of tickets, and asks apps about calls.
package server

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"

	"github.com/caddy-callback/caddy-callback/module/answer"
	"github.com/caddy-callback/caddy-callback/module/app"
	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/config"
	"github.com/caddy-callback/caddy-callback/module/engine"
	"github.com/caddy-callback/caddy-callback/module/inject"
	"github.com/caddy-callback/caddy-callback/module/memory"
	"github.com/caddy-callback/caddy-callback/module/problem"
	"github.com/caddy-callback/caddy-callback/module/store"
)

func init() {
	caddy.RegisterModule(Server{})
}

// Server takes the calls to callback URLs, and shows status and result to clients
// that have a ticket. It serves /cb, /cbq and /cbr and all paths below them, and
// the path of Health; other requests go to the handlers that follow.
//
// Its errors are problem documents. They are never passed to Caddy, because its error
// log would show the URL and the secret in it. For the same reason requests to these
// paths are left out of the access log.
type Server struct {
	// Keys are the names of the keys of which every call must show one, whatever the
	// callback itself requires. Default: none.
	Keys []string `json:"keys,omitempty"`

	// Ask is the route to the app that is asked about the calls to callbacks that are
	// configured to ask. Default: none.
	Ask caddyhttp.RouteList `json:"ask,omitempty"`

	// AskPrefix is the path below which all paths stand that callers of the API choose with
	// callbackActivity; those that do not are refused. Default: none, and any path is taken.
	AskPrefix string `json:"ask_prefix,omitempty"`

	// CorrelationID is the place in calls to the fixed URL /cb where they give the
	// correlation id of their callback. Default: the wire header for it.
	CorrelationID *inject.Location `json:"correlation_id,omitempty"`

	// Unmatched is what a call to the fixed URL gets that shows a right key and belongs to no
	// callback: a status from 200 to 299 or from 400 to 599, or "next" to leave the call to
	// the handlers that follow. Default: 404, or 200 if the call is signed.
	Unmatched string `json:"unmatched,omitempty"`

	// Challenges are the handshakes that the fixed URL answers, without a key and without a trace.
	// Default: none.
	Challenges []Challenge `json:"challenges,omitempty"`

	// Names are the names of the callbacks that are served here: there are no others. Where they
	// can be called is then here alone; status and result can be read wherever a callback_server
	// without names is, too. Default: all that no other callback_server names.
	Names []string `json:"names,omitempty"`

	// User says who makes a call, as a placeholder that what guards the site sets, such as
	// {http.request.header.Remote-User}. It stands in the history, and handlers that go on after
	// the call have it as {http.callback.call.by}. Default: the user that Caddy has authenticated,
	// {http.auth.user.id}.
	User string `json:"user,omitempty"`

	// Health is a path, such as /healthz, at which GET and HEAD say without a key whether
	// requests that make callbacks are taken: 200 if they are, else 503. Default: none.
	Health string `json:"health,omitempty"`

	// ActiveContent lets replies that were given to the API, or by the app that is asked, be
	// pages that run in a browser as part of the site, and have headers that act on all of
	// it, such as Set-Cookie. Default: false; a browser shows such pages in a sandbox, and
	// such headers are refused. Only for those who trust everybody with a key to create.
	ActiveContent bool `json:"active_content,omitempty"`

	app    *app.App
	server *caddyhttp.Server
	log    *zap.Logger
	// unmatched is the status that Unmatched gives, toNext for the handlers that follow, 0
	// for none.
	unmatched  int
	challenges []challenge
}

// CaddyModule returns the Caddy module information.
func (Server) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "http.handlers.callback_server",
		New: func() caddy.Module { return new(Server) },
	}
}

// Provision finds the app.
func (s *Server) Provision(ctx caddy.Context) (err error) {
	s.log = ctx.Logger()
	if s.app, err = app.Of(ctx); err != nil {
		return err
	}
	if err := s.Check(s.app.Keys); err != nil {
		return fmt.Errorf("callback_server: %w", err)
	}
	s.unmatched, _ = parseUnmatched(s.Unmatched)
	if s.challenges, err = newChallenges(s.Challenges); err != nil {
		return fmt.Errorf("callback_server: challenge: %w", err)
	}
	s.app.TakeCalls()
	s.app.ServeOnlyHere(s.Names)
	if s.ActiveContent {
		s.app.AllowActiveContent()
	}
	if len(s.Ask) > 0 {
		if err := s.app.AskBelow(s.AskPrefix); err != nil {
			return fmt.Errorf("callback_server: ask: %w", err)
		}
	}
	s.server, _ = ctx.Value(caddyhttp.ServerCtxKey).(*caddyhttp.Server)
	if err := s.Ask.Provision(ctx); err != nil {
		return fmt.Errorf("callback_server: ask: %w", err)
	}
	return nil
}

// Check makes sure that the options are valid, and that the named keys exist.
func (s *Server) Check(keys []app.Key) error {
	if s.CorrelationID != nil {
		if err := callback.CheckLocation(*s.CorrelationID); err != nil {
			return fmt.Errorf("correlation_id: %w", err)
		}
	}
	if _, err := parseUnmatched(s.Unmatched); err != nil {
		return fmt.Errorf("unmatched: %w", err)
	}
	if err := checkChallenges(s.Challenges); err != nil {
		return fmt.Errorf("challenge: %w", err)
	}
	if s.AskPrefix != "" {
		if err := config.CheckPath(s.AskPrefix); err != nil {
			return err
		}
	}
	if err := s.checkNames(); err != nil {
		return fmt.Errorf("names: %w", err)
	}
	if err := s.checkUser(); err != nil {
		return fmt.Errorf("user: %w", err)
	}
	if err := checkHealth(s.Health); err != nil {
		return fmt.Errorf("health: %w", err)
	}
	if slices.Contains(s.Keys, app.KeyInclude) {
		return errors.New("key: include makes keys for callbacks, not for the server; name a key of the global callback option")
	}
	return app.CheckKeysExist(s.Keys, keys)
}

// ServeHTTP serves the paths of callback_server.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	at := callback.ParsePath(r.URL.EscapedPath())
	if at.Resource == callback.OfSite {
		if s.Health != "" && r.URL.Path == s.Health {
			s.serveHealth(problem.ForRequest(w, r), r)
			return nil
		}
		return next.ServeHTTP(w, r)
	}
	caddyhttp.SetVar(r.Context(), caddyhttp.LogSkipVar, true)
	hideURL(r)
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Referrer-Policy", "no-referrer")
	person := isPerson(r, at)
	answered := problem.For(w, person)
	if at.Resource == callback.Nowhere {
		problem.UnknownState.Write(answered)
		return nil
	}
	if at.Resource == callback.AssetPath {
		serveAsset(answered, r, at.Suffix)
		return nil
	}
	if answer.TooEarly(r) {
		problem.TooEarly.Write(answered)
		return nil
	}
	rt, err := s.app.Use(r.Context())
	if err != nil {
		problem.StoreUnavailable.Write(answered)
		return nil
	}
	defer rt.Release()
	if at.Resource == callback.StatusPath || at.Resource == callback.ResultPath {
		s.serveTicket(answered, r, rt, at)
		return nil
	}
	if at.Resource == callback.FixedPath {
		lease, done := s.serveChallenge(answered, r, rt.Engine)
		defer lease.Release()
		if done {
			return nil
		}
	}
	// The error of the handlers that follow is theirs, and goes to Caddy.
	var onward error
	call, traced := beginSpan(r)
	defer traced.End()
	if err := s.serveCall(answered, call, rt, at, person, func() { onward = handOn(w, call, next) }); err != nil {
		p := callProblem(err)
		fail(traced, p)
		p.Write(answered)
	}
	return onward
}

// refusedUnseen returns why a request is refused whatever callback it means, nil if it is not.
func refusedUnseen(w http.ResponseWriter, r *http.Request, rt *app.Runtime) error {
	switch {
	case !countsAsCall(r) && !looks(r):
		return problem.NotAllowed(anyMethods)
	case !looks(r) && answer.InEarlyData(r):
		// A GET is a call, too.
		return problem.TooEarly
	case rt.Engine.Origin().ComesBack(r.Header):
		answer.LeaveUnread(w, r)
		return problem.LoopDetected
	}
	return nil
}

// anyMethods is the value of Allow as long as the callback is not known.
var anyMethods = strings.Join(slices.Concat(callback.CallMethods, callback.LookMethods), ", ")

// serveCall takes a call to a callback URL. Its error is answered with a problem. It calls
// onward instead of answering if the request is left to the handlers that follow.
func (s *Server) serveCall(w http.ResponseWriter, r *http.Request, rt *app.Runtime, at callback.Path, person bool, onward func()) error {
	if err := refusedUnseen(w, r, rt); err != nil {
		return err
	}
	keys, query := s.app.KeysOf(r)
	caller := s.app.Caller(keys, app.PermissionSend)
	caller.Required = s.Keys
	signed := s.signedBy(r, caller, rt.Engine.Now())
	if err := s.admit(signed.assumed()); err != nil {
		answer.LeaveUnread(w, r)
		return err
	}
	in, err := newIncoming(r, at, keys, query, rt.Engine.Now())
	if err != nil {
		return err
	}
	in.Call.Caller, in.Call.Person, in.Call.ActiveContent = signed.assumed(), person, s.ActiveContent
	in.Call.MadeBy(s.userOf(r))
	in.Call.Elsewhere = !answer.FromOwnPage(r)
	in.Ask, in.Serves = s.asking(rt.Engine, r), s.serves
	if looks(r) {
		// There is no body to wait for.
		in.Call.Caller = signed.proved(nil)
		if err := s.admit(in.Call.Caller); err != nil {
			answer.LeaveUnread(w, r)
			return err
		}
	}
	if at.Resource == callback.FixedPath {
		return s.serveFixed(w, r, rt, in, signed, onward)
	}
	if looks(r) {
		return s.serveLook(w, r, rt, in)
	}
	return s.serveOwn(w, r, rt, in, signed)
}

// serveOwn takes a call to the URL of one callback.
func (s *Server) serveOwn(w http.ResponseWriter, r *http.Request, rt *app.Runtime, in engine.Incoming, signed signed) error {
	// id is the callback's, once it is known.
	owner, id := memory.Nobody, callback.UUID{}
	if len(signed.caller.Names) > 0 {
		owner = keyOwner(signed.caller)
	}
	if answer.HasBody(r) && !in.State.IsZero() {
		// What does not depend on the body is decided before that is read, so that a
		// refused caller costs neither memory nor time.
		verdict, cb, err := rt.Engine.Admit(r.Context(), in)
		if err != nil || verdict.Kind != callback.Accepted {
			answer.LeaveUnread(w, r)
		}
		if err != nil {
			return failed(rt, err)
		}
		if verdict.Kind != callback.Accepted {
			s.writeVerdict(w, r, rt, verdict, cb.Policy, in.Call)
			return nil
		}
		owner, id = memory.OwnerOf(cb.ID), cb.ID
	}
	if err := s.readBody(w, r, rt.Engine, owner, &in, signed); err != nil {
		about(r.Context(), rt, id)
		remember(rt, id, callProblem(err))
		return err
	}
	defer in.Lease.Release()
	defer in.Call.Unpacked.Release()
	if err := s.admit(in.Call.Caller); err != nil {
		return err
	}
	verdict, policy, err := rt.Engine.Receive(r.Context(), in)
	if err != nil {
		about(r.Context(), rt, id)
		remember(rt, id, callProblem(err))
		return failed(rt, err)
	}
	s.writeVerdict(w, r, rt, verdict, policy, in.Call)
	return nil
}

// countsAsCall reports whether a request can count as a call at all. Those that look, and
// browser prefetches, never count.
func countsAsCall(r *http.Request) bool {
	if !slices.Contains(callback.CallMethods, r.Method) {
		return false
	}
	for _, name := range []string{"Sec-Purpose", "Purpose", "X-Purpose", "X-Moz"} {
		for _, v := range r.Header.Values(name) {
			if isPrefetch(v) {
				return false
			}
		}
	}
	return true
}

// admit refuses callers that show none of the keys that the server requires.
func (s *Server) admit(c callback.Caller) error {
	if len(s.Keys) == 0 || slices.ContainsFunc(c.Names, func(name string) bool { return slices.Contains(s.Keys, name) }) {
		return nil
	}
	return answer.KeyProblem(c)
}

// callProblem returns the problem that answers a call for which there is no verdict.
func callProblem(err error) problem.Problem {
	if errors.Is(err, store.ErrNotFound) {
		return problem.UnknownState
	}
	return answer.ProblemOf(err)
}

// failed notes that a call could not be taken because of an error, and returns it.
func failed(rt *app.Runtime, err error) error {
	rt.Engine.Refused(err, zap.String("request", "call"))
	return err
}

// Interface guards
var (
	_ caddy.Provisioner           = (*Server)(nil)
	_ caddyhttp.MiddlewareHandler = (*Server)(nil)
	_ app.Inspector               = (*Server)(nil)
)
