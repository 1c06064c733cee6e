package server

import (
	"net/http"
	"strings"
	"time"

	"github.com/caddy-callback/caddy-callback/module/answer"
	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/engine"
	"github.com/caddy-callback/caddy-callback/module/inject"
	"github.com/caddy-callback/caddy-callback/module/store"
)

// newIncoming returns a call without its body. The state is taken out of path or query;
// it is zero if only the body can hold it.
func newIncoming(r *http.Request, at callback.Path, keys []string, query string) (engine.Incoming, error) {
	call, err := callback.NewCall(r.Method, at.Suffix, query, r.Header, callback.At(time.Now()))
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

// readBody reads a call's body, and takes the state out of it if it holds one.
func (s *Server) readBody(w http.ResponseWriter, r *http.Request, e *engine.Engine, in *engine.Incoming) error {
	if !answer.HasBody(r) {
		return nil
	}
	read, within := e.ReadBody, answer.ReadWithin
	if in.State.IsZero() && len(in.Call.Caller.Names) == 0 {
		read, within = e.ReadBlind, readBlindWithin
	}
	defer answer.SetReadDeadline(w, within)()
	body, lease, err := read(r.Body, r.ContentLength, s.app.MaxBodySize)
	if err != nil {
		return err
	}
	in.Lease = lease
	in.Call.Body = callback.NewBody(body)
	if in.Parameter != "" && inject.IsForm(r.Header.Get("Content-Type")) && !takeFormState(in) {
		lease.Release()
		return store.ErrNotFound
	}
	return nil
}

// takeFormState takes the state out of a form body, unless it is in the query alone.
func takeFormState(in *engine.Incoming) bool {
	form := string(in.Call.Body.Data)
	if len(inject.GetQuery(form, in.Parameter)) == 0 {
		return !in.State.IsZero()
	}
	form, ok := takeState(in, form)
	in.Call.Body = callback.NewBody([]byte(form))
	return ok
}

// isPrefetch reports whether a header value says that a browser makes the request in
// advance: nobody has asked for the page yet.
func isPrefetch(value string) bool {
	value = strings.ToLower(value)
	return strings.Contains(value, "prefetch") || strings.Contains(value, "prerender") || strings.Contains(value, "preview")
}
