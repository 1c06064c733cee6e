package module

import (
	"encoding/json"
	"net/http"
	"strings"
	"time"

	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/engine"
	"github.com/caddy-callback/caddy-callback/module/inject"
	"github.com/caddy-callback/caddy-callback/module/problem"
	"github.com/caddy-callback/caddy-callback/module/store"
)

// maxCallHeader bounds what is stored of a call beside its body: header and
// query, in bytes.
const maxCallHeader = 64 << 10

// readCall reads a call whole. The state is taken out of it.
func (s *Server) readCall(e *engine.Engine, r *http.Request, at location) (engine.Incoming, error) {
	received := callback.At(time.Now())
	keys, query := keysOf(r)
	header := callback.CallHeader(r.Header)
	size := len(query)
	for _, f := range header {
		size += len(f.Name) + len(f.Value)
	}
	if size > maxCallHeader {
		return engine.Incoming{}, problem.HeaderTooLarge
	}
	body, lease, err := e.ReadBody(r.Body, r.ContentLength, s.app.MaxBodySize)
	if err != nil {
		return engine.Incoming{}, err
	}
	in := engine.Incoming{
		State:     at.secret,
		Parameter: at.parameter,
		Keys:      keys,
		Lease:     lease,
		Call: &callback.Call{
			Method:     r.Method,
			Suffix:     at.suffix,
			Query:      query,
			Header:     header,
			Body:       callback.NewBody(body),
			ReceivedAt: received,
		},
	}
	if at.resource == queryPath && !takeState(&in, r.Header.Get("Content-Type")) {
		lease.Release()
		return engine.Incoming{}, store.ErrNotFound
	}
	return in, nil
}

// takeState takes the state out of the query, or else out of a form body. There
// must be one, in one of the two.
func takeState(in *engine.Incoming, contentType string) bool {
	call, name := in.Call, in.Parameter
	values := inject.GetQuery(call.Query, name)
	call.Query = inject.RemoveQuery(call.Query, name)
	if inject.IsForm(contentType) {
		form := string(call.Body.Data)
		values = append(values, inject.GetQuery(form, name)...)
		if len(values) == 1 {
			call.Body = callback.NewBody([]byte(inject.RemoveQuery(form, name)))
		}
	}
	if len(values) != 1 {
		return false
	}
	state, ok := callback.ParseUUID(values[0])
	in.State = state
	return ok
}

// isPrefetch reports whether a header value says that nobody has asked for the
// page yet.
func isPrefetch(value string) bool {
	value = strings.ToLower(value)
	return strings.Contains(value, "prefetch") || strings.Contains(value, "prerender") || strings.Contains(value, "preview")
}

// contentTypeOf names the type of a configured body, as Caddy's own respond does.
func contentTypeOf(body string) string {
	if trimmed := strings.TrimSpace(body); trimmed != "" && (trimmed[0] == '{' || trimmed[0] == '[') && json.Valid([]byte(body)) {
		return "application/json"
	}
	return "text/plain; charset=utf-8"
}
