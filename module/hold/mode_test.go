package hold

import (
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddy-callback/caddy-callback/module/app/apptest"
	"github.com/caddy-callback/caddy-callback/module/callback"
)

// Parts of configurations: a block call with the name that it needs, and a block then.
const (
	someCall = `"name":"orders","call":[{"handle":[{"handler":"static_response"}]}]`
	someThen = `"then":[{"handle":[{"handler":"static_response"}]}]`
)

func TestModeRefusesWhatMeansNothingInIt(t *testing.T) {
	for config, want := range map[string]string{
		`"mode":"hold",` + someCall + `,` + someThen:                                                             "then:",
		`"mode":"hold","deliver":{"to":"https://a.example/"}`:                                                    "deliver:",
		`"mode":"hold","attempt_timeout":"1m"`:                                                                   "attempt_timeout:",
		`"mode":"hold","retry_unsafe":true`:                                                                      "retry_unsafe:",
		`"mode":"park","on_timeout":"park"`:                                                                      "on_timeout:",
		`"mode":"park","on_disconnect":"close"`:                                                                  "on_disconnect:",
		`"mode":"park","name":"orders",` + someThen:                                                              "then:",
		`"mode":"park","attempt_timeout":"1m"`:                                                                   "attempt_timeout",
		`"mode":"park","retry_unsafe":true`:                                                                      "retry_unsafe",
		`"mode":"park","call":[{"handle":[{"handler":"static_response"}]}]`:                                      "name",
		`"mode":"park",` + someCall + `,` + someThen + `,"multiple":true`:                                        "multiple:",
		`"mode":"park","deliver":{"to":"https://a.example/","retry":["1m"]}`:                                     "name",
		`"mode":"defer","name":"orders"`:                                                                         "then",
		`"mode":"defer",` + someThen:                                                                             "name",
		`"mode":"defer",` + someCall + `,` + someThen:                                                            "call:",
		`"mode":"defer","name":"orders",` + someThen + `,"attempt_timeout":"-1s"`:                                "attempt_timeout",
		`"mode":"defer","name":"orders",` + someThen + `,"copy_headers":["ETag"]`:                                "add deliver",
		`"mode":"park","use_body":false,"copy_headers":["ETag"]`:                                                 "add deliver",
		`"mode":"hold","use_body":false,"copy_headers":["ETag"]`:                                                 "leave one of the two out",
		`"mode":"defer","name":"orders",` + someThen + `,"on_timeout":"park"`:                                    "on_timeout:",
		`"mode":"defer","name":"orders",` + someThen + `,"ask":"/decide"`:                                        "ask:",
		`"mode":"defer","name":"orders",` + someThen + `,"multiple":true`:                                        "multiple:",
		`"mode":"defer","name":"orders",` + someThen + `,"inject":[{"in":"header","name":"X-A","value":"a"}]`:    "inject:",
		`"mode":"defer","name":"orders",` + someThen + `,"correlation_id":{"from":"ack","in":"json","name":"a"}`: "correlation_id:",
		`"mode":"park","name":"orders","call":[{"handle":[{"handler":"callback","mode":"park"}]}]`:               "then { ... }",
		`"mode":"hold","call":[{"handle":[{"handler":"callback","mode":"defer","name":"a",` + someThen + `}]}]`:  "then { ... }",
	} {
		if _, err := newHandler(apptest.NewContext(t, apptest.BaseConfig), "{"+config+"}"); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error is %v, which does not name %q", config, err, want)
		}
	}
}

func TestOptionsOfTheModesRefuseWhatMakesNoSense(t *testing.T) {
	for fields, want := range map[string]string{
		`"ask":"decide"`:                "begins with a slash",
		`"ask":"//host/decide"`:         "begins with a slash",
		`"ask":"https://host/decide"`:   "begins with a slash",
		`"ask":"/a b"`:                  "begins with a slash",
		`"ask":"/decide?a=b"`:           "path alone",
		`"ask":"/decide#a"`:             "path alone",
		`"ask":"/a/../b"`:               "path alone",
		`"ask":"/a/.."`:                 "path alone",
		`"on_timeout":"wait"`:           "on_timeout",
		`"idempotency":"off"`:           "idempotency",
		`"correlation_id":{}`:           "correlation_id",
		`"correlation_id":{"from":"x"}`: "correlation_id",
		`"correlation_id":{"from":"ack","in":"query","name":"job"}`:                            "correlation_id",
		`"correlation_id":{"from":"request","in":"header","name":"X-Link-Callback-Url"}`:       "correlation_id",
		`"correlation_id":{"from":"request","in":"header","name":"a b"}`:                       "correlation_id",
		`"mode":"park","deliver":{"to":"ftp://a.example/"}`:                                    "deliver",
		`"mode":"park","deliver":{"to":"/relative"}`:                                           "deliver",
		`"mode":"park","deliver":{"from":{"in":"cookie","name":"a"}}`:                          "deliver",
		`"mode":"park","name":"orders","deliver":{"to":"https://a.example/","allow":["a b"]}`:  "deliver",
		`"mode":"park","name":"orders","deliver":{"to":"https://a.example/","sign":["short"]}`: "deliver",
		`"mode":"park","name":"orders","deliver":{"to":"https://a.example/","timeout":-1}`:     "deliver",
		`"mode":"park","name":"orders","deliver":{"to":"https://a.example/","retry":["-1s"]}`:  "deliver",
	} {
		config := "{" + fields + "}"
		if !strings.HasPrefix(fields, `"mode"`) {
			config = `{"mode":"hold",` + fields + "}"
		}
		if _, err := newHandler(apptest.NewContext(t, apptest.BaseConfig), config); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error is %v, which does not name %q", config, err, want)
		}
	}
}

func TestAnAttemptAtThenMayTakeLongerThanOneAtCall(t *testing.T) {
	for _, c := range []struct {
		given     time.Duration
		call, run time.Duration
	}{
		{0, 30 * time.Second, 10 * time.Minute},
		{time.Hour, time.Hour, time.Hour},
	} {
		h := &Handler{AttemptTimeout: caddy.Duration(c.given)}
		if call, run := h.attemptTimeout(callback.CallBlock), h.attemptTimeout(callback.ThenBlock); call != c.call || run != c.run {
			t.Errorf("with %v given: %v for call, %v for then", c.given, call, run)
		}
	}
}
