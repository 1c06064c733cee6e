package hold

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddy-callback/caddy-callback/module/answer"
	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/inject"
	"github.com/caddy-callback/caddy-callback/module/page"
)

// DefaultPatience is how long a person is held who then sees the page.
const DefaultPatience = 3 * time.Second

// Page lets people see a page at the status URL, where programs get the status.
type Page struct {
	// Template is the file of a page of the site's own, as a template of Go's html/template:
	// what stands in the body. In its name {lang} stands for each of the languages. It is read
	// when the configuration is loaded. Default: the page that is built in, which is English.
	Template string `json:"template,omitempty"`

	// Languages are the languages of the template (BCP 47), the site's own first. A person gets
	// the one that suits best, English being built in; one whom none suits gets the first.
	// Default: none is said.
	Languages []string `json:"languages,omitempty"`

	// Progress says what is shown of a call that is not the answer yet. Default: nothing.
	Progress []PageProgress `json:"progress,omitempty"`

	// Redirect is the URL where people are sent once the callback is resolved: absolute, or
	// relative to the base URL. It may hold placeholders of the callback, in path and query.
	// Default: the page shows the result.
	Redirect string `json:"redirect,omitempty"`

	// Patience is how long a person is held, counted from the request's arrival, before the
	// page comes. It is for hold only. Default: 3s.
	Patience caddy.Duration `json:"patience,omitempty"`
}

// PageProgress is a value in a call that is shown: as a text, or as a bar if it is a number.
type PageProgress struct {
	inject.Location
	// Most is the number that stands for all. Default: 100.
	Most float64 `json:"most,omitempty"`
}

// langMark stands for a language in the name of a template's file.
const langMark = "{lang}"

// langTag matches languages (BCP 47) as they stand in file names.
var langTag = regexp.MustCompile(`^[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8})*$`)

// Check makes sure that the page makes sense on its own. Errors begin with the option. It is
// called while a Caddyfile is parsed, after each option.
func (p *Page) Check() error {
	for i, lang := range p.Languages {
		switch {
		case !langTag.MatchString(lang):
			return fmt.Errorf("lang: %q is not a language; write one like en or pt-BR", lang)
		case slices.ContainsFunc(p.Languages[:i], func(other string) bool { return strings.EqualFold(other, lang) }):
			return fmt.Errorf("lang: %s is given twice; leave one of the two out", lang)
		}
	}
	return p.stored(func(text string) string { return text }, "").Check()
}

// CheckWhole is Check for what a further option could mend.
func (p *Page) CheckWhole() error {
	marked := strings.Contains(p.Template, langMark)
	switch {
	case len(p.Languages) > 0 && p.Template == "":
		return errors.New("lang: the page that is built in is English; for other languages name your own files, as in: page waiting.{lang}.html")
	case marked && len(p.Languages) == 0:
		return errors.New("{lang} in the name of the file stands for a language, and none is given; add the option lang, as in: lang de en")
	case !marked && len(p.Languages) > 1:
		return errors.New("lang: one file is in one language; write {lang} into its name, as in: page waiting.{lang}.html")
	}
	return nil
}

// stored returns what of the page is kept with the policy, except for its templates.
func (p *Page) stored(expand func(string) string, message string) *callback.Page {
	if p == nil {
		return nil
	}
	kept := &callback.Page{Message: expand(message), Redirect: expand(p.Redirect)}
	for _, shown := range p.Progress {
		kept.Progress = append(kept.Progress, callback.PageProgress{Location: shown.Location, Most: shown.Most})
	}
	return kept
}

// load reads the templates, and makes sure that they can be shown.
func (p *Page) load(expand func(string) string) (templates []callback.PageTemplate, err error) {
	if p == nil || p.Template == "" {
		return nil, nil
	}
	languages := p.Languages
	if len(languages) == 0 {
		languages = []string{""}
	}
	for _, lang := range languages {
		file := strings.ReplaceAll(p.Template, langMark, lang)
		file = expand(file)
		text, err := readTemplate(file)
		if err != nil {
			return nil, err
		}
		templates = append(templates, callback.PageTemplate{Lang: lang, File: file, Text: text})
	}
	return templates, answer.CheckTemplates(templates)
}

// readTemplate reads a file of limited size.
func readTemplate(name string) (string, error) {
	file, err := os.Open(name)
	if err != nil {
		return "", err
	}
	defer func() { _ = file.Close() }()
	text, err := io.ReadAll(io.LimitReader(file, callback.MaxTemplates+1))
	switch {
	case err != nil:
		return "", err
	case len(text) > callback.MaxTemplates:
		return "", fmt.Errorf("%s has more than %d bytes, which is all that is kept with each configuration", name, callback.MaxTemplates)
	}
	return string(text), nil
}

// checkPage makes sure that somebody can come to see the page.
func (h *Handler) checkPage() error {
	switch p := h.Page; {
	case p == nil:
		return nil
	case h.isStep():
		return fmt.Errorf("page: %s", endsWithClient)
	case p.Patience != 0 && h.Mode != modeHold:
		return fmt.Errorf("page: patience: only callback hold has a client that waits; leave it out")
	case p.Patience != 0 && time.Duration(p.Patience) < time.Millisecond:
		return fmt.Errorf("page: patience (%s) must be at least a millisecond", time.Duration(p.Patience))
	case p.Progress != nil && h.Mode == modeDefer:
		return errors.New("page: progress: callback defer has no callback URL, so there are no calls; leave it out")
	default:
		if err := p.Check(); err != nil {
			return fmt.Errorf("page: %w", err)
		}
		return nil
	}
}

// checkPageWhole is checkPage for what a further option could mend.
func (h *Handler) checkPageWhole() error {
	if h.Page == nil {
		return nil
	}
	if err := h.Page.CheckWhole(); err != nil {
		return fmt.Errorf("page: %w", err)
	}
	return nil
}

// patience returns how long a person is held who then sees the page.
func (p *Page) patience() time.Duration {
	if p.Patience == 0 {
		return DefaultPatience
	}
	return time.Duration(p.Patience)
}

// toPage reports whether the client is a person who sees the page in place of 202.
func (x *exchange) toPage() bool {
	return x.h.Page != nil && x.step == nil && page.Wanted(x.r)
}

// varyPage says that the answer depends on whether the client is one.
func (x *exchange) varyPage(h http.Header) {
	if x.h.Page != nil && x.step == nil {
		page.Vary(h)
	}
}
