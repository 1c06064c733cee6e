package server

import (
	"bytes"
	"net/http"

	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/engine"
	"github.com/caddy-callback/caddy-callback/module/inject"
)

// takePartState takes the parts with the state out of a multipart/form-data body, unless it
// is in the query alone. A body that cannot be read is left as it is if the query has the
// state: it only must not have it, too.
func takePartState(in *engine.Incoming, header http.Header) bool {
	form, err := inject.ParseMultipart(header, in.Call.Body.Data)
	var value []byte
	found := false
	if err == nil {
		value, found, err = form.Field(in.Parameter)
	}
	if !found {
		hidden := err != nil && bytes.Contains(in.Call.Body.Data, []byte(in.State.String()))
		return !in.State.IsZero() && !hidden
	}
	// Some software appends a query to the state, too.
	value, _, _ = bytes.Cut(value, []byte("?"))
	state, ok := callback.ParseUUID(string(value[:min(len(value), maxStateText)]))
	if !ok || !in.State.IsZero() && state != in.State {
		return false
	}
	in.State = state
	in.Call.Body = callback.NewBody(form.Cut(in.Parameter))
	return true
}

// maxStateText is more than the text of any state has, in bytes.
const maxStateText = 100
