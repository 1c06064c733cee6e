package answer

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/page"
)

func documented(t *testing.T) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("..", "..", "docs", "pages.md"))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// Templates are written by the docs: what these say there is must stay there.
func TestFieldsOfTemplatesAreDocumented(t *testing.T) {
	t.Parallel()
	_, table, _ := strings.Cut(documented(t), "| field | what it is |")
	table, _, _ = strings.Cut(table, "\n\n")
	var named []string
	for line := range strings.Lines(table) {
		cell, _, _ := strings.Cut(strings.TrimPrefix(line, "| "), " |")
		for word := range strings.SplitSeq(cell, ", ") {
			if field, ok := strings.CutPrefix(strings.Trim(word, "`"), "."); ok {
				named = append(named, field)
			}
		}
	}
	var fields []string
	for field := range reflect.TypeFor[waitPage]().Fields() {
		fields = append(fields, field.Name)
	}
	slices.Sort(named)
	slices.Sort(fields)
	if !slices.Equal(named, fields) {
		t.Errorf("the docs have %v, and pages %v", named, fields)
	}
}

func TestTemplateOfTheDocsCanBeShown(t *testing.T) {
	t.Parallel()
	_, text, _ := strings.Cut(documented(t), "```html\n")
	text, _, _ = strings.Cut(text, "```")
	if err := CheckTemplates([]callback.PageTemplate{{File: "docs/pages.md", Text: text}}); err != nil || len(text) < 100 {
		t.Error(err)
	}
}

func TestTemplateThatCannotBeShownIsRefused(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"<p>\n{{.Phase":                                "own.html:2: unclosed action",
		"<p>\n{{.Pase}}":                               "own.html:2:2: at <.Pase>: there is no field Pase; there are Phase, Message, Since, Ended, Progress, ID,",
		"<script>{{if .ID}}\"{{end}}</script>":         "a value stands where it is not known what it means",
		`{{if eq .Phase "closed"}}{{.Reasons}}{{end}}`: "there is no field Reasons",
		`{{define "x"}}a long text again and again{{template "x"}}{{end}}{{template "x"}}`: "the page has more than 1048576 bytes",
	} {
		if err := CheckTemplates([]callback.PageTemplate{{File: "own.html", Text: text}}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", text, err)
		}
	}
}

func policyWith(t *testing.T, templates ...callback.PageTemplate) *callback.Policy {
	t.Helper()
	p := &callback.Policy{BaseURL: "https://app.test", Page: &callback.Page{Templates: templates}}
	if err := p.Compile(); err != nil {
		t.Fatal(err)
	}
	return p
}

func TestOwnPageIsInTheReadersLanguage(t *testing.T) {
	t.Parallel()
	de, fr := callback.PageTemplate{Lang: "de", File: "de", Text: "Warten"}, callback.PageTemplate{Lang: "fr", File: "fr", Text: "Attendez"}
	for _, test := range []struct {
		templates []callback.PageTemplate
		accepts   string
		lang      string
		own       bool
	}{
		{nil, "de", "", false},
		{[]callback.PageTemplate{de, fr}, "", "de", true},
		{[]callback.PageTemplate{de, fr}, "fr-CH", "fr", true},
		{[]callback.PageTemplate{de, fr}, "en", "en", false},
		{[]callback.PageTemplate{de, fr}, "it", "de", true},
		{[]callback.PageTemplate{{File: "own", Text: "Wait"}}, "de", "", true},
		{[]callback.PageTemplate{de, {Lang: "en", File: "en", Text: "Wait"}}, "en", "en", true},
		// A later release may know more functions.
		{[]callback.PageTemplate{{Lang: "de", File: "de", Text: "{{later .}}"}}, "de", "de", false},
	} {
		r := httptest.NewRequest(http.MethodGet, "/cbr/x", nil)
		r.Header.Set("Accept-Language", test.accepts)
		p := policyWith(t, test.templates...)
		for range 2 {
			if own, lang, ok := ownPage(r, p); lang != test.lang || ok != test.own || ok != (own.Template != nil) {
				t.Errorf("%+v: %q, %v", test, lang, ok)
			}
		}
	}
}

func TestCompiledTemplatesAreFinite(t *testing.T) {
	t.Parallel()
	for i := range 2 * maxCompiled {
		p := policyWith(t, callback.PageTemplate{File: "own", Text: strings.Repeat("x", i+1)})
		if _, err := ownPages(p); err != nil {
			t.Fatal(err)
		}
	}
	compiledPages.Lock()
	defer compiledPages.Unlock()
	if n := len(compiledPages.byPolicy); n > maxCompiled {
		t.Errorf("there are %d", n)
	}
}

func TestAssetsAreFoundFromEachPath(t *testing.T) {
	t.Parallel()
	for path, want := range map[string]string{
		"/cbr/x": "/cbr/-/page.css", "/cbr/x/": "/cbr/-/page.css", "/cb/x": "/cbr/-/page.css", "/cb/x//": "/cbr/-/page.css",
		"//cbr//x": "//cbr/-/page.css", "/cbq/state": "/cbr/-/page.css",
	} {
		r := httptest.NewRequest(http.MethodGet, "http://app.test"+path, nil)
		at, err := r.URL.Parse(AssetsFrom(r) + "page.css")
		if err != nil || at.Path != want {
			t.Errorf("%s: %v, %v", path, at, err)
		}
	}
}

// A page that is built in is whole in each phase, and valid for readers of the screen.
func TestBuiltInPageHasOneHeading(t *testing.T) {
	t.Parallel()
	for _, sample := range samples {
		b, err := page.Render(waitBody, page.View{Assets: "-/", Data: sample, Waits: sample.Phase == "waiting"})
		if err != nil || strings.Count(string(b), "<h1") != 1 || strings.Count(string(b), "<main>") != 1 {
			t.Errorf("%s: %v\n%s", sample.Phase, err, b)
		}
	}
}
