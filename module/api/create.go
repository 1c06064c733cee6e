package api

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/caddy-callback/caddy-callback/module/answer"
	"github.com/caddy-callback/caddy-callback/module/app"
	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/config"
	"github.com/caddy-callback/caddy-callback/module/engine"
	"github.com/caddy-callback/caddy-callback/module/inject"
	"github.com/caddy-callback/caddy-callback/module/memory"
	"github.com/caddy-callback/caddy-callback/module/problem"
	"github.com/caddy-callback/caddy-callback/module/store"
)

// maxCreation bounds a request to make a callback, in bytes.
const maxCreation = 1 << 20

// create makes a callback.
func (a *request) create() error {
	buffer, err := a.readJSON()
	if err != nil {
		return err
	}
	defer buffer.Release()
	body := buffer.Bytes()
	retry, err := a.retryKeyOf(body)
	if err != nil {
		return err
	}
	c, err := parseCreation(body)
	if err == nil {
		err = c.check(a.app)
	}
	if err != nil {
		return err
	}
	cb, replayed, err := a.createOnce(c, retry)
	if err == nil {
		err = store.Wait(a.r.Context(), cb.Commit)
	}
	if err != nil {
		return err
	}
	if cb.SecretGone() {
		return callback.ErrSecretGone
	}
	if replayed {
		a.w.Header().Set("Idempotency-Replayed", "true")
	}
	location := cb.ID.String()
	if !strings.HasSuffix(a.r.URL.Path, "/") {
		location = strings.TrimPrefix(Path, "/") + "/" + location
	}
	a.w.Header().Set("Location", location)
	answer.WriteJSON(a.w, http.StatusCreated, newCreated(cb))
	return nil
}

// readJSON reads a body that must be JSON. The buffer must be released.
func (a *request) readJSON() (*memory.Buffer, error) {
	if !inject.IsJSON(a.r.Header.Get("Content-Type")) {
		answer.LeaveUnread(a.w, a.r)
		return nil, problem.JSONRequired
	}
	buffer, err := a.readBody(memory.OwnerOf(a.scope), min(maxCreation, a.app.MaxBodySize))
	if errors.Is(err, engine.ErrTooLarge) {
		err = problem.TooLarge.With("A request to make a callback can have 1 MiB, or less where the server takes less.")
	}
	return buffer, err
}

// readBody reads a body of at most that many bytes. The buffer must be released.
func (a *request) readBody(o memory.Owner, limit int64) (*memory.Buffer, error) {
	return answer.ReadBody(a.w, a.r, a.engine().Memory(o), answer.ReadWithin, limit)
}

// retryKeyOf returns what identifies the request when it is repeated; nil if it has no
// Idempotency-Key.
func (a *request) retryKeyOf(body []byte) (*callback.Retry, error) {
	key, err := answer.IdempotencyKey(a.r)
	if key == "" || err != nil {
		return nil, err
	}
	retry := &callback.Retry{Alias: callback.IdempotencyAlias(a.scope, key), Fingerprint: sha256.Sum256(canonical(body))}
	if a.oldScope != "" {
		retry.Old = callback.IdempotencyAlias(a.oldScope, key)
	}
	return retry, nil
}

// canonical returns one and the same text for all JSON texts with the same meaning; a text
// that is not JSON is returned unchanged.
func canonical(body []byte) []byte {
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	var value any
	if d.Decode(&value) != nil {
		return body
	}
	out, err := json.Marshal(value)
	if err != nil {
		return body
	}
	return out
}

// createOnce makes the callback, unless the same request has made it before.
func (a *request) createOnce(c *creation, retry *callback.Retry) (cb *engine.Callback, replayed bool, err error) {
	ctx := a.r.Context()
	spec := c.spec(a.app)
	spec.Name, spec.By = a.name, a.desk.By
	if err := spec.Policy.Compile(); err != nil {
		return nil, false, err
	}
	spec.Trace = callback.Trace(a.r.Header)
	if retry == nil {
		cb, err = a.engine().Create(ctx, spec)
		return cb, false, err
	}
	spec.Idempotency, spec.Fingerprint = retry.Alias, retry.Fingerprint
	cb, err = a.engine().Find(ctx, store.ByAlias(retry.Alias))
	if errors.Is(err, store.ErrNotFound) && !retry.Old.IsZero() {
		cb, err = a.engine().Find(ctx, store.ByAlias(retry.Old))
	}
	if errors.Is(err, store.ErrNotFound) {
		if cb, err = a.engine().Create(ctx, spec); !errors.Is(err, store.ErrExists) {
			return cb, false, err
		}
		// Another request with the same key was faster.
		cb, err = a.engine().Find(ctx, store.ByAlias(retry.Alias))
	}
	if err == nil && cb.Fingerprint != retry.Fingerprint {
		return nil, false, problem.KeyReused
	}
	if err == nil && !a.desk.Sees(cb.Name) {
		// The client's key was for other callbacks when it made this one.
		return nil, false, problem.KeyReused
	}
	return cb, true, err
}

// created is the answer to a request that has made a callback.
type created struct {
	ID          callback.UUID `json:"id"`
	State       callback.UUID `json:"state"`
	CallbackURL string        `json:"callbackUrl"`
	RedirectURI string        `json:"redirectUri"`
	APIKey      string        `json:"apiKey,omitempty"`
	StatusURL   string        `json:"statusUrl"`
	ResultURL   string        `json:"resultUrl"`
	ExpiresAt   callback.Time `json:"expiresAt"`
}

func newCreated(cb *engine.Callback) created {
	return created{
		ID: cb.ID, State: cb.State(), CallbackURL: cb.URL(), RedirectURI: cb.RedirectURI(), APIKey: cb.Key(),
		StatusURL: cb.StatusURL(), ResultURL: cb.ResultURL(), ExpiresAt: cb.ExpiresAt,
	}
}

// base returns the base URL of the callback's URL.
func (c *creation) base(a *app.App) string {
	return cmp.Or(strings.TrimSuffix(config.Base(c.alternativeDomain), "/"), baseOf(a))
}

// baseOf returns the base URL of callbacks that have no other; empty if there is none.
func baseOf(a *app.App) string { return strings.TrimSuffix(a.BaseURL, "/") }

// spec returns the callback to make. Fields with any number of values are put into Own
// instead of the policy, so that all callbacks share few policies.
func (c *creation) spec(a *app.App) engine.Spec {
	own := &callback.Own{Ask: c.activity, Case: c.activityCase, Data: c.data, Reply: c.reply(), StateQuery: c.stateQuery}
	if base := c.base(a); base != baseOf(a) {
		own.BaseURL = base
	}
	if own.IsZero() {
		own = nil
	}
	return engine.Spec{Policy: c.policy(a), Spec: callback.Spec{
		CorrelationID: c.correlationID, ExpiresIn: c.expiresIn, Own: own, DeliverTo: c.deliverTo, Sender: a.Sender(),
	}}
}

// policy returns the policy that calls to the callback are judged by. There are only so many
// as the configuration and the fields with few values give.
func (c *creation) policy(a *app.App) *callback.Policy {
	policy := &callback.Policy{
		BaseURL:              baseOf(a),
		StatusURL:            strings.TrimSuffix(cmp.Or(a.StatusURL, a.BaseURL), "/"),
		HeaderPrefix:         a.HeaderPrefix,
		Methods:              c.methods,
		RequireStatus:        c.requireStatus,
		Result:               c.result,
		RequireCorrelationID: c.requireCorrelated,
		// A callback that takes many calls stays open until it is closed.
		Once:     !c.retryable && !c.multiple,
		Multiple: c.multiple,
		OwnKey:   c.includeKey,
		Retain:   time.Duration(a.Retain),

		RetainBodies: time.Duration(a.RetainBodies),
	}
	if policy.Methods == nil {
		policy.Methods = callback.CallMethods
	}
	return policy
}

// reply returns the reply to calls; nil for the default.
func (c *creation) reply() *callback.Fields {
	if c.responseType == callback.TypeResponse && c.body == "" && c.code == 0 && c.header == nil && c.redirectURL == "" {
		return nil
	}
	return c.fields()
}

// fields returns the reply as the request gives it.
func (c *creation) fields() *callback.Fields {
	return &callback.Fields{Type: c.responseType, Body: c.body, Code: c.code, Header: c.header, RedirectURL: c.redirectURL}
}
