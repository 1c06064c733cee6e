package server

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-callback/caddy-callback/module/answer"
	"github.com/caddy-callback/caddy-callback/module/app"
	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/engine"
	"github.com/caddy-callback/caddy-callback/module/inject"
	"github.com/caddy-callback/caddy-callback/module/memory"
	"github.com/caddy-callback/caddy-callback/module/problem"
	"github.com/caddy-callback/caddy-callback/module/store"
)

// toNext stands for the handlers that follow, in place of a status.
const toNext = -1

// parseUnmatched reads what a call gets that belongs to no callback: a status, toNext, or 0
// if nothing is said.
func parseUnmatched(text string) (status int, err error) {
	switch text {
	case "":
		return 0, nil
	case "next":
		return toNext, nil
	}
	status, err = strconv.Atoi(text)
	switch {
	case err != nil:
		return 0, fmt.Errorf("%q is not a status; write one like 200 or 404, or next", text)
	case status == http.StatusGone:
		return 0, errors.New("410 tells partners to give up the URL, which all callbacks share; write another status, such as 404")
	case status < 200 || status > 599 || status >= 300 && status < 400:
		return 0, fmt.Errorf("%d is no final answer to a call; write a status from 200 to 299 or from 400 to 599, or next", status)
	}
	return status, nil
}

// serveFixed takes a call to the fixed URL, which gives the correlation id of its
// callback. It needs a named key, because a callback is found by key and correlation id.
func (s *Server) serveFixed(w http.ResponseWriter, r *http.Request, rt *app.Runtime, in engine.Incoming, signed signed, onward func()) error {
	in.Call.Caller = s.atFixed(in.Call.Caller)
	if len(in.Call.Caller.Names) == 0 {
		answer.LeaveUnread(w, r)
		return answer.KeyProblem(in.Call.Caller)
	}
	if looks(r) {
		answer.LeaveUnread(w, r)
		writeLook(w, r, anyMethods)
		return nil
	}
	owner := memory.Nobody
	if shown := s.atFixed(signed.caller); len(shown.Names) > 0 {
		owner = keyOwner(shown)
		if signed.None() && s.passesUnread(r, rt, in) {
			return s.unmatchedCall(w, r, rt, in, onward)
		}
	}
	if err := s.readBody(w, r, rt.Engine, owner, &in, signed); err != nil {
		return err
	}
	defer in.Lease.Release()
	defer in.Call.Unpacked.Release()
	if in.Call.Caller = s.atFixed(in.Call.Caller); len(in.Call.Caller.Names) == 0 {
		return answer.KeyProblem(in.Call.Caller)
	}
	id, err := in.Call.CorrelationID(s.correlationPlace())
	switch {
	case errors.Is(err, engine.ErrBusy):
		return failed(rt, err)
	case err != nil && s.unmatched != toNext:
		// It may be somebody's.
		return unreadable("The correlation id cannot be looked for", err)
	case !callback.ValidCorrelationID(id):
		if s.unmatched == 0 && !in.Call.Caller.Signed {
			return problem.InvalidCorrelationID
		}
		return s.unmatchedCall(w, r, rt, in, onward)
	}
	verdict, policy, err := rt.Engine.ReceiveCorrelated(r.Context(), in, id)
	if errors.Is(err, store.ErrNotFound) {
		return s.unmatchedCall(w, r, rt, in, onward)
	}
	if err != nil {
		return failed(rt, err)
	}
	s.writeVerdict(w, r, rt, verdict, policy, in.Call)
	return nil
}

// atFixed returns the caller as the fixed URL knows it: with those keys only that the server
// asks for, if it asks for any.
func (s *Server) atFixed(c callback.Caller) callback.Caller {
	if len(s.Keys) > 0 {
		c.Names = slices.DeleteFunc(slices.Clone(c.Names), func(name string) bool { return !slices.Contains(s.Keys, name) })
	}
	return c
}

// keyOwner returns on whose behalf a body is read if only its sender's named key is known.
func keyOwner(c callback.Caller) memory.Owner { return memory.OwnerOf("key " + c.Names[0]) }

// correlationPlace returns where calls to the fixed URL have the correlation id.
func (s *Server) correlationPlace() inject.Location {
	if s.CorrelationID != nil {
		return *s.CorrelationID
	}
	return inject.Location{In: inject.Header, Name: callback.NewWire(s.app.HeaderPrefix).CorrelationID}
}

// passesUnread reports whether a call is left to the handlers that follow, of whatever size
// its body is, because what comes before the body shows that it belongs to no callback.
func (s *Server) passesUnread(r *http.Request, rt *app.Runtime, in engine.Incoming) bool {
	at := s.correlationPlace()
	if s.unmatched != toNext || at.InBody() || !answer.HasBody(r) {
		return false
	}
	id, _ := in.Call.CorrelationID(at)
	return !callback.ValidCorrelationID(id) || !rt.Engine.Expects(r.Context(), in.Call.Caller, id)
}

// unmatchedCall answers a call that belongs to no callback, or leaves it to the handlers
// that follow: without our key, and with its body as it came.
func (s *Server) unmatchedCall(w http.ResponseWriter, r *http.Request, rt *app.Runtime, in engine.Incoming, onward func()) error {
	rt.Engine.Unmatched()
	status := s.unmatchedStatus(in.Call.Caller)
	switch {
	case status == toNext:
		s.removeKeys(r, in.Call.Query)
		if in.Lease != nil {
			r.Body = givenBack{bytes.NewReader(in.Call.Body.Data), r.Body}
			// The body has come, so its sender need not be asked for it.
			r.Header.Del("Expect")
		}
		onward()
	case status < http.StatusBadRequest:
		w.WriteHeader(status)
	default:
		p := problem.UnknownState.With("No callback that takes calls with this key has the correlation id of the call.")
		p.Status = status
		return p
	}
	return nil
}

// unmatchedStatus returns the status of the answer to a call that belongs to no callback,
// or toNext. A provider that signs sends all events of an account, of which most concern
// nobody here, and gives up a URL that refuses them.
func (s *Server) unmatchedStatus(c callback.Caller) int {
	switch {
	case s.unmatched != 0:
		return s.unmatched
	case c.Signed:
		return http.StatusOK
	}
	return http.StatusNotFound
}

// removeKeys takes out of a request the named keys that it shows as bearer tokens, and
// gives it a query that has none.
func (s *Server) removeKeys(r *http.Request, query string) {
	r.URL.RawQuery = query
	lines := slices.DeleteFunc(slices.Clone(r.Header["Authorization"]), func(line string) bool {
		shown := app.BearerKeys(http.Header{"Authorization": {line}})
		return s.app.Caller(shown, "").Known
	})
	r.Header.Del("Authorization")
	if len(lines) > 0 {
		r.Header["Authorization"] = lines
	}
}

// givenBack is a body that was read, for those who read it again.
type givenBack struct {
	io.Reader
	io.Closer
}

// handOn leaves a request to the handlers that follow, as if it had never been here.
func handOn(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	w.Header().Del("Cache-Control")
	w.Header().Del("Referrer-Policy")
	return next.ServeHTTP(w, r)
}
