package api

import (
	"net/http"
	"net/url"

	"github.com/caddy-callback/caddy-callback/module/answer"
	"github.com/caddy-callback/caddy-callback/module/desk"
	"github.com/caddy-callback/caddy-callback/module/engine"
	"github.com/caddy-callback/caddy-callback/module/problem"
	"github.com/caddy-callback/caddy-callback/module/store"
)

// key returns the key of the callback that the path names.
func (a *request) key() store.Key { return store.ByID(a.at.id) }

// show shows one callback.
func (a *request) show() error {
	return a.reading(answer.Document{Tag: a.fullTag}, func(cb *engine.Callback) error { return a.writeStatus(http.StatusOK, cb) })
}

// result shows what a held client would have got.
func (a *request) result() error {
	return a.reading(answer.ResultDocument, func(cb *engine.Callback) error { return answer.ServeResult(a.w, a.r, a.engine(), cb) })
}

// reading answers with a document of the callback that the path names, once the client can
// read what it waits for.
func (a *request) reading(d answer.Document, serve func(*engine.Callback) error) error {
	return answer.Reading{Engine: a.engine(), Exit: a.desk.Runtime.Exit, Key: a.key(), Document: d}.Serve(a.w, a.r, serve)
}

// fullTag returns the entity tag of the whole status.
func (a *request) fullTag(_ *http.Request, cb *engine.Callback) (string, error) {
	return answer.FullTag(a.r.Context(), a.engine(), cb, a.desk.KeyShown)
}

// writeStatus answers with the whole status of a callback.
func (a *request) writeStatus(code int, cb *engine.Callback) error {
	status, err := answer.OpenStatus(a.r.Context(), a.engine(), cb, a.desk.KeyShown)
	if err != nil {
		return err
	}
	answer.WriteDocument(a.w, code, status)
	return nil
}

// page is a page of a list. Its callbacks come without their latest calls.
type page struct {
	Callbacks []answer.FullStatus `json:"callbacks"`
	// Next is the cursor of the next page; empty on the last one.
	Next string `json:"next,omitempty"`
	// Waiting is how many callbacks wait, and Held how many clients: in all, not only
	// in the list. Who does not see all callbacks is not told.
	Waiting *int `json:"waiting,omitempty"`
	Held    *int `json:"held,omitempty"`
}

// list shows callbacks.
func (a *request) list() error {
	values, err := a.query()
	if err != nil {
		return err
	}
	query, err := desk.ParseQuery(values, a.engine().Now())
	if err != nil {
		return err
	}
	found, err := a.desk.List(a.r.Context(), query)
	if err != nil {
		return err
	}
	defer found.Release()
	p := page{Callbacks: make([]answer.FullStatus, len(found.Callbacks)), Next: found.Next}
	if a.desk.SeesAll() {
		waiting, held := a.engine().Waiting(), a.engine().Held()
		p.Waiting, p.Held = &waiting, &held
	}
	for i, cb := range found.Callbacks {
		p.Callbacks[i] = answer.NewFullStatus(cb, a.desk.KeyShown)
	}
	answer.WriteJSON(a.w, http.StatusOK, p)
	return nil
}

// query reads the query of the request's URL.
func (a *request) query() (url.Values, error) {
	values, err := url.ParseQuery(a.r.URL.RawQuery)
	if err != nil {
		return nil, problem.InvalidRequest.With("The query cannot be read.")
	}
	return values, nil
}
