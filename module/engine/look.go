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
	if !in.isAt(cb.Record, cb.Policy) {
		return callback.Verdict{}, nil, store.ErrNotFound
	}
	if in.Call.Caller.Own, err = showsOwn(in.Keys, cb.Issued); err != nil {
		return callback.Verdict{}, nil, err
	}
	missed := false
	verdict := cb.Look(cb.Policy, in.Call, cb.Lookup(in.Call, &missed), callback.At(e.now()))
	if missed {
		return callback.Verdict{}, nil, callback.ErrSecretGone
	}
	return verdict, cb.Policy, nil
}
