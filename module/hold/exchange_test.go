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
		method  string
		proto   string
		upgrade []string
		status  int
	}{
		"after the end":       {http.MethodGet, "HTTP/1.1", nil, http.StatusServiceUnavailable},
		"bare upgrade":        {http.MethodGet, "HTTP/1.1", []string{""}, http.StatusServiceUnavailable},
		"h2c":                 {http.MethodPost, "HTTP/1.1", []string{"h2c"}, http.StatusServiceUnavailable},
		"TLS and IRC":         {http.MethodPost, "HTTP/1.1", []string{"TLS/1.0, IRC/6.9"}, http.StatusServiceUnavailable},
		"another WebSocket":   {http.MethodGet, "HTTP/1.1", []string{"websockets, x-websocket"}, http.StatusServiceUnavailable},
		"WebSocket, HTTP/1.0": {http.MethodGet, "HTTP/1.0", []string{"websocket"}, http.StatusServiceUnavailable},
		"WebSocket":           {http.MethodGet, "HTTP/1.1", []string{"websocket"}, http.StatusBadRequest},
		"WebSocket, shouted":  {http.MethodGet, "HTTP/1.1", []string{"WebSocket"}, http.StatusBadRequest},
		"WebSocket of 13":     {http.MethodGet, "HTTP/1.1", []string{"websocket/13"}, http.StatusBadRequest},
		"WebSocket among":     {http.MethodGet, "HTTP/1.1", []string{"h2c , WEBSOCKET"}, http.StatusBadRequest},
		"WebSocket after":     {http.MethodGet, "HTTP/1.1", []string{"h2c", "websocket"}, http.StatusBadRequest},
		"connect":             {http.MethodConnect, "HTTP/1.1", nil, http.StatusBadRequest},
		"connect of HTTP/2":   {http.MethodConnect, "HTTP/2.0", nil, http.StatusBadRequest},
		"connect of HTTP/3":   {http.MethodConnect, "HTTP/3.0", nil, http.StatusBadRequest},
	} {
		r := httptest.NewRequest(c.method, "http://app.test/", nil)
		r.Proto = c.proto
		r.ProtoMajor, r.ProtoMinor, _ = http.ParseHTTPVersion(c.proto)
		if c.upgrade != nil {
			r.Header["Connection"] = []string{"keep-alive", "close , upgrade"}
			r.Header["Upgrade"] = c.upgrade
		}
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
