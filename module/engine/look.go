package engine

import (
	"context"

	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/store"
)

// Look decides on a request that only looks at a callback URL, and changes nothing.
// store.ErrNotFound: no callback has that URL.
func (e *Engine) Look(ctx context.Context, in Incoming) (callback.Verdict, *callback.Policy, error) {
	cb, err := e.FindCommitted(ctx, store.ByState(in.State))
	if err != nil {
		return callback.Verdict{}, nil, err
	}
	if cb.Policy.StateQuery != in.Parameter {
		return callback.Verdict{}, nil, store.ErrNotFound
	}
	in.Call.Caller.Own = cb.Policy.OwnKey && shows(in.Keys, cb.Key())
	return cb.Look(cb.Policy, in.Call, cb.Lookup(in.Call), callback.At(e.now())), cb.Policy, nil
}
