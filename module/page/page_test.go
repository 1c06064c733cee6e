package page_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/caddy-callback/caddy-callback/module/page"
)

func TestWhoGetsAPage(t *testing.T) {
	t.Parallel()
	const browser = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8"
	for _, test := range []struct {
		name, mode, dest string
		accept           []string
		want             bool
	}{
		{name: "nothing said", want: false},
		{name: "anything", accept: []string{"*/*"}, want: false},
		{name: "browser without Fetch Metadata", accept: []string{browser}, want: true},
		{name: "HTML", accept: []string{"text/html"}, want: true},
		{name: "HTML in capitals", accept: []string{"TEXT/HTML"}, want: true},
		{name: "HTML refused", accept: []string{"text/html;q=0"}, want: false},
		{name: "JSON and HTML alike", accept: []string{"application/json, text/html"}, want: true},
		{name: "JSON before HTML", accept: []string{"application/json, text/html;q=0.9"}, want: false},
		{name: "anything before HTML", accept: []string{"text/html;q=0.5, */*"}, want: false},
		{name: "problem documents before HTML", accept: []string{"application/problem+json", "text/html;q=0.5"}, want: false},
		{name: "JSON refused", accept: []string{"application/json;q=0, text/html;q=0.1, */*"}, want: true},
		{name: "any application before HTML", accept: []string{"application/*, text/html;q=0.5"}, want: false},
		{name: "Java, until version 19", accept: []string{"text/html, image/gif, image/jpeg, *; q=.2, */*; q=.2"}, want: false},
		{name: "Java since then", accept: []string{"text/html, image/gif, image/jpeg, */*; q=0.2"}, want: false},
		{name: "old browser with pictures", accept: []string{"text/html, application/xhtml+xml, image/gif, image/jpeg, */*;q=0.1"}, want: true},
		{name: "quality that is none", accept: []string{"text/html;q=yes"}, want: false},
		{name: "navigation", mode: "navigate", dest: "document", accept: []string{browser}, want: true},
		{name: "frame", mode: "navigate", dest: "iframe", accept: []string{browser}, want: true},
		{name: "frame of a set", mode: "navigate", dest: "frame", want: true},
		{name: "navigation of an object", mode: "navigate", dest: "object", accept: []string{browser}, want: false},
		{name: "navigation that does not say where", mode: "navigate", want: true},
		{name: "fetch", mode: "cors", dest: "empty", accept: []string{"text/html"}, want: false},
		{name: "same origin", mode: "same-origin", accept: []string{"text/html"}, want: false},
	} {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.Header["Accept"] = test.accept
		if test.mode != "" {
			r.Header.Set("Sec-Fetch-Mode", test.mode)
		}
		if test.dest != "" {
			r.Header.Set("Sec-Fetch-Dest", test.dest)
		}
		if got := page.Wanted(r); got != test.want {
			t.Errorf("%s: a page is wanted: %v", test.name, got)
		}
	}
}

func TestWhatIsNotSeenIsNamed(t *testing.T) {
	t.Parallel()
	for given, want := range map[string]string{
		"":                  "",
		"plain, ümlaut, 漢字": "plain, ümlaut, 漢字",
		"two\nlines\tand":   "two\nlines\tand",
		"bell\a":            "bell‹U+0007›",
		"\u202egnp.exe":     "‹U+202E›gnp.exe",
		"a\u200bb\ufeff":    "a‹U+200B›b‹U+FEFF›",
		"a\u2066b\u2069":    "a‹U+2066›b‹U+2069›",
		"\xff\xfe":          "‹FF›‹FE›",
		"�":                 "�",
		"\u0085\u2028":      "‹U+0085›‹U+2028›",
	} {
		if got := page.Plain(given); got != want {
			t.Errorf("Plain(%q) = %q, want %q", given, got, want)
		}
	}
}

func TestShortTextsAreCutBetweenCharacters(t *testing.T) {
	t.Parallel()
	for given, want := range map[string]string{"": "", "äö": "äö", "äöü": "äöü", "äöüß": "äöü…"} {
		if got := page.Short(3, given); got != want {
			t.Errorf("Short(3, %q) = %q, want %q", given, got, want)
		}
	}
}

type moment time.Time

func (m moment) Time() time.Time { return time.Time(m) }

// A page shows what strangers sent as text, and allows in its policy what it has and no more.
func TestPage(t *testing.T) {
	t.Parallel()
	of := page.New("of", `{{define "body"}}<main><h1>{{text .Said}}</h1>{{when .At}}</main>{{end}}`)
	type data struct {
		Said string
		At   moment
	}
	v := page.View{Title: "\u202e<script>", Status: http.StatusGone, Data: data{`<script>alert("x")</script>`, moment(time.Unix(0, 0))}}
	alone := httptest.NewRecorder()
	if err := page.Write(alone, of, v); err != nil {
		t.Fatal(err)
	}
	if alone.Code != http.StatusGone || alone.Header().Get("Content-Type") != page.MediaType || alone.Header().Get("Content-Security-Policy") != page.AlonePolicy {
		t.Errorf("%d %v", alone.Code, alone.Header())
	}
	for _, want := range []string{
		"<title>‹U&#43;202E›&lt;script&gt;</title>", `<html lang="en">`, "<style>", "<bdi>&lt;script&gt;alert(&#34;x&#34;)&lt;/script&gt;</bdi>",
		`<time datetime="1970-01-01T00:00:00.000Z">1970-01-01 00:00:00 UTC</time>`,
	} {
		if !strings.Contains(alone.Body.String(), want) {
			t.Errorf("the page lacks %s:\n%s", want, alone.Body)
		}
	}
	if strings.Contains(alone.Body.String(), "<script") || strings.Contains(alone.Body.String(), "ZgotmplZ") {
		t.Errorf("the page has a script:\n%s", alone.Body)
	}
	v.Assets, v.Refresh, v.Lang = "../-/", 5, "de"
	b, err := page.Render(of, v)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`href="../-/page.css"`, `src="../-/page.js"`, `<noscript><meta http-equiv="refresh" content="5"></noscript>`, `<html lang="de">`} {
		if !strings.Contains(string(b), want) {
			t.Errorf("the page lacks %s:\n%s", want, b)
		}
	}
}

// The answer to a form may lead elsewhere, which browsers otherwise do not follow.
func TestPageSaysWhereItsFormsLead(t *testing.T) {
	t.Parallel()
	w := httptest.NewRecorder()
	v := page.View{Assets: "-/", Forms: []string{"https://shop.test", "myapp:"}, Referrer: "strict-origin", Data: struct{}{}}
	if err := page.Write(w, page.New("of", `{{define "body"}}{{end}}`), v); err != nil {
		t.Fatal(err)
	}
	if got := w.Header().Get("Content-Security-Policy"); !strings.Contains(got, "form-action 'self' https://shop.test myapp:;") || w.Header().Get("Referrer-Policy") != "strict-origin" {
		t.Errorf("%v", w.Header())
	}
}

func TestPageThatFailsWritesNothing(t *testing.T) {
	t.Parallel()
	w := httptest.NewRecorder()
	if err := page.Write(w, page.New("of", `{{define "body"}}{{.Missing.Field}}{{end}}`), page.View{Data: struct{}{}}); err == nil || w.Body.Len() > 0 || len(w.Header()) > 0 {
		t.Errorf("%v, %q, %v", err, w.Body, w.Header())
	}
}

func TestTextThatIsNoTemplateIsRefused(t *testing.T) {
	t.Parallel()
	if _, err := page.Parse("own", `{{define "body"}}{{if}}{{end}}`); err == nil {
		t.Error("it is taken")
	}
}

func TestAssets(t *testing.T) {
	t.Parallel()
	size := 0
	for name, mediaType := range map[string]string{"page.css": "text/css; charset=utf-8", "page.js": "text/javascript; charset=utf-8"} {
		w := httptest.NewRecorder()
		if !page.ServeAsset(w, httptest.NewRequest(http.MethodGet, "/"+name, nil), name) || w.Header().Get("Content-Type") != mediaType || w.Body.Len() == 0 {
			t.Errorf("%s: %d %v", name, w.Code, w.Header())
		}
		if name == "page.js" {
			size = w.Body.Len()
		}
		again := httptest.NewRequest(http.MethodGet, "/"+name, nil)
		again.Header.Set("If-None-Match", w.Header().Get("ETag"))
		if w = httptest.NewRecorder(); !page.ServeAsset(w, again, name) || w.Code != http.StatusNotModified {
			t.Errorf("%s again: %d", name, w.Code)
		}
	}
	if size > 15<<10 {
		t.Errorf("the script has %d bytes; at most 15 KiB", size)
	}
	if page.ServeAsset(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/", nil), "page.go") {
		t.Error("there is a file that is none of the pages'")
	}
}
