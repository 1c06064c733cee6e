package server

import (
	"bytes"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/caddy-callback/caddy-callback/module/answer"
	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/engine"
	"github.com/caddy-callback/caddy-callback/module/inject"
	"github.com/caddy-callback/caddy-callback/module/memory"
	"github.com/caddy-callback/caddy-callback/module/problem"
	"github.com/caddy-callback/caddy-callback/module/store"
	"github.com/caddy-callback/caddy-callback/module/unpack"
)

// newIncoming returns a call without its body. The state is taken out of path or query;
// it is zero if only the body can hold it.
func newIncoming(r *http.Request, at callback.Path, keys []string, query string, now time.Time) (engine.Incoming, error) {
	call, err := callback.NewCall(r.Method, at.Suffix, query, r.Header, callback.At(now))
	if err != nil {
		return engine.Incoming{}, err
	}
	in := engine.Incoming{State: at.Secret, Parameter: at.Parameter, Keys: keys, Call: call}
	if at.Resource != callback.QueryPath {
		return in, nil
	}
	formed := answer.HasBody(r) && inject.IsForm(r.Header.Get("Content-Type"))
	var ok bool
	if in.Call.Query, ok = takeState(&in, query); !ok || in.State.IsZero() && !formed {
		return engine.Incoming{}, store.ErrNotFound
	}
	return in, nil
}

// takeState takes the state out of a query, or of the text of a form, and returns what is
// left. It may be there several times, and in both, but not with different values.
func takeState(in *engine.Incoming, text string) (left string, ok bool) {
	text = inject.SplitAppended(text, in.Parameter, nil)
	for _, value := range inject.GetQuery(text, in.Parameter) {
		state, ok := callback.ParseUUID(value)
		if !ok || !in.State.IsZero() && state != in.State {
			return "", false
		}
		in.State = state
	}
	return inject.RemoveQuery(text, in.Parameter), true
}

// readBlindWithin is how long the body of a call may take to arrive that has shown neither
// a state nor a named key. It is short, because little memory is set aside for such bodies.
const readBlindWithin = 10 * time.Second

// maxBlind bounds such a body, in bytes.
const maxBlind = 1 << 20

// readBody reads a call's body on behalf of an owner, which is Nobody if the call has shown
// neither a state nor a named key. It takes the state out of the body if that holds one.
func (s *Server) readBody(w http.ResponseWriter, r *http.Request, e *engine.Engine, owner memory.Owner, in *engine.Incoming, signed signed) error {
	if !answer.HasBody(r) {
		in.Call.Caller = signed.proved(nil)
		return nil
	}
	space, within, limit := e.Memory(owner), answer.ReadWithin, s.app.MaxBodySize
	if owner == memory.Nobody {
		space, within, limit = e.BlindMemory(), readBlindWithin, min(limit, maxBlind)
		if !signed.None() {
			limit = s.app.MaxBodySize
		}
	}
	body, err := answer.ReadBody(w, r, space, within, limit)
	if err != nil {
		return err
	}
	in.Lease = body.Lease()
	in.Call.Caller = signed.proved(body.Bytes())
	in.Call.Body = callback.NewBody(body.Bytes())
	coding := unpack.CodingOf(r.Header["Content-Encoding"])
	switch {
	case in.Parameter == "" || !inject.IsForm(r.Header.Get("Content-Type")):
	case coding != "" && body != nil:
		err = takePackedState(in, r.Header, coding, limit, space)
	case !takeBodyState(in, r.Header):
		err = store.ErrNotFound
	}
	if err != nil {
		in.Lease.Release()
		return err
	}
	if coding != "" {
		in.Call.Unpacked = e.Packed(in.Call.Body.Data, space)
	}
	return nil
}

// takeBodyState takes the state out of the body of a form.
func takeBodyState(in *engine.Incoming, header http.Header) bool {
	if inject.IsMultipart(header.Get("Content-Type")) {
		return takePartState(in, header)
	}
	return takeFormState(in)
}

// maxStateField bounds a field of a form that holds the state, in bytes. It is more than
// the state because queries are appended to that, too.
const maxStateField = 64 << 10

// takeFormState takes the state out of a form body, unless it is in the query alone. What
// is left takes the place of the body, without a byte order mark: there is no room for two of
// them.
func takeFormState(in *engine.Incoming) bool {
	form, separator := bytes.TrimPrefix(in.Call.Body.Data, []byte("\ufeff")), []byte("&")
	holds := func(field []byte) bool {
		return len(inject.GetForm(field[:min(len(field), maxStateField)], in.Parameter)) > 0
	}
	found := false
	for field := range bytes.SplitSeq(form, separator) {
		if !holds(field) {
			continue
		}
		if _, ok := takeState(in, string(field[:min(len(field), maxStateField)])); !ok || len(field) > maxStateField {
			return false
		}
		found = true
	}
	if !found {
		return !in.State.IsZero()
	}
	left := form[:0]
	for field := range bytes.SplitSeq(form, separator) {
		if holds(field) {
			text, _ := takeState(in, string(field))
			field = []byte(text)
		}
		if len(field) == 0 {
			continue
		}
		if len(left) > 0 {
			left = append(left, separator...)
		}
		left = append(left, field...)
	}
	in.Call.Body = callback.NewBody(left)
	return true
}

// takePackedState is takeBodyState for a form that is packed. If that holds the state, what
// is left of it is not packed any more: a secret is not kept, handed on or shown. If it
// cannot be read, the state must be in the query.
func takePackedState(in *engine.Incoming, header http.Header, coding string, limit int64, space memory.Space) error {
	packed := in.Call.Body
	form, err := unpackForm(packed.Data, coding, limit, space)
	switch {
	case errors.Is(err, engine.ErrBusy):
		return err
	case err != nil && in.State.IsZero():
		return unreadable("The state cannot be looked for", err)
	case err != nil:
		return nil
	}
	in.Call.Body = callback.NewBody(form.Bytes())
	if !takeBodyState(in, header) {
		form.Release()
		return store.ErrNotFound
	}
	if len(in.Call.Body.Data) == len(form.Bytes()) {
		form.Release()
		in.Call.Body = packed
		return nil
	}
	in.Lease.Release()
	in.Lease = form.Lease()
	in.Call.Header = slices.DeleteFunc(in.Call.Header, func(f callback.Field) bool {
		return f.Name == "Content-Encoding" || slices.Contains(callback.DigestHeaders, f.Name)
	})
	return nil
}

func unpackForm(packed []byte, coding string, limit int64, space memory.Space) (*memory.Buffer, error) {
	if !unpack.Knows(coding) {
		return nil, inject.Packed(coding)
	}
	return unpack.Read(coding, packed, limit, space)
}

// unreadable returns the problem of a call in whose packed body something cannot be looked
// for.
func unreadable(what string, err error) error {
	status := http.StatusBadRequest
	if errors.Is(err, inject.ErrPacked) {
		status = http.StatusUnsupportedMediaType
	}
	return problem.Refused("unreadable", what+": "+err.Error()+".", status)
}

// isPrefetch reports whether a header value says that a browser makes the request in
// advance: nobody has asked for the page yet.
func isPrefetch(value string) bool {
	value = strings.ToLower(value)
	return strings.Contains(value, "prefetch") || strings.Contains(value, "prerender") || strings.Contains(value, "preview")
}
