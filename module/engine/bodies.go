package engine

import (
	"context"

	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/failpoint"
)

// inlineBody is the size up to which a body is kept in its record.
const inlineBody = 64 << 10

// isLarge reports whether a body is too large for a record, and in none of the store's
// files.
func isLarge(b callback.Body) bool { return b.File == "" && len(b.Data) > inlineBody }

// withBody calls decide, which is to make a record refer to the body. If the body is too
// large for a record, it is in a file of the store's by then, and unless the record that
// decide returns refers to that file, it is removed again: what is refused leaves nothing
// behind.
func (e *Engine) withBody(ctx context.Context, body *callback.Body, decide func() (*callback.Record, error)) error {
	if !isLarge(*body) {
		_, err := decide()
		return err
	}
	return e.withFile(ctx, body, decide)
}

// withFile is withBody for a body of any size.
func (e *Engine) withFile(ctx context.Context, body *callback.Body, decide func() (*callback.Record, error)) error {
	stored, err := e.store.PutBody(ctx, body.Data)
	if err != nil {
		return err
	}
	var r *callback.Record
	was := *body
	defer func() {
		if r == nil || !r.Has(stored.File) {
			*body = was
			e.store.DropBody(context.WithoutCancel(ctx), stored)
		}
	}()
	*body = stored
	_ = failpoint.Hit("body.stored")
	r, err = decide()
	return err
}

// Completed returns a result with a body that can be opened: that of a result which is a
// whole call is made here.
func (e *Engine) Completed(ctx context.Context, result callback.Result, p *callback.Policy) (callback.Result, error) {
	if result.Call == nil {
		return result, nil
	}
	data, err := e.BodyOf(ctx, *result.Body)
	if err != nil {
		return callback.Result{}, err
	}
	made, _ := p.HandedOn(result.Call, data)
	body := callback.NewBody(made)
	result.Body = &body
	return result, nil
}

// withResponse is withBody for the body of a response, which may be nil.
func (e *Engine) withResponse(ctx context.Context, response *callback.Response, decide func() (*callback.Record, error)) error {
	if response == nil {
		_, err := decide()
		return err
	}
	return e.withBody(ctx, &response.Body, decide)
}
