package hold

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/engine"
	"github.com/caddy-callback/caddy-callback/module/inject"
	"github.com/caddy-callback/caddy-callback/module/memory"
	"github.com/caddy-callback/caddy-callback/module/upstream"
)

// Fetch configures how the result is fetched after a success: what has called only says that it
// is there.
type Fetch struct {
	// From is the place in the call that holds the URL of the result. Only its path and query
	// are used. Default: to.
	From *inject.Location `json:"from,omitempty"`

	// To is the path of the result, with the placeholders that poll's to may hold. Default: a
	// call that holds no URL fails the callback.
	To string `json:"to,omitempty"`

	// Using is the route through which the result is fetched. It is required.
	Using caddyhttp.RouteList `json:"using,omitempty"`

	source
}

// Check makes sure that the options make sense together.
func (f *Fetch) Check() error {
	if f.From != nil {
		if err := callback.CheckLocation(*f.From); err != nil {
			return fmt.Errorf("from: %w", err)
		}
	}
	if f.To != "" {
		return target(f.To).check()
	}
	return nil
}

// checkFetch makes sure that a result can be fetched.
func (h *Handler) checkFetch() error {
	f := h.Fetch
	if f == nil {
		return nil
	}
	if err := f.Check(); err != nil {
		return fmt.Errorf("fetch: %w", err)
	}
	switch {
	case f.From == nil && f.To == "":
		return errors.New("fetch: it needs the place of the URL in the call, or a path, as in: fetch from json data.url { ... }, or: fetch to /jobs/{http.callback.correlation_id} { ... }")
	case f.Using == nil:
		return errors.New("fetch: it needs a block with the route to the result, as in: fetch from json data.url { reverse_proxy https://api.example.com }")
	case h.isStep(), h.Then != nil:
		return errors.New("fetch: what goes on after the callback gets the call's body; put a proxy for the result there, and leave the option out")
	case h.Multiple:
		return errors.New("fetch: one result is fetched, and multiple on takes many calls; leave one of the two out")
	case !h.usesBody():
		return errors.New("fetch: with use_body off the ack is the result; leave one of the two out")
	}
	return nil
}

// fetch fetches the result once.
func (j *job) fetch(ctx context.Context) callback.Attempt {
	f := j.h.Fetch
	to, err := j.resultPath(ctx)
	switch {
	case errors.Is(err, engine.ErrBusy):
		return j.again("there was no memory to look into the call", 0)
	case err != nil:
		return failedSource(fmt.Errorf("the result cannot be fetched: %w", err))
	}
	call, err := f.ask(ctx, j, to, keepAll{})
	if err != nil {
		return failedSource(fmt.Errorf("the result cannot be fetched: %w", err))
	}
	attempt := j.fetchOf(call)
	attempt.Status = statusOf(call)
	attempt.Done = call.Close
	return attempt
}

// fetchOf returns what the answer means.
func (j *job) fetchOf(call *upstream.Call) callback.Attempt {
	if reason, again := unanswered(call); reason != "" {
		if again {
			return j.again(reason, asksFor(call))
		}
		return failedSource(errors.New(reason))
	}
	switch status := call.Status(); {
	case status == http.StatusAccepted:
		return j.again("the upstream answered that the result is not there yet", asksFor(call))
	case status >= 300 && status <= 399, status == http.StatusPartialContent:
		return failedWith(status, "when the result was fetched")
	}
	response, err := call.Response()
	if errors.Is(err, engine.ErrTooLarge) {
		return failedSource(errors.New("the result is larger than allowed"))
	}
	return callback.Attempt{Kind: callback.AttemptAnswered, Response: response, Lost: err}
}

// resultPath returns the path of the result.
func (j *job) resultPath(ctx context.Context) (string, error) {
	f, called := j.h.Fetch, j.cb.Call
	if f.From == nil {
		return f.to.of(j.cb.Record)
	}
	m := &inject.Message{Header: make(http.Header), Query: called.Query}
	called.Header.AddTo(m.Header)
	if f.From.InBody() {
		body, err := j.bodies().Whole(ctx, called.Body)
		if err != nil {
			return "", err
		}
		defer body.Release()
		m.Body = body.Bytes()
		m.Unpacked = j.rt.Engine.Packed(m.Body, j.rt.Engine.Memory(memory.OwnerOf(j.cb.ID)))
		defer m.Unpacked.Release()
	}
	value, err := m.Read(*f.From)
	switch {
	case err != nil:
		return "", fmt.Errorf("%s: %w", f.From, err)
	case value.Text == "" || value.IsNull():
		if f.To != "" {
			return f.to.of(j.cb.Record)
		}
		return "", fmt.Errorf("the call has no URL in %s", f.From)
	}
	to, err := f.reference(value.Text, &url.URL{Path: "/"})
	if err != nil {
		return "", fmt.Errorf("%s: %w", f.From, err)
	}
	return to, nil
}
