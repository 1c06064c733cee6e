package engine

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"slices"

	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/memory"
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
	Lease *memory.Lease
	// Fixed says that the call came to the fixed URL, and not to a URL of the
	// callback's own.
	Fixed bool
	// Ask asks the app about the call, for callbacks that require it.
	Ask Ask
	// Serves reports whether the callbacks with a name can be called where the call has come;
	// nil for all.
	Serves func(name string) bool
	// Trusted says that URL, keys and method are not checked, and no app is asked.
	Trusted bool
}

// Receive decides on a call. It returns when the decision is committed: only then may
// the partner be told. A held client that need not wait for the commit has its answer
// by then. store.ErrNotFound: no callback has that URL. callback.ErrNeeds: only a later
// release can judge the call, which changes nothing. callback.ErrSecretGone: the same, because
// the callback's secret is needed and not known any more. ErrBusy: there is no memory to look
// into its packed body, and nothing changes either.
func (e *Engine) Receive(ctx context.Context, in Incoming) (callback.Verdict, *callback.Policy, error) {
	return e.take(ctx, store.ByState(in.State), in)
}

// decision is what was decided on a call.
type decision struct {
	verdict callback.Verdict
	policy  *callback.Policy
	// record is the newest record after the decision.
	record *callback.Record
	// large says that the call is to be kept and its body does not fit into the record, so
	// that nothing was changed.
	large bool
}

// take decides on a call. A body that is too large for the record is stored only once it is
// known that the call is to be kept.
func (e *Engine) take(ctx context.Context, key store.Key, in Incoming) (callback.Verdict, *callback.Policy, error) {
	in.Call.Hide(in.Keys...)
	if !in.State.IsZero() {
		in.Call.Hide(in.State.String())
	}
	d, err := e.apply(ctx, key, in)
	if err == nil && d.verdict.Kind == callback.Asks {
		return e.askThenReceive(ctx, d.record.ID, in)
	}
	return e.takeWhole(ctx, key, in, d, err)
}

// takeWhole decides anew, with its body stored, on a call whose body is too large for the
// record. All others were decided on.
func (e *Engine) takeWhole(ctx context.Context, key store.Key, in Incoming, d decision, err error) (callback.Verdict, *callback.Policy, error) {
	if err == nil && d.large {
		err = e.withFile(ctx, &in.Call.Body, func() (*callback.Record, error) {
			d, err = e.apply(ctx, key, in)
			return d.record, err
		})
	}
	if err != nil {
		return callback.Verdict{}, nil, err
	}
	return d.verdict, d.policy, nil
}

// apply puts the decision on a call into effect, and waits for its commit. If the app is to
// be asked or the body to be stored first, nothing is changed.
func (e *Engine) apply(ctx context.Context, key store.Key, in Incoming) (decision, error) {
	var d decision
	before := callback.Waiting
	r, commit, err := e.update(ctx, key, func(r *callback.Record) (store.Change, error) {
		var err error
		before = r.Phase
		d.verdict, d.policy, err = e.verdictOn(ctx, r, in)
		if d.large = outgrows(d.verdict.Next, in.Call); d.large {
			return store.Change{}, err
		}
		return store.Change{Next: d.verdict.Next}, err
	})
	if err != nil {
		return decision{}, err
	}
	d.record, d.verdict.ID = r, r.ID
	verdict := d.verdict
	if verdict.Kind == callback.Asks || d.large {
		return d, nil
	}
	e.noteMeaning(r, verdict)
	if verdict.Next != nil {
		e.note(transitionOf(verdict.Kind, r.Phase), r, before == callback.Waiting && r.Phase.Final())
		e.waiters.tell(r, in.Lease)
		e.offer(r)
	}
	// A repeated call may get its reply from a record that is not committed yet. It
	// waits, too: a crash must not undo what the partner was told.
	if err := store.Wait(context.WithoutCancel(ctx), commit); err != nil {
		return d, err
	}
	if verdict.Next != nil {
		e.waiters.tellDurable(r, in.Lease)
	}
	return d, nil
}

// outgrows reports whether a record, nil for none, keeps a call whose body must be put into
// a file first.
func outgrows(next *callback.Record, c *callback.Call) bool {
	return next != nil && next.Keeps(c) && c.Body.File == "" && (isLarge(c.Body) || next.Spills(c))
}

// Resolve lets an operator's call be the answer to the callback with that id, whatever
// keys and methods its policy requires. The call's By says who that is, for the history.
func (e *Engine) Resolve(ctx context.Context, id callback.UUID, call *callback.Call, lease *memory.Lease) (callback.Verdict, error) {
	verdict, _, err := e.take(ctx, store.ByID(id), Incoming{Call: call, Lease: lease, Trusted: true})
	return verdict, err
}

// Admit decides whether the body of a call with that state is worth reading. The verdict is
// callback.Accepted, or the one that the call would get with any content.
// store.ErrNotFound: no callback has that URL. callback.ErrNeeds: only a later release can
// judge the call. callback.ErrSecretGone: as Receive has it.
func (e *Engine) Admit(ctx context.Context, in Incoming) (callback.Verdict, *Callback, error) {
	cb, err := e.Find(ctx, store.ByState(in.State))
	if err != nil {
		return callback.Verdict{}, nil, err
	}
	if !in.isAt(cb.Record, cb.Policy) {
		return callback.Verdict{}, nil, store.ErrNotFound
	}
	if err := cb.Policy.CanJudge(); err != nil {
		return callback.Verdict{}, nil, err
	}
	if in.Call.Caller.Own, err = showsOwn(in.Keys, cb.Issued); err != nil {
		return callback.Verdict{}, nil, err
	}
	verdict := cb.Admit(cb.Policy, in.Call, callback.At(e.now()))
	verdict.ID = cb.ID
	if verdict.Kind != callback.Gone {
		return verdict, cb, nil
	}
	if cb.Phase == callback.Waiting {
		if _, cb.Commit, err = e.act(ctx, cb.ID); err != nil {
			return callback.Verdict{}, nil, err
		}
	}
	return verdict, cb, store.Wait(context.WithoutCancel(ctx), cb.Commit)
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
	if !in.isAt(r, p) {
		return callback.Verdict{}, nil, store.ErrNotFound
	}
	if err := p.CanJudge(); err != nil {
		return callback.Verdict{}, nil, err
	}
	in.Call.Unattended = r.Attended && !e.waiters.attend(r.ID) && !e.elsewhere(r.Flight)
	issued := callback.Issued{Record: r, Policy: p, Secret: e.store.SecretOf(r)}
	missed, now := false, callback.At(e.now())
	look := issued.Lookup(in.Call, &missed)
	var verdict callback.Verdict
	if in.Trusted {
		verdict = r.Resolve(p, in.Call, look, now)
	} else {
		if in.Call.Caller.Own, err = showsOwn(in.Keys, issued); err != nil {
			return callback.Verdict{}, nil, err
		}
		verdict = r.Receive(p, in.Call, look, now)
	}
	switch {
	case missed:
		return callback.Verdict{}, nil, callback.ErrSecretGone
	case in.Call.Unpacked.WasBusy():
		// The verdict is about less than what is there.
		return callback.Verdict{}, nil, ErrBusy
	}
	return verdict, p, nil
}

// isAt reports whether a callback can be called where the call has come, and in that form.
func (in Incoming) isAt(r *callback.Record, p *callback.Policy) bool {
	switch {
	case in.Trusted:
		return true
	case in.Serves != nil && !in.Serves(r.Name), !p.TakesSuffix(in.Call.Suffix):
		return false
	}
	return in.Fixed || r.StateQuery(p) == in.Parameter
}

// showsOwn reports whether the callback's own key, if it has one, is among those shown.
func showsOwn(shown []string, cb callback.Issued) (bool, error) {
	if !cb.Policy.OwnKey {
		return false, nil
	}
	if cb.SecretGone() {
		return false, callback.ErrSecretGone
	}
	return shows(shown, cb.Key()), nil
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
