package api

import (
	"cmp"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/caddy-callback/caddy-callback/module/answer"
	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/engine"
	"github.com/caddy-callback/caddy-callback/module/memory"
	"github.com/caddy-callback/caddy-callback/module/problem"
)

// resolve takes the request as a call to the callback. The callback's rules for keys and
// methods do not apply to it.
func (a *request) resolve() error {
	call, err := callback.NewCall(a.r.Method, "", a.r.URL.RawQuery, a.r.Header, callback.At(a.rt.Engine.Now()))
	if err != nil {
		return err
	}
	cb, err := a.rt.Engine.FindCommitted(a.r.Context(), a.key())
	if err != nil {
		// There is no such callback: leave the body unread.
		answer.LeaveUnread(a.w, a.r)
		return err
	}
	if gone, yes := cb.Gone(cb.Policy, callback.At(a.rt.Engine.Now())); yes {
		answer.LeaveUnread(a.w, a.r)
		answer.WriteVerdict(a.w, gone, nil, callback.Caller{})
		return nil
	}
	call.Header = renamed(call.Header, cb.Policy.Wire())
	var body *memory.Buffer
	if answer.HasBody(a.r) {
		if body, err = a.readBody(memory.OwnerOf(a.at.id), a.app.MaxBodySize); err != nil {
			return err
		}
		defer body.Release()
		call.Body = callback.NewBody(body.Bytes())
		call.Unpacked = a.rt.Engine.Packed(body.Bytes(), a.rt.Engine.Memory(memory.OwnerOf(a.at.id)))
		defer call.Unpacked.Release()
	}
	verdict, err := a.rt.Engine.Resolve(a.r.Context(), a.at.id, call, body.Lease())
	if err != nil {
		return err
	}
	switch verdict.Kind {
	case callback.Accepted, callback.Repeated, callback.Returned, callback.Progressed:
		return a.showNow(http.StatusOK)
	}
	answer.WriteVerdict(a.w, verdict, nil, callback.Caller{})
	return nil
}

// renamed returns the header lines, with the default names of the wire headers replaced by
// the callback's own names, unless those are given, too. An operator who resolves a
// callback need not know which header_prefix it was made with.
func renamed(h callback.Header, wire callback.Wire) callback.Header {
	names, defaults := wire.Names(), callback.NewWire(callback.DefaultHeaderPrefix).Names()
	replaced := make(map[string]string)
	for i, name := range names {
		if h.Get(name) == "" {
			replaced[defaults[i]] = name
		}
	}
	for i, f := range h {
		h[i].Name = cmp.Or(replaced[f.Name], f.Name)
	}
	slices.SortStableFunc(h, func(a, b callback.Field) int { return strings.Compare(a.Name, b.Name) })
	return h
}

// showNow answers with the callback as it is after a change.
func (a *request) showNow(code int) error {
	return answer.Newest(func() error {
		cb, err := a.rt.Engine.FindCommitted(a.r.Context(), a.key())
		if err != nil {
			return err
		}
		return a.writeStatus(code, cb)
	})
}

// redeliver starts the delivery of the result again.
func (a *request) redeliver() error {
	begun, err := a.rt.Engine.Redeliver(a.r.Context(), a.key(), "")
	switch {
	case errors.Is(err, engine.ErrGone):
		return problem.NothingToDeliver.With("The result is not kept any longer: its body was removed.")
	case err != nil:
		return err
	case !begun:
		return problem.NothingToDeliver
	}
	return a.showNow(http.StatusAccepted)
}

// close closes the callback. One that has ended stays as it is, unless it is to be removed.
func (a *request) close() error {
	purges, err := readPurge(a.r.URL.RawQuery)
	if err != nil {
		return err
	}
	if purges {
		if err := a.rt.Engine.Purge(a.r.Context(), a.key(), "it was removed through the API"); err != nil {
			return err
		}
		a.w.WriteHeader(http.StatusNoContent)
		return nil
	}
	_, err = a.rt.Engine.CloseCallback(a.r.Context(), a.key(), "it was closed through the API", "")
	if err == nil {
		_, err = a.rt.Engine.FindCommitted(a.r.Context(), a.key())
	}
	if err != nil {
		return err
	}
	a.w.WriteHeader(http.StatusNoContent)
	return nil
}

// readPurge reads whether a callback is not only to be closed, but removed. An unknown
// parameter is refused: it may be a misspelt purge.
func readPurge(raw string) (purges bool, err error) {
	values, err := url.ParseQuery(raw)
	if err != nil {
		return false, problem.InvalidRequest.With("The query cannot be read.")
	}
	for name, all := range values {
		switch {
		case name != "purge":
			return false, problem.InvalidField(name, "There is no such parameter; there is purge.")
		case len(all) > 1:
			return false, problem.InvalidField(name, "It is given twice; give it once.")
		case all[0] != "true" && all[0] != "false":
			return false, problem.InvalidField(name, problem.Sentence(mustBe("true or false")))
		}
		purges = all[0] == "true"
	}
	return purges, nil
}
