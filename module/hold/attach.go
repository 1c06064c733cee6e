package hold

import (
	"errors"
	"strconv"
	"strings"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddy-callback/caddy-callback/module/answer"
	"github.com/caddy-callback/caddy-callback/module/app"
	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/engine"
	"github.com/caddy-callback/caddy-callback/module/problem"
	"github.com/caddy-callback/caddy-callback/module/store"
)

// retryKeyOf returns what identifies the request when it is repeated; nil if it has no
// key or keys are switched off. The same key of another client is another key.
func (x *exchange) retryKeyOf() (*callback.Retry, error) {
	if x.step != nil {
		return x.stepKey(), nil
	}
	if !x.h.takesKeys() {
		return nil, nil
	}
	key, err := answer.IdempotencyKey(x.r)
	if key == "" || err != nil {
		return nil, err
	}
	scope, old, err := x.scope()
	if err != nil {
		return nil, err
	}
	retry := &callback.Retry{
		Alias:       callback.DirectiveAlias(x.directive(), scope, key),
		Fingerprint: callback.Fingerprint(x.r.Method, x.r.URL.RequestURI(), x.r.Header.Get("Content-Type"), x.request.own.Bytes()),
	}
	if old != "" {
		retry.Old = callback.IdempotencyAlias(old, key)
	}
	return retry, nil
}

// takesKeys reports whether clients can repeat their requests under a key.
func (h *Handler) takesKeys() bool { return h.Idempotency == nil || *h.Idempotency }

// stepKey returns what identifies a step when its job is tried again: the callback whose
// job it is, and the directive's name or else its number in the block.
func (x *exchange) stepKey() *callback.Retry {
	alias := func(directive string) callback.Digest {
		return callback.IdempotencyAlias("step", x.step.parent.String()+" "+directive)
	}
	// A name has none of these characters, so that no name stands for a number.
	directive, again := x.h.Name, passedBefore(x.r, x.h)
	if directive == "" {
		directive = "#" + strconv.Itoa(x.h.inBlock)
	}
	retry := &callback.Retry{}
	if x.h.Name == "" && x.h.inBlock == 0 && again == 0 {
		retry.Old = alias("")
	}
	if again > 0 {
		directive += "+" + strconv.Itoa(again)
	}
	retry.Alias = alias(directive)
	retry.Fingerprint = retry.Alias
	return retry
}

// directive identifies the directive that the request passes: by its name, or else by its
// place in the configuration. If the request passes it more than once, each time counts.
func (x *exchange) directive() string {
	directive := "place " + x.h.place
	if x.h.Name != "" {
		directive = "name " + x.h.Name
	}
	if again := passedBefore(x.r, x.h); again > 0 {
		directive += " again " + strconv.Itoa(again)
	}
	return directive
}

// findOld finds the callback that version 0.1 made for the same key, if it is one of this
// directive: the key itself did not say so.
func (x *exchange) findOld() (*engine.Callback, error) {
	if x.retry == nil || x.retry.Old.IsZero() {
		return nil, nil
	}
	cb, err := x.rt.Engine.FindCommitted(x.lasting(), store.ByAlias(x.retry.Old))
	switch {
	case errors.Is(err, store.ErrNotFound):
		return nil, nil
	case err != nil:
		return nil, err
	case madeBefore(x.r, cb.ID):
		return nil, nil
	}
	same := cb.Policy.Hash() == x.h.policy.Hash()
	if x.h.Name != "" || cb.Name != "" {
		same = cb.Name == x.h.Name
	}
	if !same {
		return nil, nil
	}
	if x.step != nil {
		// The fingerprint of a step is its alias.
		x.retry.Fingerprint = x.retry.Old
	}
	return cb, nil
}

// scope says whose key the request has. old is the scope in which version 0.1 would have
// looked for it, "" if that was another.
func (x *exchange) scope() (scope, old string, err error) {
	placeholder := x.h.IdempotencyScope
	if placeholder == "" {
		scope = answer.Scope(x.r, app.User(x.r))
		return scope, scope, nil
	}
	repl, _ := x.r.Context().Value(caddy.ReplacerCtxKey).(*caddy.Replacer)
	client, _ := repl.GetString(strings.Trim(placeholder, "{}"))
	if client == "" {
		return "", "", problem.NoIdempotencyScope
	}
	return answer.ScopeOf(x.r, client), "", nil
}

// attach answers a repeated request: with the answer to the first one, or, if there is
// none yet, as another waiter.
func (x *exchange) attach() error {
	if x.callback.Fingerprint != x.retry.Fingerprint {
		return x.refuse(problem.KeyReused)
	}
	if err := x.await(); err != nil {
		return x.refuseFor(err)
	}
	x.setPlaceholders()
	for {
		// Ask for landed before reading the record: whatever lands in between has then
		// already changed the record.
		landed := x.rt.Engine.Landed(x.callback.ID)
		cb, err := x.rt.Engine.FindCommitted(x.lasting(), store.ByID(x.callback.ID))
		if errors.Is(err, store.ErrNotFound) && x.wasToldOfClosing() {
			return x.show(x.told)
		}
		if errors.Is(err, store.ErrNotFound) {
			return x.refuse(problem.KeyFreed)
		}
		if err != nil {
			return x.refuseFor(err)
		}
		x.callback = cb
		if landed == nil {
			landed = x.rt.Engine.Elsewhere(cb.Record)
		}
		switch {
		case x.replays(cb.Record):
			return x.replay()
		case landed == nil && x.untried(cb.Record):
			// The process that served the first request has ended, so nobody knows
			// whether the upstream got it. Send it again with the same callback,
			// correlation id and key.
			if cb.SecretGone() {
				return x.refuseFor(callback.ErrSecretGone)
			}
			return x.callUpstream()
		case landed == nil || x.settledFor(cb.Record):
			return x.waitAttached()
		}
		if e, _ := x.first(nil, landed, nil); e == wasCut {
			return x.leaveCut()
		}
	}
}

// wasToldOfClosing reports whether the exchange was told that its callback was closed, before
// that was removed.
func (x *exchange) wasToldOfClosing() bool {
	select {
	case n := <-x.ended():
		x.told = n.Record
		n.Done()
	default:
	}
	return x.told != nil && x.told.Phase == callback.Closed
}

// replays reports whether there is an answer to give again.
func (x *exchange) replays(r *callback.Record) bool {
	switch {
	case r.Answer != nil && (r.Phase == callback.Closed || !x.answersAtOnce()):
		return true
	case !r.Phase.Final():
		return false
	case x.goesOn(r):
		return !x.rt.Engine.Serves(r)
	case r.Phase == callback.Closed:
		return !x.rt.Engine.Serves(r)
	}
	return !x.answersAtOnce()
}

// replay gives the answer again.
func (x *exchange) replay() error {
	r := x.callback.Record
	if r.Answer == nil && x.goesOn(r) && !r.Stripped() {
		return x.goOn(r)
	}
	x.w.Header().Set("Idempotency-Replayed", "true")
	x.phase = r.Phase
	return x.show(r)
}

// untried reports whether nothing shows that the upstream got the request.
func (x *exchange) untried(r *callback.Record) bool {
	return r.Phase == callback.Waiting && !r.Acked && r.Job == nil && r.Call == nil && r.Step.IsZero() && !x.h.background()
}

// settledFor reports whether the request is known to be accepted, so that only the end
// of its callback is to be waited for.
func (x *exchange) settledFor(r *callback.Record) bool {
	return r.Phase == callback.Waiting && (r.Acked || r.Job != nil || r.Call != nil || !r.Step.IsZero())
}

// waitAttached waits as a held client does. If the first request goes on to the next
// handlers after the callback, this one gets the same answer as the first.
func (x *exchange) waitAttached() error {
	if !x.h.isStep() {
		return x.waitOrPark()
	}
	if e, n := x.first(x.ended(), nil, nil); e == noticed {
		n.Done()
		x.told = n.Record
		return x.attach()
	}
	return x.leaveCut()
}
