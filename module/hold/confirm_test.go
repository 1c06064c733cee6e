package hold

import (
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/config"
)

// What comes with the request stands apart from what is written in the configuration.
func TestQuestionKnowsWhatWasGiven(t *testing.T) {
	t.Parallel()
	get := func(key string) (string, bool) { return "<" + key + ">", !strings.HasPrefix(key, "no") }
	for text, want := range map[string]callback.Text{
		"plain":        {"plain"},
		"":             {""},
		"{a}":          {"", "<a>", ""},
		"x {a} y":      {"x ", "<a>", " y"},
		"{a}{b}":       {"", "<a>", "", "<b>", ""},
		"{no} x {a}":   {"{no} x ", "<a>", ""},
		"json {\"a\"}": {"json {\"a\"}"},
	} {
		if got := asked(config.NewValue(text), get); !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", text, got, want)
		}
	}
}

func TestQuestionIsMadeOfTheRequest(t *testing.T) {
	t.Parallel()
	h := &Handler{Confirm: &Confirm{
		Title: "{http.callback.request.body.amount} {http.callback.request.body.none}", Text: "{http.callback.request.body} {http.request.header.X-For} {http.callback.request.body.a.b}",
	}}
	h.compileConfirm(func(text string) string { return text })
	if !h.asks.given || !h.asks.ofBody {
		t.Fatalf("%+v", h.asks)
	}
	repl := caddy.NewReplacer()
	repl.Set("http.request.header.X-For", "{http.callback.request.body}")
	x := &exchange{h: h, r: httptest.NewRequest(http.MethodPost, "/", nil), request: &outgoing{repl: repl}}
	q := x.question()
	if q.Title.String() != " " || q.Text.String() != " {http.callback.request.body} " {
		t.Errorf("%q", q)
	}
	still := &Handler{Confirm: &Confirm{Title: "Go on?"}}
	still.compileConfirm(func(text string) string { return text })
	if x.h = still; x.question() != nil {
		t.Error("a question that is the same for all is kept with each")
	}
	new(Handler).compileConfirm(nil)
}

func TestPlaceInTheBodyIsNamed(t *testing.T) {
	t.Parallel()
	for key, want := range map[string]string{
		"http.callback.request.body": "", "http.callback.request.body.a.0": "a.0", "http.callback.request.form.x": "x",
	} {
		if at, ok := inBody(key); !ok || at.Name != want {
			t.Errorf("%s: %+v, %v", key, at, ok)
		}
	}
	for _, key := range []string{"http.callback.request.", "http.callback.request.body.", "http.callback.request.header.x", "http.request.body", "http.callback.id"} {
		if _, ok := inBody(key); ok {
			t.Errorf("%s is taken", key)
		}
	}
}

func TestPagePatienceHasADefault(t *testing.T) {
	t.Parallel()
	if new(Page).patience() != DefaultPatience || (&Page{Patience: caddy.Duration(5)}).patience() != 5 {
		t.Error("it has another")
	}
}

func TestTemplateFileIsBounded(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write := func(name, text string) string {
		path := dir + "/" + name
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for want, p := range map[string]*Page{
		"":             {Template: write("ok.html", "<p>")},
		"no such file": {Template: dir + "/nosuch.html"},
		"more than":    {Template: write("long.html", strings.Repeat("x", callback.MaxTemplates+1))},
		"is empty":     {Template: write("empty.html", "")},
	} {
		templates, err := p.load(func(text string) string { return text })
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, %v", want, templates, err)
		}
	}
	if templates, err := (*Page)(nil).load(nil); templates != nil || err != nil {
		t.Errorf("%v, %v", templates, err)
	}
	two := &Page{Template: dir + "/{lang}.html", Languages: []string{"de", "en"}}
	write("de.html", "<p>")
	write("en.html", "<p>")
	if templates, err := two.load(func(text string) string { return text }); err != nil || len(templates) != 2 || templates[1].Lang != "en" {
		t.Errorf("%v, %v", templates, err)
	}
}
