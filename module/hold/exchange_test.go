package hold

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-callback/caddy-callback/module/app"
	"github.com/caddy-callback/caddy-callback/module/app/apptest"
)

func serve(h *Handler, r *http.Request) (*httptest.ResponseRecorder, error) {
	w := httptest.NewRecorder()
	r = caddyhttp.PrepareRequest(r, caddy.NewReplacer(), w, new(caddyhttp.Server))
	return w, h.ServeHTTP(w, r, caddyhttp.HandlerFunc(func(http.ResponseWriter, *http.Request) error { return nil }))
}

func TestRequestThatCannotBeHeldIsRefused(t *testing.T) {
	ended, err := app.Of(apptest.NewContext(t, apptest.BaseConfig))
	if err != nil {
		t.Fatal(err)
	}
	if err := ended.Cleanup(); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		method     string
		connection []string
		status     int
	}{
		"after the end": {http.MethodGet, nil, http.StatusServiceUnavailable},
		"kept alive":    {http.MethodGet, []string{"keep-alive"}, http.StatusServiceUnavailable},
		"upgrade":       {http.MethodGet, []string{"Upgrade"}, http.StatusBadRequest},
		"upgrade among": {http.MethodGet, []string{"keep-alive", "close , upgrade"}, http.StatusBadRequest},
		"connect":       {http.MethodConnect, nil, http.StatusBadRequest},
	} {
		r := httptest.NewRequest(c.method, "http://app.test/", nil)
		r.Header["Connection"] = c.connection
		w, err := serve(&Handler{app: ended}, r)
		if err != nil || w.Code != c.status || w.Header().Get("Content-Type") != "application/problem+json" {
			t.Errorf("%s: %d with %v, error %v", name, w.Code, w.Header(), err)
		}
		w, err = serve(&Handler{app: ended, Errors: "caddy"}, r)
		var handed caddyhttp.HandlerError
		if !errors.As(err, &handed) || handed.StatusCode != c.status || w.Body.Len() != 0 {
			t.Errorf("%s, handed on: error %v, body %q", name, err, w.Body)
		}
	}
}
