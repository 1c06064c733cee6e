package hold

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net/http"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddy-callback/caddy-callback/module/answer"
	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/problem"
	"github.com/caddy-callback/caddy-callback/module/store"
)

// retryKeyOf returns what the request is known by when it comes again; nil where it
// has no key, or keys mean nothing. Keys of one client mean nothing to another.
func (x *exchange) retryKeyOf() (*callback.Retry, error) {
	if x.step != nil {
		alias := callback.IdempotencyAlias("step", x.step.parent.String()+" "+x.h.Name)
		return &callback.Retry{Alias: alias, Fingerprint: alias}, nil
	}
	if x.h.Idempotency != nil && !*x.h.Idempotency {
		return nil, nil
	}
	key, err := answer.IdempotencyKey(x.r)
	if key == "" || err != nil {
		return nil, err
	}
	return &callback.Retry{
		Alias:       callback.IdempotencyAlias(scopeOf(x.r), key),
		Fingerprint: callback.Fingerprint(x.r.Method, x.r.URL.RequestURI(), x.r.Header.Get("Content-Type"), x.request.body),
	}, nil
}

// scopeOf names the client: the host that it asks, and who it is, as far as that is
// known.
func scopeOf(r *http.Request) string {
	if repl, ok := r.Context().Value(caddy.ReplacerCtxKey).(*caddy.Replacer); ok {
		if user, ok := repl.GetString("http.auth.user.id"); ok && user != "" {
			return r.Host + " user " + user
		}
	}
	sum := sha256.Sum256([]byte(r.Header.Get("Authorization")))
	return r.Host + " authorization " + hex.EncodeToString(sum[:])
}

// attach answers a request that was made before: with what came of it, or, if that
// is not known yet, as another waiter.
func (x *exchange) attach() error {
	if x.callback.Fingerprint != x.retry.Fingerprint {
		return x.refuse(problem.KeyReused)
	}
	if err := x.await(); err != nil {
		return x.refuse(answer.ProblemOf(err))
	}
	x.setPlaceholders()
	for {
		// Ask for landed before reading the record: whatever lands in between has then
		// already changed the record.
		landed := x.rt.Engine.Landed(x.callback.ID)
		cb, err := x.rt.Engine.FindCommitted(x.lasting(), store.ByID(x.callback.ID))
		if errors.Is(err, store.ErrNotFound) {
			return x.refuse(problem.KeyFreed)
		}
		if err != nil {
			return x.refuse(answer.ProblemOf(err))
		}
		x.callback = cb
		switch {
		case x.replays(cb.Record):
			return x.replay()
		case landed == nil && x.untried(cb.Record):
			// Whether it has reached the upstream is not known: its process was
			// ended. The same callback, correlation id and key go out again.
			return x.callUpstream()
		case landed == nil || x.settledFor(cb.Record):
			return x.waitAttached()
		}
		if e, _ := x.first(nil, landed, nil); e == wasCut {
			return x.leaveCut()
		}
	}
}

// replays reports whether there is an answer to give again.
func (x *exchange) replays(r *callback.Record) bool {
	switch {
	case r.Answer != nil && (r.Phase == callback.Closed || !x.answersAtOnce()):
		return true
	case !r.Phase.Final():
		return false
	case x.goesOn(r):
		return x.rt.Engine.Landed(r.ID) == nil
	case r.Phase == callback.Closed:
		return x.rt.Engine.Landed(r.ID) == nil
	}
	return !x.answersAtOnce()
}

// replay gives the answer again.
func (x *exchange) replay() error {
	r := x.callback.Record
	if r.Answer == nil && x.goesOn(r) {
		return x.goOn(r)
	}
	x.w.Header().Set("Idempotency-Replayed", "true")
	x.phase = r.Phase
	return x.show(r)
}

// untried reports whether the upstream is not known to have got the request.
func (x *exchange) untried(r *callback.Record) bool {
	return r.Phase == callback.Waiting && !r.Acked && r.Job == nil && r.Call == nil && r.Step.IsZero() && !x.h.background()
}

// settledFor reports whether the request is known to be accepted, so that its end is
// all there is to wait for.
func (x *exchange) settledFor(r *callback.Record) bool {
	return r.Phase == callback.Waiting && (r.Acked || r.Job != nil || r.Call != nil || !r.Step.IsZero())
}

// waitAttached waits as a held client does. Where the first request goes on after the
// callback, this one then gets what the first one was answered.
func (x *exchange) waitAttached() error {
	if !x.h.isStep() {
		return x.waitOrPark()
	}
	if x.answersAtOnce() {
		return x.park()
	}
	switch e, n := x.first(x.ended(), nil, x.patience); e {
	case noticed:
		n.Done()
		return x.attach()
	case impatient:
		return x.park()
	}
	return x.leaveCut()
}
