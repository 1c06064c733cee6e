package page_test

import (
	"strings"
	"testing"

	"github.com/caddy-callback/caddy-callback/module/page"
)

func TestOwnPageStandsInTheLayout(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		text, want string
		titled     bool
	}{
		"wait.html": {"<h1>{{text .}}</h1>", "<body>\n<h1><bdi>&lt;p&gt;</bdi></h1>", false},
		"page":      {`{{define "title"}}{{.}}{{end}}<p>`, "<title>&lt;p&gt;</title>", true},
		"body":      {`{{define "body"}}<em>x</em>{{end}}{{define "head"}}<link rel="icon" href="/x.png">{{end}}`, `<link rel="icon" href="/x.png">`, false},
	} {
		own, err := page.ParseOwn(name, test.text)
		if err != nil || own.Titled != test.titled {
			t.Errorf("%s: %+v, %v", name, own, err)
			continue
		}
		b, err := page.Render(own.Template, page.View{Title: "wait", OwnTitle: own.Titled, Data: "<p>"})
		if err != nil || !strings.Contains(string(b), test.want) {
			t.Errorf("%s: %v in\n%s", name, err, b)
		}
	}
}

func TestOwnPageThatIsNoneIsRefusedWithItsLine(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"":                                    "wait.html is empty, and so would be the page; write what stands in its body",
		"<p>\n{{.Phase":                       "wait.html:2: unclosed action",
		"{{shout .}}":                         `wait.html:1: function "shout" not defined`,
		`{{define "page"}}x{{end}}<p>`:        "wait.html defines page, which is what is around its body; define body, title and head alone",
		`{{define "x"}}{{end}}{{define "x"}}`: "wait.html:1: unexpected EOF",
	} {
		if _, err := page.ParseOwn("wait.html", text); err == nil || err.Error() != want {
			t.Errorf("%s: %v", text, err)
		}
	}
}

func TestPageThatGrowsTooLongIsNotWritten(t *testing.T) {
	t.Parallel()
	own, err := page.ParseOwn("wait.html", `{{define "again"}}x{{template "again" .}}{{end}}{{template "again" .}}`)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := page.Render(own.Template, page.View{Most: 10 << 10}); err == nil || !strings.Contains(err.Error(), "more than 10240 bytes") {
		t.Error(err)
	}
}
