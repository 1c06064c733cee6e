package engine

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"io"
	"slices"

	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/failpoint"
	"github.com/caddy-callback/caddy-callback/module/store"
)

// Incoming is a call as it arrived.
type Incoming struct {
	// State is the secret from the URL.
	State callback.UUID
	// Parameter is the query parameter that carried the state; empty if the state was
	// in the path. A callback can only be called in the form in which its URL was given
	// out.
	Parameter string
	// Call is the call itself, without the state and the key.
	Call *callback.Call
	// Keys are the keys that the caller showed.
	Keys []string
	// Lease is the memory that the call's body takes; nil for none.
	Lease *Lease
	// Fixed says that the call came to the fixed URL, and not to a URL of the
	// callback's own.
	Fixed bool
	// Ask asks the app about the call, for callbacks that require it.
	Ask Ask
	// Trusted says that URL, keys and method are not checked, and no app is asked.
	Trusted bool
}

// Receive decides on a call. It returns when the decision is committed: only then may
// the partner be told. A held client that need not wait for the commit has its answer
// by then. store.ErrNotFound: no callback has that URL.
func (e *Engine) Receive(ctx context.Context, in Incoming) (callback.Verdict, *callback.Policy, error) {
	return e.take(ctx, store.ByState(in.State), in)
}

// take stores a large body of a call, and decides on the call.
func (e *Engine) take(ctx context.Context, key store.Key, in Incoming) (callback.Verdict, *callback.Policy, error) {
	if len(in.Call.Body.Data) > inlineBody {
		if err := e.putBody(ctx, key, in); err != nil {
			return callback.Verdict{}, nil, err
		}
	}
	return e.apply(ctx, key, in)
}

// apply puts the decision on a call into effect, and waits for its commit.
func (e *Engine) apply(ctx context.Context, key store.Key, in Incoming) (callback.Verdict, *callback.Policy, error) {
	var verdict callback.Verdict
	var policy *callback.Policy
	before := callback.Waiting
	r, commit, err := e.store.Update(ctx, key, func(r *callback.Record) (store.Change, error) {
		var err error
		before = r.Phase
		verdict, policy, err = e.verdictOn(ctx, r, in)
		return store.Change{Next: verdict.Next}, err
	})
	if err != nil {
		return callback.Verdict{}, nil, err
	}
	if verdict.Kind == callback.Asks {
		return e.askThenReceive(ctx, r.ID, in)
	}
	released := false
	if verdict.Next != nil {
		e.note(transitionOf(verdict.Kind, r.Phase), r, before == callback.Waiting && r.Phase.Final())
		released = e.waiters.tell(r, in.Lease)
		e.offer(r)
	}
	if !released {
		commit.Hurry()
	}
	// A repeated call may get its reply from a record that is not committed yet. It
	// waits, too: a crash must not undo what the partner was told.
	if err := store.WaitInTurn(context.WithoutCancel(ctx), commit); err != nil {
		return callback.Verdict{}, nil, err
	}
	if verdict.Next != nil {
		e.waiters.tellDurable(r, in.Lease)
	}
	return verdict, policy, nil
}

// Resolve lets an operator's call be the answer to the callback with that id, whatever
// keys and methods its policy requires.
func (e *Engine) Resolve(ctx context.Context, id callback.UUID, call *callback.Call, lease *Lease) (callback.Verdict, error) {
	verdict, _, err := e.take(ctx, store.ByID(id), Incoming{Call: call, Lease: lease, Trusted: true})
	return verdict, err
}

// Admit decides whether the body of a call with that state is worth reading. It returns
// callback.Accepted, or the decision that the call would get with any content.
// store.ErrNotFound: no callback has that URL.
func (e *Engine) Admit(ctx context.Context, in Incoming) (callback.Kind, *callback.Policy, error) {
	cb, err := e.Find(ctx, store.ByState(in.State))
	if err != nil {
		return 0, nil, err
	}
	if cb.StateQuery(cb.Policy) != in.Parameter {
		return 0, nil, store.ErrNotFound
	}
	in.Call.Caller.Own = cb.Policy.OwnKey && shows(in.Keys, cb.Key())
	return cb.Policy.Admit(in.Call.Method, in.Call.Caller), cb.Policy, nil
}

// phaseTransitions are what a call has done to a callback that is then in the phase.
var phaseTransitions = map[callback.Phase]Transition{
	callback.Waiting: Called, callback.Resolved: Resolved, callback.Failed: Failed, callback.Expired: Expired, callback.Closed: Closed,
}

// transitionOf returns what a call has done to a callback.
func transitionOf(kind callback.Kind, phase callback.Phase) Transition {
	if kind == callback.Progressed {
		return Progressed
	}
	return phaseTransitions[phase]
}

// verdictOn returns the domain's decision on a call.
func (e *Engine) verdictOn(ctx context.Context, r *callback.Record, in Incoming) (callback.Verdict, *callback.Policy, error) {
	p, err := e.store.Policy(ctx, r.Policy)
	if err != nil {
		return callback.Verdict{}, nil, err
	}
	if r.StateQuery(p) != in.Parameter && !in.Fixed && !in.Trusted {
		return callback.Verdict{}, nil, store.ErrNotFound
	}
	in.Call.Unattended = r.Attended && !e.waiters.attend(r.ID)
	issued := callback.Issued{Record: r, Policy: p, Secret: e.store.Secret()}
	if in.Trusted {
		return r.Resolve(p, in.Call, issued.Lookup(in.Call), callback.At(e.now())), p, nil
	}
	in.Call.Caller.Own = p.OwnKey && shows(in.Keys, issued.Key())
	return r.Receive(p, in.Call, issued.Lookup(in.Call), callback.At(e.now())), p, nil
}

// putBody puts a large body into a file, if the call is going to be stored.
func (e *Engine) putBody(ctx context.Context, key store.Key, in Incoming) error {
	r, _, err := e.store.Find(ctx, key)
	if err != nil {
		return err
	}
	verdict, _, err := e.verdictOn(ctx, r, in)
	switch {
	case err != nil:
		return err
	case verdict.Kind != callback.Accepted && verdict.Kind != callback.Progressed && verdict.Kind != callback.Asks:
		return nil
	}
	in.Call.Body, err = e.store.PutBody(ctx, in.Call.Body.Data)
	_ = failpoint.Hit("body.stored")
	return err
}

// shows reports whether a key is among those shown. The time that it takes reveals
// nothing about the key.
func shows(shown []string, key string) bool {
	want := sha256.Sum256([]byte(key))
	return slices.ContainsFunc(shown, func(s string) bool {
		sum := sha256.Sum256([]byte(s))
		return subtle.ConstantTimeCompare(sum[:], want[:]) == 1
	})
}

// newDataReader reads a body that is in memory.
func newDataReader(data []byte) io.ReadCloser { return io.NopCloser(bytes.NewReader(data)) }
