package caddyfile

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2/caddyconfig"
)

// adaptWith adapts a Caddyfile beside which the other files stand.
func adaptWith(t *testing.T, files map[string]string, input string) (string, error) {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	raw, _, err := caddyconfig.GetAdapter("caddyfile").Adapt([]byte(input), map[string]any{"filename": filepath.Join(dir, "Caddyfile")})
	return string(raw), err
}

const globalBlock = "{\n\tcallback {\n\t\tbase_url https://app.example.com\n\t}\n}\n"

// holding is a Caddyfile with snippets whose callback holds the lines.
func holding(snippets, lines string) string {
	return globalBlock + snippets + ":80 {\n\tcallback hold 2m {\n" + lines + "\n\t}\n}\n"
}

func TestOptionAfterAnImportTakesThePlaceOfTheImportedOne(t *testing.T) {
	files := map[string]string{
		"own.caddy":    "result body\nfailed json a",
		"nested.caddy": "import own.caddy\nresult query",
		"site.caddy":   ":80 {\n\tcallback hold {\n\t\timport own.caddy\n\t\tresult query\n\t}\n}",
		"10.conf":      "result body",
		"20.conf":      "result query",
	}
	for name, input := range map[string]string{
		"file":                      holding("", "import own.caddy\nresult query"),
		"snippet":                   holding("(s) {\nresult body\n}\n", "import s\nresult query"),
		"snippet of a file":         holding("import snippets.caddy\n", "import s\nresult query"),
		"snippet below the site":    holding("(s) {\nresult body\n}\n(last) {\n}\n", "import s\n\nimport last\nresult query"),
		"another import":            holding("(s) {\nresult query\n}\n", "import own.caddy\nimport s"),
		"another snippet":           holding("(a) {\nresult body\n}\n(b) {\nresult query\n}\n", "import a\nimport b"),
		"two files of a pattern":    holding("", "import *.conf"),
		"nested file":               holding("", "import nested.caddy"),
		"nested snippet":            holding("(a) {\nresult body\n}\n(b) {\nimport a\nresult query\n}\n", "import b"),
		"around a nested one":       holding("(a) {\nresult body\n}\n(b) {\nimport a\n}\n", "import b\nresult query"),
		"twice over":                holding("(a) {\nresult body\n}\n(b) {\nimport a\nresult call\n}\n", "import b\nresult query"),
		"file that has the site":    globalBlock + "import site.caddy\n",
		"block that is handed over": globalBlock + "(site) {\n:80 {\ncallback hold {\nresult body\n{block}\n}\n}\n}\nimport site {\nresult query\n}\n",
		"snippet with the callback": globalBlock + "(s) {\nresult body\n}\n(held) {\ncallback hold {\nimport s\nresult query\n}\n}\n:80 {\nimport held\n}\n",
		"braces of another line":    holding("(s) {\nresult body\nredir https://a.example.com\n}\n", "import s\nresult query"),
	} {
		t.Run(name, func(t *testing.T) {
			files["snippets.caddy"] = "(s) {\nresult body\n}\n"
			raw, err := adaptWith(t, files, input)
			if err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(raw, `"result":"query"`) {
				t.Errorf("got %s", raw)
			}
		})
	}
}

func TestOptionThatIsGivenTwiceOtherwiseIsRefused(t *testing.T) {
	const twice, before = "it is given twice", "it is given before the import"
	files := map[string]string{
		"own.caddy":    "result body",
		"twice.caddy":  "result body\nresult query",
		"nested.caddy": "result query\nimport own.caddy",
		"site.caddy":   ":80 {\n\tcallback hold {\n\t\tresult query\n\t\timport own.caddy\n\t}\n}",
	}
	for name, c := range map[string]struct{ input, want string }{
		"in the block":                {holding("", "result query\nresult body"), twice},
		"in a file":                   {holding("", "import twice.caddy"), twice},
		"in a snippet":                {holding("(s) {\nresult body\nresult query\n}\n", "import s"), twice},
		"around a file":               {holding("", "result query\nimport own.caddy"), before},
		"around a snippet":            {holding("(s) {\nresult body\n}\n", "result query\nimport s"), before},
		"after the import, too":       {holding("", "import own.caddy\nresult query\nresult call"), twice},
		"the import again":            {holding("", "import own.caddy\nimport own.caddy"), twice},
		"the snippet again":           {holding("(s) {\nresult {args[0]}\n}\n", "import s body\nimport s query"), twice},
		"the import again, later":     {holding("", "import own.caddy\nresult query\nimport own.caddy"), before},
		"around a nested file":        {holding("", "import nested.caddy"), before},
		"around a nested snippet":     {holding("(a) {\nresult body\n}\n(b) {\nresult query\nimport a\n}\n", "import b"), before},
		"far around a nested snippet": {holding("(a) {\nresult body\n}\n(b) {\nimport a\n}\n", "result query\nimport b"), before},
		"file that has the site":      {globalBlock + "import site.caddy\n", before},
		"block that is handed over":   {globalBlock + "(site) {\n:80 {\ncallback hold {\n{block}\nresult body\n}\n}\n}\nimport site {\nresult query\n}\n", before},
		"snippet with the callback":   {globalBlock + "(s) {\nresult body\n}\n(held) {\ncallback hold {\nresult query\nimport s\n}\n}\n:80 {\nimport held\n}\n", before},
	} {
		t.Run(name, func(t *testing.T) {
			raw, err := adaptWith(t, files, c.input)
			if err == nil {
				t.Fatalf("it was taken: %s", raw)
			}
			if !strings.Contains(err.Error(), "callback hold: result: "+c.want) {
				t.Errorf("got %v", err)
			}
		})
	}
}

// What takes the place of an option leaves nothing of it.
func TestOptionThatIsReplacedLeavesNothing(t *testing.T) {
	const using = "using {\nreverse_proxy localhost:1\n}\n"
	park := func(lines string) string { return ":80 {\ncallback park {\nname n\n" + lines + "\n}\n}\n" }
	for name, c := range map[string]struct{ first, second string }{
		"poll":            {"poll {\nfrom header Location\nto /a\n" + using + "allow a.example.com\n}", "poll {\nfrom json url\n" + using + "}"},
		"deliver off":     {"deliver {\nto https://a.example.com\n}", "deliver off"},
		"deliver":         {"deliver {\nto https://a.example.com\nretry 1s 2s\n}", "deliver {\nfrom header A-Url\n}"},
		"respond":         {"respond a 202", "respond b"},
		"redir":           {"redir https://a.example.com 303", "redir https://b.example.com"},
		"ack":             {"ack 201 202", "ack 200"},
		"call":            {"call {\nrespond 202\nheader A b\n}", "call {\nrespond 201\n}"},
		"correlation_id":  {"correlation_id ack json a", "correlation_id request header A-B"},
		"fetch":           {"fetch from json a to /b {\nreverse_proxy localhost:1\n}", "fetch to /c {\nreverse_proxy localhost:2\n}"},
		"methods":         {"methods put patch", "methods post"},
		"retryable":       {"retryable off", "retryable on"},
		"failed_body":     {"failed_body on", "failed_body off"},
		"failed_status":   {"failed_status 500", "failed_status 424"},
		"attempt_timeout": {"call {\nrespond 202\n}\nattempt_timeout 1m", "call {\nrespond 202\n}\nattempt_timeout 2m"},
	} {
		t.Run(name, func(t *testing.T) {
			want, err := adaptWith(t, nil, globalBlock+park(c.second))
			if err != nil {
				t.Fatal(err)
			}
			got, err := adaptWith(t, map[string]string{"first.caddy": c.first}, globalBlock+park("import first.caddy\n"+c.second))
			if err != nil {
				t.Fatal(err)
			}
			if !sameJSON(t, got, want) {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
		})
	}
}

// Options of every block can be replaced, at every depth.
func TestOptionsOfEveryBlockCanBeReplaced(t *testing.T) {
	site := ":80 {\n\tcallback_server\n}\n"
	poll := func(lines string) string {
		return globalBlock + ":80 {\ncallback park {\nname n\npoll {\nusing {\nreverse_proxy localhost:1\n}\n" + lines + "\n}\n}\n}\n"
	}
	deliver := func(lines string) string {
		return globalBlock + ":80 {\ncallback park {\nname n\ndeliver {\n" + lines + "\n}\n}\n}\n"
	}
	server := func(lines string) string {
		return "{\ncallback {\nbase_url https://app.example.com\nkey k {env.K} send\n}\n}\n:80 {\ncallback_server {\n" + lines + "\n}\n}\n"
	}
	global := func(lines string) string { return "{\ncallback {\n" + lines + "\n}\n}\n" + site }
	api := func(lines string) string { return globalBlock + ":80 {\ncallback_api {\n" + lines + "\n}\n}\n" }
	store := func(lines string) string {
		return global("base_url https://app.example.com\nstore badger /a {\n" + lines + "\n}")
	}
	postgres := func(lines string) string {
		return global("base_url https://app.example.com\nstore postgres postgres://caddy@localhost/callback {\nsecret {env.K}\n" + lines + "\n}")
	}
	hmac := func(lines string) string {
		return global("base_url https://app.example.com\nkey bank hmac:{env.K} {\nheader X-A\n" + lines + "\n}")
	}
	t.Setenv("K", strings.Repeat("k", 32))
	for name, c := range map[string]struct {
		in                     func(string) string
		first, second, refused string
	}{
		"poll":                {poll, "to /a", "to /b", "poll: to"},
		"every":               {poll, "every 5s 1m", "every 6s\nto /b", "poll: every"},
		"deliver":             {deliver, "retry 1s 2s\nfrom header A-B", "retry 3s\nfrom header A-C", "deliver: retry"},
		"callback_server":     {server, "unmatched next", "unmatched 204", "callback_server: unmatched"},
		"keys of the server":  {server, "correlation_id json a", "correlation_id json b", "callback_server: correlation_id"},
		"ask":                 {server, "ask /a {\nrespond 200\n}", "ask {\nrespond 204\n}", "callback_server: ask"},
		"callback_api":        {api, "key off", "key off", "callback_api: key"},
		"base_url":            {global, "base_url https://a.example.com", "base_url https://b.example.com", "the global option callback: base_url"},
		"store":               {global, "base_url https://a.example.com\nstore badger /a {\nmin_free 1GiB\n}", "base_url https://a.example.com\nstore badger /b", "the global option callback: base_url"},
		"options of badger":   {store, "min_free 1GiB\nsecret stored {env.K}", "max_size 9GiB\nmin_free 2GiB\nsecret stored", "store badger: min_free"},
		"options of postgres": {postgres, "schema a\nmigrate on", "schema b\nmigrate off", "store postgres: schema"},
		"global deliver":      {global, "base_url https://a.example.com\ndeliver {\ntimeout 1s\nretry 5s\n}", "base_url https://a.example.com\ndeliver {\ntimeout 2s\n}", "the global option callback: base_url"},
		"hmac":                {hmac, "timestamp X-B 1m\nsigns \"{timestamp}.{body}\"", "timestamp X-C\nsigns \"{timestamp}:{body}\"", "key bank: timestamp"},
	} {
		t.Run(name, func(t *testing.T) {
			want, err := adaptWith(t, nil, c.in(c.second))
			if err != nil {
				t.Fatal(err)
			}
			files := map[string]string{"first.caddy": c.first}
			got, err := adaptWith(t, files, c.in("import first.caddy\n"+c.second))
			if err != nil {
				t.Fatal(err)
			}
			if !sameJSON(t, got, want) {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
			if _, err := adaptWith(t, files, c.in(c.second+"\nimport first.caddy")); err == nil || !strings.Contains(err.Error(), c.refused) || !strings.Contains(err.Error(), " is given ") {
				t.Errorf("the import after it: %v", err)
			}
			if _, err := adaptWith(t, files, c.in(c.first+"\n"+c.second)); err == nil || !strings.Contains(err.Error(), " is given twice") {
				t.Errorf("in one file: %v", err)
			}
		})
	}
}

func TestRepeatableOptionsOfAnImportAddUp(t *testing.T) {
	raw, err := adaptWith(t, map[string]string{"own.caddy": "failed json a\nprogress json b\ninject header X-A b\nack json c"},
		holding("", "import own.caddy\nfailed json d\nprogress json e\ninject header X-B c\nack json f"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{`"a"`, `"b"`, `"c"`, `"d"`, `"e"`, `"f"`, `"X-A"`, `"X-B"`} {
		if !strings.Contains(raw, `"name":`+name) {
			t.Errorf("%s is not in %s", name, raw)
		}
	}
}

func sameJSON(t *testing.T, a, b string) bool {
	t.Helper()
	var x, y any
	if json.Unmarshal([]byte(a), &x) != nil || json.Unmarshal([]byte(b), &y) != nil {
		t.Fatalf("no JSON: %s, %s", a, b)
	}
	x1, _ := json.Marshal(x)
	y1, _ := json.Marshal(y)
	return string(x1) == string(y1)
}
