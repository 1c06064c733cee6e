package engine

import (
	"context"

	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/failpoint"
	"github.com/caddy-callback/caddy-callback/module/store"
)

// inlineBody is the size up to which a body is kept in its record: that of a piece of those
// in files.
const inlineBody = store.BodyPiece

// isLarge reports whether a body is too large for a record, and in none of the store's
// files.
func isLarge(b callback.Body) bool { return b.File == "" && len(b.Data) > inlineBody }

// withBody calls decide, which is to make a record refer to the body. If the body is too
// large for a record, it is in a file of the store's by then, and unless the record that
// decide returns refers to that file, it is removed again: what is refused leaves nothing
// behind.
func (e *Engine) withBody(ctx context.Context, body *callback.Body, decide func() (*callback.Record, error)) error {
	switch {
	case body.File != "":
		return e.withStored(ctx, *body, decide)
	case isLarge(*body):
		return e.withFile(ctx, body, decide)
	}
	_, err := decide()
	return err
}

// withFile is withBody for a body of any size that is in no file yet.
func (e *Engine) withFile(ctx context.Context, body *callback.Body, decide func() (*callback.Record, error)) error {
	stored, err := e.store.PutBody(ctx, body.Data)
	if err != nil {
		return err
	}
	was, kept := *body, false
	defer func() {
		if !kept {
			*body = was
		}
	}()
	*body = stored
	return e.withStored(ctx, stored, func() (*callback.Record, error) {
		r, err := decide()
		kept = r != nil && r.Has(stored.File)
		return r, err
	})
}

// withStored is withBody for a body that is in a file already.
func (e *Engine) withStored(ctx context.Context, stored callback.Body, decide func() (*callback.Record, error)) error {
	var r *callback.Record
	defer func() {
		if r == nil || !r.Has(stored.File) {
			e.store.DropBody(context.WithoutCancel(ctx), stored)
		}
	}()
	_ = failpoint.Hit("body.stored")
	var err error
	r, err = decide()
	return err
}

// withResponse is withBody for the body of a response, which may be nil.
func (e *Engine) withResponse(ctx context.Context, response *callback.Response, decide func() (*callback.Record, error)) error {
	if response == nil {
		_, err := decide()
		return err
	}
	return e.withBody(ctx, &response.Body, decide)
}
