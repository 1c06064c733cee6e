package api

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-callback/caddy-callback/module/app"
	"github.com/caddy-callback/caddy-callback/module/app/apptest"
	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/desk"
	"github.com/caddy-callback/caddy-callback/module/engine"
)

// Without keys, version 0.1 knew all clients as one. A callback that it made is found again
// by clients of whom nothing else is known, and by no others: it could be another client's.
func TestKeyOf01IsFoundWhereTheClientIsTheSame(t *testing.T) {
	t.Parallel()
	a, e := apiApp(t), apptest.NewEngine(t)
	const body = `{"correlationId":"order"}`
	for name, c := range map[string]struct {
		keyOff        bool
		authorization string
		user          string
		made          string
		found         bool
	}{
		"nobody":          {true, "", "", "api", true},
		"a token":         {true, "Bearer a", "", "api", false},
		"a user":          {true, "", "alice", "api", false},
		"of another key":  {true, "", "", "api\x00app", false},
		"of the endpoint": {true, "", "", "admin", false},
	} {
		r := httptest.NewRequest(http.MethodPost, "http://api.test/callbacks", nil)
		r.Header.Set(callback.IdempotencyKey, name)
		if c.authorization != "" {
			r.Header.Set("Authorization", c.authorization)
		}
		repl := caddy.NewReplacer()
		r = caddyhttp.PrepareRequest(r, repl, httptest.NewRecorder(), new(caddyhttp.Server))
		if c.user != "" {
			repl.Set("http.auth.user.id", c.user)
		}
		q := &request{r: r, app: a, desk: desk.Desk{Runtime: &app.Runtime{Engine: e}}}
		if err := (&API{KeyOff: c.keyOff, app: a}).authorize(q, app.PermissionCreate); err != nil {
			t.Fatal(err)
		}
		retry, err := q.retryKeyOf([]byte(body))
		if err != nil {
			t.Fatal(err)
		}
		creation, err := parseCreation([]byte(body))
		if err != nil {
			t.Fatal(err)
		}
		policy := creation.policy(a)
		if err := policy.Compile(); err != nil {
			t.Fatal(err)
		}
		old, err := e.Create(t.Context(), engine.Spec{Policy: policy, Spec: callback.Spec{
			ExpiresIn: time.Minute, Idempotency: callback.IdempotencyAlias(c.made, name), Fingerprint: retry.Fingerprint,
		}})
		if err != nil {
			t.Fatal(err)
		}
		cb, replayed, err := q.createOnce(creation, retry)
		if err != nil || replayed != c.found || (cb.ID == old.ID) != c.found {
			t.Errorf("%s: replayed %v, error %v", name, replayed, err)
		}
	}
}
