package caddyfile

import (
	"strings"
	"testing"
)

// partners is a site that takes calls.
const partners = "\nhttp://partners:81 {\ncallback_server\nrespond 404\n}\n"

func TestPlaceholdersThatNoCallbackProvidesAreRefused(t *testing.T) {
	const route = "put both into a route { ... }, the callback first"
	for name, c := range map[string]struct{ site, want string }{
		"redir":                     {"callback hold\nredir https://x.example.com/?u={http.callback.url}", "respond or redir in \"https://x.example.com/?u={http.callback.url}\": {http.callback.url} has no value there: no callback that has one runs before; " + route},
		"rewrite":                   {"callback hold\nrewrite * /x?u={http.callback.url}\nreverse_proxy localhost:1", "rewrite, uri or method in"},
		"uri":                       {"callback hold\nuri replace X {http.callback.id}\nreverse_proxy localhost:1", route},
		"uri query":                 {"callback hold\nuri query +u {http.callback.url}\nreverse_proxy localhost:1", route},
		"method":                    {"callback hold\nmethod {http.callback.id}\nreverse_proxy localhost:1", route},
		"request_header":            {"callback hold\nrequest_header X-Url {http.callback.url}\nreverse_proxy localhost:1", "header or request_header in"},
		"a header's name":           {"callback hold\nrequest_header {http.callback.id} x\nreverse_proxy localhost:1", route},
		"header":                    {"callback hold\nheader X-Id {http.callback.id}\nreverse_proxy localhost:1", route},
		"vars":                      {"callback hold\nvars u {http.callback.url}\nreverse_proxy localhost:1", "vars or root in"},
		"a matcher":                 {"@m vars {http.callback.id} 1\ncallback @m hold\nreverse_proxy localhost:1", "a matcher in"},
		"a matcher within not":      {"@m not vars {http.callback.id} 1\ncallback @m hold\nreverse_proxy localhost:1", "a matcher in"},
		"an expression":             {"@m `{http.callback.id} == \"1\"`\ncallback @m hold\nreverse_proxy localhost:1", "a matcher in"},
		"forward_auth":              {"callback hold\nforward_auth localhost:1 {\nuri /\nheader_up X {http.callback.id}\n}\nreverse_proxy localhost:1", "reverse_proxy in"},
		"another handle":            {"handle /a {\ncallback hold\nreverse_proxy localhost:1\n}\nhandle {\nreverse_proxy localhost:1 {\nheader_up X {http.callback.id}\n}\n}", route},
		"another site":              {"callback hold\nreverse_proxy localhost:1\n}\nhttp://b {\nrespond {http.callback.id}", route},
		"route in the wrong order":  {"route {\nrequest_header X {http.callback.url}\ncallback hold\nreverse_proxy localhost:1\n}", route},
		"a snippet's site":          {"request_header X {http.callback.url}\nreverse_proxy localhost:1", route},
		"no call yet":               {"callback hold\nreverse_proxy localhost:1 {\nheader_up X {http.callback.call.body}\n}", "{http.callback.call.body} has no value there: a call has come only after a callback with a block call"},
		"no key":                    {"callback hold\nreverse_proxy localhost:1 {\nheader_up X {http.callback.api_key}\n}", "key include"},
		"no failed URL":             {"callback hold {\nstate_query s\n}\nreverse_proxy localhost:1 {\nheader_up X {http.callback.failed_url}\n}", "{http.callback.failed_url} has no value there"},
		"defer has no callback URL": {"callback defer {\nname a\nthen {\nreverse_proxy localhost:1 {\nheader_up X {http.callback.url}\n}\n}\n}", "{http.callback.url} has no value there"},
		"a misspelt name":           {"callback hold\nreverse_proxy localhost:1 {\nheader_up X {http.callback.urll}\n}", "reverse_proxy in \"{http.callback.urll}\": there is no placeholder {http.callback.urll}; did you mean {http.callback.url}?"},
		"a misspelt part":           {"callback hold {\ncall {\nrespond 202\n}\n}\nrespond {http.callback.call.headers.X-A}", "did you mean {http.callback.call.header.X-A}?"},
		"an unknown name":           {"callback hold\nreverse_proxy localhost:1 {\nheader_up X {http.callback.something}\n}", "after http.callback. can stand id, correlation_id, url,"},
		"a misspelt error":          {"callback hold\nreverse_proxy localhost:1\nhandle_errors {\nrespond {http.callback.error.titel}\n}", "did you mean {http.callback.error.title}?"},
		"a misspelt late one":       {"callback hold\nheader >X-Id {http.callback.idd}\nreverse_proxy localhost:1", "did you mean {http.callback.id}?"},
		"no such step":              {"callback hold {\nname first\n}\nreverse_proxy localhost:1 {\nheader_up X {http.callback.nosuch.call.body}\n}", "{http.callback.nosuch.call.body}: no directive has the name nosuch; there are first"},
		"a misspelt step":           {"callback hold {\nname first\n}\nreverse_proxy localhost:1 {\nheader_up X {http.callback.frist.call.body}\n}", "did you mean first?"},
		"a misspelt step, injected": {"callback hold {\nname first\ninject header X {http.callback.frist.call.body}\n}\nreverse_proxy localhost:1", "did you mean first?"},
		"a step without any":        {"callback hold\nreverse_proxy localhost:1 {\nheader_up X {http.callback.a.call.body}\n}", "no directive has a name"},
		"a step before it":          {"callback hold {\nname first\ncall {\nrespond 202\n}\n}\nvars a {http.callback.first.call.body}\nrespond {vars.a}", route},
	} {
		err := validate(t, "http://a {\n"+c.site+"\n}\n"+partners)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error is %v", name, err)
		}
	}
}

func TestPlaceholdersThatMayHaveAValueAreTaken(t *testing.T) {
	const proxy = "reverse_proxy localhost:1"
	for name, site := range map[string]string{
		"after it":                       "callback hold\n" + proxy + " {\nheader_up X {http.callback.url}\nrewrite /x?u={http.callback.url}\nmethod GET\n}",
		"route in order":                 "route {\ncallback hold\nrewrite * /x?u={http.callback.url}\nrequest_header X {http.callback.id}\n" + proxy + "\n}",
		"another matcher":                "callback /a hold\n" + proxy + " /b {\nheader_up X {http.callback.url}\n}",
		"respond":                        "callback hold\nrespond \"{http.callback.id} {http.callback.redirect_uri} {http.callback.state}\"",
		"within handle":                  "callback hold\nhandle /a {\nrespond {http.callback.id}\n}",
		"after a handle":                 "route {\nhandle /a {\ncallback hold\n}\nrespond {http.callback.id}\n}",
		"header at the end":              "callback hold\nheader >X-Id {http.callback.id}\n" + proxy,
		"header with defer":              "callback hold\nheader {\nX-Id {http.callback.id}\ndefer\n}\n" + proxy,
		"header by default":              "callback hold\nheader ?X-Id {http.callback.id}\n" + proxy,
		"log_append":                     "callback hold\nlog_append id {http.callback.id}\n" + proxy,
		"map":                            "callback hold\nmap {http.callback.id} {x} {\ndefault 1\n}\n" + proxy + " {\nheader_up X {x}\n}",
		"templates":                      "callback hold\ntemplates\nrespond `{{placeholder \"http.callback.urll\"}}`",
		"intercept":                      "callback hold\nintercept {\nhandle_response {\nrespond {http.callback.id}\n}\n}\n" + proxy,
		"an upstream's answer":           "callback hold\n" + proxy + " {\nhandle_response {\nheader X {http.callback.id}\nrespond {http.callback.id}\n}\n}",
		"an error handler":               "callback hold {\nerrors caddy\n}\n" + proxy + "\nhandle_errors {\nredir https://x.example.com/{http.callback.error.error_code}?id={http.callback.id}\n}",
		"an error handler elsewhere":     proxy + "\nhandle_errors {\nrespond {http.callback.error.title}\n}",
		"call":                           "callback hold {\nkey include\ncall {\n" + proxy + " {\nheader_up X {http.callback.url}\nheader_up Y {http.callback.api_key}\n}\n}\n}\nrespond \"{http.callback.call.body.a} {http.callback.call.query.b}\"",
		"call of park":                   "callback park {\nname a\ncall {\nrewrite * /{http.callback.id}\n" + proxy + "\n}\nthen {\nrewrite * /{http.callback.call.body.a}\n" + proxy + " {\nheader_up X {http.callback.a.call.header.B}\n}\n}\n}",
		"defer":                          "callback defer {\nname a\nthen {\nrewrite * /{http.callback.id}/{http.callback.correlation_id}\n" + proxy + " {\nheader_up X {http.callback.status_url}\n}\n}\n}",
		"a step":                         "callback hold {\nname a\ncall {\nrespond 202\n}\n}\ncallback hold {\nname b\ncall {\nrespond 202\n}\n}\nrespond \"{http.callback.a.call.body} {http.callback.b.call.body} {http.callback.call.body}\"",
		"a step's matcher":               "callback hold {\nname a\ncall {\nrespond 202\n}\n}\n@big vars_regexp {http.callback.call.body.total} ^[0-9]+$\nrespond @big big\nrespond small",
		"a route by name":                "invoke with",
		"after a route by name":          "route {\ninvoke with\nrewrite * /{http.callback.id}\n" + proxy + "\n}",
		"its own reply":                  "callback hold {\nrespond \"{http.callback.call.body.order} {http.callback.state}\"\nredir https://x.example.com/{http.callback.id}\nheader X {http.callback.correlation_id}\n}\n" + proxy,
		"escaped":                        `respond "\{http.callback.url\} \{http.callback.nosuch}"`,
		"not closed":                     "respond `{http.callback.url`",
		"not a name":                     "respond `{http.callback.*} {http.callback.} {http.callback.<name>.call.body}`",
		"a pointer":                      "callback hold {\ncall {\nrespond 202\n}\n}\nrespond {http.callback.call.body./a~1b/0}",
		"what follows is another's name": "respond {http.callbacks.url}",
		"file_server":                    "callback hold\nroot * /srv\nfile_server",
	} {
		if err := validate(t, "&(with) {\ncallback hold\nrewrite * /{http.callback.id}\n"+proxy+"\n}\nhttp://a {\n"+site+"\n}\n"+partners); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}
