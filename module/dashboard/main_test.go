package dashboard

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/goleak"

	"github.com/caddy-callback/caddy-callback/module/app/apptest"
	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/engine"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// The keys of newDashboard, by what they may do.
const (
	operatorKey = "the key that may do all of it"
	watcherKey  = "the key that may only look on"
	creatorKey  = "the key that may make new ones"
	ordersKey   = "the key that is for the orders"
)

// newDashboard returns a dashboard that serves, with the options that set gives it.
func newDashboard(t *testing.T, set func(*Dashboard)) *Dashboard {
	t.Helper()
	config := map[string]any{
		"base_url": "https://app.example.com",
		"store":    map[string]string{"store": "badger", "dir": t.TempDir()},
	}
	var keys []map[string]any
	for name, key := range map[string]string{"operator": operatorKey, "watcher": watcherKey, "creator": creatorKey, "orders": ordersKey} {
		t.Setenv("KEY_"+name, key)
		permissions := map[string][]string{"operator": {"read", "manage"}, "watcher": {"read"}, "creator": {"create"}, "orders": {"read", "manage"}}[name]
		one := map[string]any{"name": name, "secret": "{env.KEY_" + name + "}", "permissions": permissions}
		if name == "orders" {
			one["for"] = []string{"orders"}
		}
		keys = append(keys, one)
	}
	config["keys"] = keys
	b, err := json.Marshal(config)
	if err != nil {
		t.Fatal(err)
	}
	d := new(Dashboard)
	if set != nil {
		set(d)
	}
	if err := d.Provision(apptest.NewContext(t, string(b))); err != nil {
		t.Fatal(err)
	}
	if err := d.app.Start(); err != nil {
		t.Fatal(err)
	}
	return d
}

// open serves without keys.
func open(d *Dashboard) { d.KeyOff = true }

// create makes a callback.
func (d *Dashboard) create(t *testing.T, spec callback.Spec) *engine.Callback {
	t.Helper()
	return d.createBy(t, &callback.Policy{BaseURL: "https://app.example.com"}, spec)
}

// createBy makes a callback with a policy.
func (d *Dashboard) createBy(t *testing.T, policy *callback.Policy, spec callback.Spec) *engine.Callback {
	t.Helper()
	rt, err := d.app.Use(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer rt.Release()
	if err := policy.Compile(); err != nil {
		t.Fatal(err)
	}
	if spec.ExpiresIn == 0 {
		spec.ExpiresIn = time.Hour
	}
	cb, err := rt.Engine.Create(t.Context(), engine.Spec{Policy: policy, Spec: spec})
	if err != nil {
		t.Fatal(err)
	}
	<-cb.Commit.Done()
	return cb
}

// call lets a call be the answer to a callback.
func (d *Dashboard) call(t *testing.T, cb *engine.Callback, header http.Header, body string) {
	t.Helper()
	rt, err := d.app.Use(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer rt.Release()
	call, err := callback.NewCall(http.MethodPost, "", "", header, callback.At(rt.Engine.Now()))
	if err != nil {
		t.Fatal(err)
	}
	call.Body = callback.NewBody([]byte(body))
	if v, err := rt.Engine.Resolve(t.Context(), cb.ID, call, nil); err != nil || v.Kind != callback.Accepted {
		t.Fatalf("%+v %v", v, err)
	}
}

// serve serves a request as Caddy does.
func (d *Dashboard) serve(t *testing.T, r *http.Request) *httptest.ResponseRecorder {
	t.Helper()
	w := httptest.NewRecorder()
	r = caddyhttp.PrepareRequest(r, caddy.NewReplacer(), w, new(caddyhttp.Server))
	if err := d.ServeHTTP(w, r, nil); err != nil {
		t.Fatal(err)
	}
	return w
}

// get fetches a page as a browser does.
func (d *Dashboard) get(t *testing.T, path string) *httptest.ResponseRecorder {
	t.Helper()
	return d.serve(t, browserRequest(path))
}

func browserRequest(path string) *http.Request {
	r := httptest.NewRequest(http.MethodGet, "http://ops.test"+path, nil)
	r.Header.Set("Accept", "text/html")
	return r
}

// post sends a form as a browser does.
func (d *Dashboard) post(t *testing.T, path string, fields url.Values) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequest(http.MethodPost, "http://ops.test"+path, strings.NewReader(fields.Encode()))
	r.Header.Set("Accept", "text/html")
	r.Header.Set("Content-Type", formType)
	r.Header.Set("Origin", "http://ops.test")
	return d.serve(t, r)
}

// wantIn checks that an answer has the status, and a text in it.
func wantIn(t *testing.T, w *httptest.ResponseRecorder, status int, texts ...string) {
	t.Helper()
	if w.Code != status {
		t.Fatalf("status %d, want %d: %s", w.Code, status, w.Body)
	}
	for _, text := range texts {
		if !strings.Contains(w.Body.String(), text) {
			t.Errorf("the page lacks %s:\n%s", text, w.Body)
		}
	}
}
