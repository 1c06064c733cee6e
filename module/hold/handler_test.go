package hold

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-callback/caddy-callback/module/app/apptest"
	"github.com/caddy-callback/caddy-callback/module/callback"
	_ "github.com/caddy-callback/caddy-callback/module/store/badger"
)

// newHandler provisions a handler with the given configuration.
func newHandler(ctx caddy.Context, config string) (*Handler, error) {
	h, err := ctx.LoadModuleByID("http.handlers.callback", json.RawMessage(config))
	if err != nil {
		return nil, err
	}
	return h.(*Handler), nil
}

func TestPlaceholdersOfTheEnvironmentAreReplaced(t *testing.T) {
	t.Setenv("CALLBACK_TEST", "hooks.example.com")
	ctx := apptest.NewContext(t, `{"base_url":"https://{env.CALLBACK_TEST}/in/"}`)
	h, err := newHandler(ctx, `{"mode":"hold","status_url":"http://{env.CALLBACK_TEST}","respond":{"body":"{env.CALLBACK_TEST} {http.callback.id}"},
		"redirect":{"url":"/thanks?at={env.CALLBACK_TEST}"},"reply_headers":{"x-at":["{env.CALLBACK_TEST}"]}}`)
	if err != nil {
		t.Fatal(err)
	}
	p := h.policy
	for got, want := range map[string]string{
		p.BaseURL:                       "https://hooks.example.com/in",
		p.StatusURL:                     "http://hooks.example.com",
		p.Respond.Body:                  "hooks.example.com {http.callback.id}",
		p.Redirect.URL:                  "/thanks?at=hooks.example.com",
		p.ReplyHeader.Get("X-At") + "!": "hooks.example.com!",
	} {
		if got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

func TestHandlerHasDefaults(t *testing.T) {
	for config, want := range map[string]struct{ timeout, expiresIn time.Duration }{
		`{"mode":"hold"}`:                    {time.Minute, time.Hour},
		`{"mode":"hold","timeout":"1ms"}`:    {time.Millisecond, time.Hour},
		`{"mode":"hold","timeout":"10m"}`:    {10 * time.Minute, 100 * time.Minute},
		`{"mode":"hold","timeout":"365d"}`:   {maxTimeout, 10 * maxTimeout},
		`{"mode":"hold","expires_in":"60s"}`: {time.Minute, time.Minute},
	} {
		h, err := newHandler(apptest.NewContext(t, `{"base_url":"https://app.example.com/","header_prefix":"Acme-"}`), config)
		if err != nil {
			t.Errorf("%s: %v", config, err)
			continue
		}
		if time.Duration(h.Timeout) != want.timeout || time.Duration(h.ExpiresIn) != want.expiresIn {
			t.Errorf("%s: timeout is %s, expires_in %s", config, time.Duration(h.Timeout), time.Duration(h.ExpiresIn))
		}
		if h.BaseURL != "https://app.example.com" || h.StatusURL != h.BaseURL || h.HeaderPrefix != "Acme-" || h.OnDisconnect != "keep" || h.Errors != "problem" {
			t.Errorf("%s: the defaults are %+v", config, h)
		}
	}
}

func TestHandlerRefusesWhatMakesNoSense(t *testing.T) {
	t.Setenv("CALLBACK_TEST_EMPTY", "")
	for fields, want := range map[string]string{
		`"mode":""`:                              "mode",
		`"mode":"keep"`:                          "mode",
		`"mode":"Hold"`:                          "mode",
		`"timeout":-1`:                           "timeout",
		`"timeout":1`:                            "timeout",
		`"timeout":"366d"`:                       "timeout",
		`"timeout":"soon"`:                       "duration",
		`"expires_in":"-1h"`:                     "expires_in",
		`"expires_in":"59s"`:                     "expires_in",
		`"name":"a b"`:                           "name",
		`"name":"{env.HOME}"`:                    "name",
		`"base_url":"ftp://a.example"`:           "base_url",
		`"base_url":"{env.CALLBACK_TEST_EMPTY}"`: "base_url",
		`"base_url":"https://{unknown}"`:         "base_url",
		`"status_url":"a.example"`:               "status_url",
		`"header_prefix":"-X_"`:                  "header_prefix",
		`"state_query":"a b"`:                    "state_query",
		`"state_query":"."`:                      "state_query",
		`"state_query":"s","inject":[{"in":"header","name":"X-A","value":"{http.callback.failed_url}"}]`: "state_query",
		`"state_query":"s","reply_headers":{"X-A":["{http.callback.failed_url}"]}`:                       "state_query",
		`"state_query":"s","respond":{"body":"{http.callback.failed_url}"}`:                              "state_query",
		`"state_query":"s","redirect":{"url":"/?{http.callback.failed_url}"}`:                            "state_query",
		`"state_query":"api_key"`: "state_query",
		`"inject":[{}]`:           "inject",
		`"inject":[{"in":"Header","name":"X-A","value":"a"}]`:                                    "inject",
		`"inject":[{"in":"header","name":"X-A"}]`:                                                "inject",
		`"inject":[{"in":"header","name":"Host","value":"a"}]`:                                   "inject",
		`"inject":[{"in":"header","name":"X-A","value":"a\n"}]`:                                  "inject",
		`"inject":[{"in":"header","name":"X-A","value":"{a}\r"}]`:                                "inject",
		`"inject":[{"in":"header","name":"X-A","value":"{http.callback.uri}"}]`:                  "inject",
		`"inject":[{"in":"query","name":"a","value":"1"},{"in":"query","name":"a","value":"2"}]`: "inject",
		`"inject":[{"in":"json","name":"a","value":"1"},{"in":"form","name":"a","value":"2"}]`:   "inject",
		`"inject":[{"in":"json","name":"a","value":"json:{\"b\":{http.callback.id}"}]`:           "inject",
		`"inject":[{"in":"header","name":"x-link-correlation-id","value":"a"}]`:                  "inject",
		`"inject_off":"yes"`:        "inject_off",
		`"ack":["1xx"]`:             "ack",
		`"ack":[202]`:               "ack",
		`"methods":[]`:              "methods",
		`"methods":["post"]`:        "methods",
		`"methods":["OPTIONS"]`:     "methods",
		`"methods":["POST","POST"]`: "methods",
		`"methods":["GET"],"respond":{},"redirect":{"url":"/a"}`:      "methods",
		`"respond":{"status":199}`:                                    "respond",
		`"respond":{"status":600}`:                                    "respond",
		`"respond":{"status":-1}`:                                     "respond",
		`"respond":{"status":304,"body":"a"}`:                         "respond",
		`"respond":{"body":"{http.request.uri}"}`:                     "respond",
		`"respond":{"body":"{http.callback.call}"}`:                   "respond",
		`"respond":{"body":"{http.callback.call.body.}"}`:             "respond",
		`"redirect":{}`:                                               "redir",
		`"redirect":{"url":"//a.example"}`:                            "redir",
		`"redirect":{"url":"javascript:a"}`:                           "redir",
		`"redirect":{"url":"/cb"}`:                                    "redir",
		`"redirect":{"url":"/a","status":200}`:                        "redir",
		`"redirect":{"url":"/a","status":-1}`:                         "redir",
		`"redirect":{"url":"/{http.vars.a}"}`:                         "redir",
		`"reply_headers":{"":["a"]}`:                                  "header",
		`"reply_headers":{"X A":["a"]}`:                               "header",
		`"reply_headers":{"-X-A":["a"]}`:                              "header",
		`"reply_headers":{"X-A":["a\r\nb"]}`:                          "header",
		`"reply_headers":{"X-A":[""]}`:                                "header",
		`"reply_headers":{"transfer-encoding":["chunked"]}`:           "header",
		`"reply_headers":{"location":["/a"]},"redirect":{"url":"/b"}`: "header",
		`"on_disconnect":"drop"`:                                      "on_disconnect",
		`"copy_headers":["X A"]`:                                      "copy_headers",
		`"copy_headers":["Cookie"]`:                                   "copy_headers",
		`"copy_headers":["ETag"],"use_body":false`:                    "copy_headers",
		`"use_body":"off"`:                                            "use_body",
		`"errors":"html"`:                                             "errors",
		`"error":"caddy"`:                                             "error",
	} {
		config := "{" + fields + "}"
		if !strings.HasPrefix(fields, `"mode"`) {
			config = `{"mode":"hold",` + fields + "}"
		}
		if _, err := newHandler(apptest.NewContext(t, apptest.BaseConfig), config); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error is %v", config, err)
		}
	}
}

func TestHandlerNeedsABaseURLFromSomewhere(t *testing.T) {
	if _, err := newHandler(apptest.NewContext(t, ""), `{"mode":"hold"}`); err == nil || !strings.Contains(err.Error(), "base_url") {
		t.Errorf("error is %v", err)
	}
	if _, err := newHandler(apptest.NewContext(t, ""), `{"mode":"hold","base_url":"https://a.example"}`); err != nil {
		t.Error(err)
	}
}

func TestRedirectsThatLeadBackAreRefused(t *testing.T) {
	for target, back := range map[string]bool{
		"/in/cb/x": true, "/in/cbq/a?b": true, "/in/cbr/x/result#a": true, "https://a.example/in/cb/{http.callback.id}": true, "/in/cb": true,
		"/cb/x": false, "/in/cbx": false, "/in/thanks": false, "https://a.example/cb/x": false, "https://b.example/in/cb/x": false, "/in": false,
		"/thanks?to=/in/cb/x": false, "https://a.example": false,
	} {
		_, err := newHandler(apptest.NewContext(t, `{"base_url":"https://a.example/in/"}`), `{"mode":"hold","redirect":{"url":"`+target+`"}}`)
		if (err != nil) != back {
			t.Errorf("%s: error is %v", target, err)
		}
	}
}

func TestEveryPlaceholderThatIsAllowedIsKnown(t *testing.T) {
	policy := &callback.Policy{BaseURL: "https://app.example.com", OwnKey: true}
	if err := policy.Compile(); err != nil {
		t.Fatal(err)
	}
	cb := newCallback(t, apptest.NewEngine(t), &Handler{policy: policy})
	for _, name := range callback.PlaceholderNames() {
		if value, ok := cb.Placeholder(name); !ok || value == "" {
			t.Errorf("{http.callback.%s} is %q", name, value)
		}
	}
	for _, name := range []string{"call.method", "call.body", "call.body.a.0", "call.header.X-A", "call.query.a", "call.form.a", "id"} {
		if err := checkReplyText("{" + callback.PlaceholderPrefix + name + "}"); err != nil {
			t.Error(err)
		}
	}
}

func TestInjectionsCanHoldTheCallsOfEarlierSteps(t *testing.T) {
	for name, allowed := range map[string]bool{
		"check.call.body": true, "check.call.body.a.0": true, "check.call.header.X-A": true, "check.call.query.a": true,
		"check.call.form.a": true, "check.call.method": true, "check-2.call.body": true,
		"call.body": false, "call.call.body": false, "check.call.": false, "check.call.body.": false, "check.call.bod": false,
		"check.url": false, "check.call": false, ".call.body": false, "check.check.call.body": false,
	} {
		_, err := newHandler(apptest.NewContext(t, apptest.BaseConfig), `{"mode":"hold","inject":[{"in":"header","name":"X-A","value":"{http.callback.`+name+`}"}]}`)
		if (err == nil) != allowed || err != nil && !strings.Contains(err.Error(), "no placeholder") {
			t.Errorf("{http.callback.%s}: error is %v", name, err)
		}
	}
}

func TestServerThatWouldCutRequestsOffIsRefused(t *testing.T) {
	for limit, refused := range map[time.Duration]bool{0: false, time.Second: true, time.Minute: false, time.Hour: false} {
		ctx := apptest.NewContext(t, apptest.BaseConfig)
		ctx = ctx.WithValue(caddyhttp.ServerCtxKey, &caddyhttp.Server{WriteTimeout: caddy.Duration(limit)})
		_, err := newHandler(ctx, `{"mode":"hold","timeout":"1m"}`)
		if (err != nil) != refused || refused && !strings.Contains(err.Error(), "write timeout") {
			t.Errorf("with %s: error is %v", limit, err)
		}
	}
}

func TestPolicyHasWhatIsConfigured(t *testing.T) {
	h, err := newHandler(apptest.NewContext(t, `{"base_url":"https://a.example","retain":"2h"}`), `{"mode":"hold","state_query":"state","methods":["PUT"],
		"respond":{"status":201,"body":"a"},"redirect":{"url":"/b","status":307},"reply_headers":{"x-b":["2","3"],"X-A":["1"]},"copy_headers":["etag"],"use_body":true}`)
	if err != nil {
		t.Fatal(err)
	}
	got, err := h.policy.Encode()
	if err != nil {
		t.Fatal(err)
	}
	want, err := wantedPolicy().Encode()
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != string(want) {
		t.Errorf("policy is %+v", h.policy)
	}
}

func wantedPolicy() *callback.Policy {
	return &callback.Policy{
		BaseURL: "https://a.example", StatusURL: "https://a.example", HeaderPrefix: "X-Link-", StateQuery: "state", Methods: []string{"PUT"},
		Respond: &callback.Respond{Status: 201, Body: "a"}, Redirect: &callback.Redirect{URL: "/b", Status: 307},
		ReplyHeader: callback.Header{{Name: "X-A", Value: "1"}, {Name: "X-B", Value: "2"}, {Name: "X-B", Value: "3"}},
		CopyHeaders: []string{"Etag"}, FailedStatus: callback.DefaultFailedStatus, Retain: 2 * time.Hour,
	}
}
