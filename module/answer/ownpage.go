package answer

import (
	"errors"
	"fmt"
	"html/template"
	"net/http"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/page"
)

// maxOwnPage bounds a page that a site's own template makes, in bytes.
const maxOwnPage = 1 << 20

// builtIn is the language of the page that is built in.
const builtIn = "en"

// compiledPages are the templates that policies hold, compiled.
var compiledPages = struct {
	sync.Mutex
	byPolicy map[callback.Digest][]page.Own
}{byPolicy: make(map[callback.Digest][]page.Own)}

// maxCompiled bounds how many policies have their templates compiled at once.
const maxCompiled = 256

// ownPage returns the site's own page for a client, and its language; false for the page that is
// built in.
func ownPage(r *http.Request, p *callback.Policy) (own page.Own, lang string, ok bool) {
	templates := p.Page.Templates
	if len(templates) == 0 {
		return page.Own{}, "", false
	}
	offered := make([]string, len(templates), len(templates)+1)
	for i, t := range templates {
		offered[i] = t.Lang
	}
	if offered[0] != "" {
		offered = append(offered, builtIn)
	}
	lang = page.Language(r, offered)
	all, err := ownPages(p)
	i := slices.Index(offered, lang)
	if err != nil || i >= len(all) {
		return page.Own{}, lang, false
	}
	return all[i], lang, true
}

// ownPages returns the compiled templates of a policy.
func ownPages(p *callback.Policy) ([]page.Own, error) {
	compiledPages.Lock()
	defer compiledPages.Unlock()
	if all, there := compiledPages.byPolicy[p.Hash()]; there {
		return all, nil
	}
	all, err := compile(p.Page.Templates)
	if err != nil {
		return nil, err
	}
	if len(compiledPages.byPolicy) >= maxCompiled {
		clear(compiledPages.byPolicy)
	}
	compiledPages.byPolicy[p.Hash()] = all
	return all, nil
}

func compile(templates []callback.PageTemplate) (all []page.Own, err error) {
	for _, t := range templates {
		own, err := page.ParseOwn(t.File, t.Text)
		if err != nil {
			return nil, err
		}
		all = append(all, own)
	}
	return all, nil
}

// samples are what templates are tried with.
var samples = []waitPage{
	{Phase: "waiting", Message: "m", Since: 1, Refreshes: true, URL: "u", ID: "i", CorrelationID: "c", Progress: []callback.ShownProgress{{Text: "t"}, {IsNumber: true, Value: 1, Most: 2}}},
	{Phase: "waiting", Message: "m", Since: 1, URL: "u", ID: "i", CorrelationID: "c"},
	{Phase: "resolved", Since: 1, Ended: 2, URL: "u", ID: "i", CorrelationID: "c", Result: "r", ResultURL: "u"},
	{Phase: "failed", Since: 1, Ended: 2, URL: "u", ID: "i", CorrelationID: "c", ErrorCode: "e", ErrorText: "t", DocumentStatus: "Failed"},
	{Phase: "expired", Since: 1, Ended: 2, URL: "u", ID: "i", CorrelationID: "c", ResultGone: true},
	{Phase: "closed", Since: 1, Ended: 2, URL: "u", ID: "i", CorrelationID: "c", Reason: "r"},
}

// CheckTemplates makes sure that pages can be made of templates, in each phase. The error names
// file and line.
func CheckTemplates(templates []callback.PageTemplate) error {
	all, err := compile(templates)
	if err != nil {
		return err
	}
	for _, own := range all {
		for _, sample := range samples {
			if _, err := page.Render(own.Template, page.View{Assets: "-/", OwnTitle: own.Titled, Data: sample, Most: maxOwnPage}); err != nil {
				return clearer(err)
			}
		}
	}
	return nil
}

// noField matches the error that a template names a field which there is not.
var noField = regexp.MustCompile(`can't evaluate field (\w+) in type answer\.waitPage`)

// executing matches what errors say of the template that is executed: its name is ours.
var executing = regexp.MustCompile(`executing "[^"]*" at `)

// clearer returns the error of a template as whoever has written that can use it.
func clearer(err error) error {
	text := err.Error()
	for _, prefix := range []string{"template: ", "html/template:"} {
		text = strings.TrimPrefix(text, prefix)
	}
	var fields []string
	for field := range reflect.TypeFor[waitPage]().Fields() {
		fields = append(fields, field.Name)
	}
	text = executing.ReplaceAllString(text, "at ")
	text = noField.ReplaceAllString(text, "there is no field $1; there are "+strings.Join(fields, ", "))
	var escaping *template.Error
	if errors.As(err, &escaping) {
		return fmt.Errorf("%s; a value stands where it is not known what it means, such as in a script", text)
	}
	return errors.New(text)
}
