package caddyfile

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
)

func TestCallsThatNobodyTakesAreRefused(t *testing.T) {
	const server = "http://partners:81 {\ncallback_server\nrespond 404\n}\n"
	for name, c := range map[string]struct {
		site, refused string
	}{
		"hold":                       {"http://a {\ncallback hold\nrespond 202\n}\n", "callback hold"},
		"park":                       {"http://a {\ncallback park\nrespond 202\n}\n", "callback park"},
		"park in the background":     {"http://a {\ncallback park {\nname a\ncall {\nrespond 202\n}\n}\n}\n", "callback park"},
		"a step":                     {"http://a {\ncallback defer {\nname a\nthen {\ncallback hold {\nname b\n}\nrespond 202\n}\n}\n}\n", "callback hold"},
		"beside the API":             {"http://a {\ncallback_api {\nkey off\n}\n}\nhttp://b {\ncallback hold\nrespond 202\n}\n", "callback hold"},
		"defer":                      {"http://a {\ncallback defer {\nname a\nthen {\nrespond 200\n}\n}\n}\n", ""},
		"the API alone":              {"http://a {\ncallback_api {\nkey off\n}\n}\n", ""},
		"hold, and another site":     {"http://a {\ncallback hold\nrespond 202\n}\n" + server, ""},
		"park, and the same site":    {"http://a {\ncallback_server\ncallback park\nrespond 202\n}\n", ""},
		"park, and a route by name":  {"&(calls) {\ncallback_server\nrespond 404\n}\nhttp://a {\ncallback park\nrespond 202\n}\nhttp://b:81 {\ninvoke calls\n}\n", ""},
		"hold, and an error handler": {"http://a {\ncallback hold\nrespond 202\nhandle_errors {\ncallback_server\nrespond 404\n}\n}\n", ""},
	} {
		err := validate(t, c.site)
		if c.refused == "" {
			if err != nil {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		if err == nil || !strings.Contains(err.Error(), c.refused+" awaits calls, and no site has a callback_server") {
			t.Errorf("%s: error is %v", name, err)
		}
	}
}

func TestCallsThatNobodyTakesAreRefusedInJSON(t *testing.T) {
	config := func(more string) error {
		return validateJSON(t, `{"apps":{"callback":{"base_url":"https://a.example.com"},"http":{"servers":{"s":{"listen":[":80"],"routes":[`+
			`{"handle":[{"handler":"callback","mode":"hold"},{"handler":"static_response"}]}`+more+`]}}}}}`)
	}
	if err := config(""); err == nil || !strings.Contains(err.Error(), "no site has a callback_server") {
		t.Errorf("error is %v", err)
	}
	if err := config(`,{"handle":[{"handler":"callback_server"}]}`); err != nil {
		t.Error(err)
	}
}

// validateJSON loads a configuration as "caddy validate" does.
func validateJSON(t *testing.T, text string) error {
	t.Helper()
	var config caddy.Config
	if err := json.Unmarshal([]byte(text), &config); err != nil {
		t.Fatal(err)
	}
	off := false
	config.Admin = &caddy.AdminConfig{Disabled: true, Config: &caddy.ConfigSettings{Persist: &off}}
	config.StorageRaw = caddyconfig.JSON(map[string]string{"module": "file_system", "root": t.TempDir()}, nil)
	return caddy.Validate(&config)
}
