package caddyfile

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
)

// validate loads the configuration of a site as "caddy validate" does.
func validate(t *testing.T, site string) error {
	t.Helper()
	return validateWith(t, "base_url https://app.example.com", site)
}

// validateWith is validate with other lines in the global option callback.
func validateWith(t *testing.T, callback, site string) error {
	t.Helper()
	input := "{\n\tadmin off\n\tpersist_config off\n\tstorage file_system " + t.TempDir() + "\n\tauto_https off\n\tlog {\n\t\toutput discard\n\t}\n\tcallback {\n" + callback + "\n\t}\n}\n\n" + site
	var config caddy.Config
	raw, _, err := caddyconfig.GetAdapter("caddyfile").Adapt([]byte(input), nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(raw, &config); err != nil {
		t.Fatal(err)
	}
	return caddy.Validate(&config)
}

func TestServerBehindAPrefixThatIsTakenOffTooLateIsRefused(t *testing.T) {
	for name, site := range map[string]string{
		"strip_prefix":          "http://a {\nhandle /partners/* {\nuri strip_prefix /partners\ncallback_server\n}\ncallback_server\n}",
		"without a host":        ":80 {\nhandle /partners/* {\nuri strip_prefix /partners\ncallback_server\n}\n}",
		"without a slash":       "http://a {\nhandle /partners* {\nuri strip_prefix partners/\ncallback_server\n}\n}",
		"in capitals":           "http://a {\nhandle /Partners/* {\nuri strip_prefix /PARTNERS\ncallback_server\n}\n}",
		"of a part":             "http://a {\nhandle /partners/v1/* {\nuri strip_prefix /partners\ncallback_server\n}\n}",
		"replace":               "http://a {\nhandle /partners/* {\nuri replace /partners \"\"\ncallback_server\n}\n}",
		"path_regexp":           "http://a {\nhandle /partners/* {\nuri path_regexp ^/partners/ /\ncallback_server\n}\n}",
		"rewrite":               "http://a {\nhandle /partners/* {\n@cb path_regexp cb ^/partners(/cb.*)$\nrewrite @cb {re.cb.1}\ncallback_server\n}\n}",
		"rewrite to a path":     "http://a {\nhandle /hook {\nrewrite * /cb\ncallback_server\n}\n}",
		"matcher of several":    "http://a {\n@in path /partners/* /friends/*\nhandle @in {\nuri strip_prefix /partners\ncallback_server\n}\n}",
		"matcher by regexp":     "http://a {\n@in path_regexp ^/partners/\nhandle @in {\nuri strip_prefix /partners\ncallback_server\n}\n}",
		"its own matcher":       "http://a {\nuri /partners/* strip_prefix /partners\ncallback_server /partners/*\n}",
		"route in this order":   "http://a {\nroute /partners/* {\ncallback_server\nuri strip_prefix /partners\n}\n}",
		"nested":                "http://a {\nhandle /partners/* {\nhandle /partners/x/* {\nuri strip_prefix /partners\ncallback_server\n}\n}\n}",
		"other handlers around": "http://a {\nrewrite /old /new\nhandle /partners/* {\nheader X-A b\nencode gzip\nuri strip_prefix /partners\ncallback_server\nrespond 404\n}\n}",
	} {
		err := validate(t, site)
		if err == nil || !strings.Contains(err.Error(), "callback_server: ") || !strings.Contains(err.Error(), "handle_path /") {
			t.Errorf("%s: error is %v", name, err)
		}
	}
}

func TestServerMayStandBesideRewrites(t *testing.T) {
	for name, site := range map[string]string{
		"handle_path":                  "http://a {\nhandle_path /partners/* {\ncallback_server\n}\n}",
		"handle_path and more":         "http://a {\nhandle_path /partners/* {\nuri strip_prefix /partners\ncallback_server\n}\n}",
		"route in order":               "http://a {\nroute /partners/* {\nuri strip_prefix /partners\ncallback_server\n}\n}",
		"route in a handle":            "http://a {\nhandle /partners/* {\nroute {\nuri strip_prefix /partners\ncallback_server\n}\n}\n}",
		"two routes in a route":        "http://a {\nroute /partners/* {\nroute {\nuri strip_prefix /partners\n}\ncallback_server\nuri strip_prefix /partners\n}\n}",
		"a site of its own":            "http://a {\nuri strip_prefix /api\ncallback_server\nreverse_proxy localhost:3000\n}",
		"another route":                "http://a {\ncallback_server\nhandle /api/* {\nuri strip_prefix /api\nreverse_proxy localhost:3000\n}\n}",
		"another matcher":              "http://a {\ncallback_server /cb/*\nuri /api/* strip_prefix /api\n}",
		"a matcher of its own paths":   "http://a {\n@calls path /cb /cb/* /partners/*\nhandle @calls {\nuri strip_prefix /partners\ncallback_server\n}\n}",
		"a matcher of all":             "http://a {\nhandle /* {\nuri strip_prefix /partners\ncallback_server\n}\n}",
		"a matcher of no path":         "http://a {\n@in remote_ip 10.0.0.0/8\nhandle @in {\nuri strip_prefix /partners\ncallback_server\n}\n}",
		"two matchers, one of no path": "http://a {\n@in `path('/partners/*') || method('POST')`\nhandle @in {\nuri strip_prefix /partners\ncallback_server\n}\n}",
		"a single-page app":            "http://a {\nhandle /app/* {\nroot * /srv\ntry_files {path} /app/index.html\ncallback_server\nfile_server\n}\n}",
		"another prefix":               "http://a {\nhandle /app/* {\nuri strip_prefix /other\ncallback_server\n}\n}",
		"a change of the query":        "http://a {\nhandle /app/* {\nrewrite * ?a=b\ncallback_server\n}\n}",
		"a suffix":                     "http://a {\nhandle /app/* {\nuri strip_suffix .html\ncallback_server\n}\n}",
		"an answer of an upstream":     "http://a {\nhandle /app/* {\nreverse_proxy localhost:3000 {\nhandle_response {\ncallback_server\nuri strip_prefix /app\n}\n}\n}\n}",
		"no change at all":             "http://a {\nhandle /app/* {\ncallback_server\n}\n}",
	} {
		if err := validate(t, site); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

const passwordOfAlice = "alice $2a$04$S0GLu8IzF3Qetxj9lOCLbezVX8q8D6rzZ11bD39Fi708ym2Lf5G62"

// Whoever gives a site callbacks of its own relies on what guards it.
func TestServerWithNamesBeforeItsGuardIsRefused(t *testing.T) {
	const gate = "\nhttp://b {\ncallback park {\nname gate\n}\n}"
	basic, forward := "basic_auth {\n"+passwordOfAlice+"\n}\n", "forward_auth auth:9091 {\nuri /auth\ncopy_headers Remote-User\n}\n"
	server := "callback_server {\nnames gate\n}\n"
	for name, test := range map[string]struct{ site, want string }{
		"basic_auth":             {basic + server, "basic_auth runs only after it"},
		"forward_auth":           {server + forward, "forward_auth runs only after it"},
		"route in this order":    {"route {\n" + server + forward + "}\n", "forward_auth runs only after it"},
		"route":                  {"route {\n" + forward + server + "respond 404\n}\n", ""},
		"route with basic_auth":  {"route {\n" + basic + server + "}\n", ""},
		"no guard":               {server + "reverse_proxy localhost:3000\n", ""},
		"apart":                  {"handle /cb* {\n" + server + "}\nhandle {\n" + basic + "respond ok\n}\n", ""},
		"no names":               {"callback_server\n" + basic + "respond ok\n", ""},
		"names that nobody has":  {"callback_server {\nnames gaet\n}\n", "no directive has the name gaet; did you mean gate?"},
		"names that a key gives": {"callback_server {\nnames shop\n}\n", ""},
	} {
		t.Setenv("CB_SHOP", strings.Repeat("k", 32))
		err := validateWith(t, "base_url https://app.example.com\nkey shop {env.CB_SHOP} create for shop", "http://a {\n"+test.site+"}"+gate)
		if (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
