// Package page is how pages for people look, and who gets one in place of a document for
// programs. All pages share one stylesheet, one script and one layout. They work without the
// script, load nothing from elsewhere, and show what strangers sent as text only.
package page

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"fmt"
	"html/template"
	"net/http"
	"strconv"
	"strings"
)

// MediaType is the media type of pages.
const MediaType = "text/html; charset=utf-8"

// Policy is the Content-Security-Policy of pages that load style and script from their own
// site. Browsers apply form-action to the redirect that answers a form, too.
const Policy = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"

//go:embed page.css
var style string

//go:embed layout.html
var layout string

// styleSource allows the stylesheet where it stands in the page itself.
var styleSource = func() string {
	sum := sha256.Sum256([]byte(style))
	return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
}()

// AlonePolicy is the Content-Security-Policy of pages that load nothing: their style is in
// the page, and they have neither scripts nor forms. They may link to a result, which browsers
// save as a file.
var AlonePolicy = "sandbox allow-top-navigation-by-user-activation allow-popups allow-downloads; default-src 'none'; style-src " + styleSource + "; frame-ancestors 'none'; base-uri 'none'"

// View is what a page shows.
type View struct {
	// Title is the page's title. It is escaped.
	Title string
	// Lang is the language of the page's texts (BCP 47). Default: en.
	Lang string
	// Assets is where the stylesheet and the script are, relative to the page and with a
	// slash at its end; empty for a page that has its style within, and no script.
	Assets string
	// Refresh is after how many seconds a browser without the script loads the page again;
	// 0 for never.
	Refresh int
	// Waits says that the script is to look for news, and to show them in what has the attribute
	// data-live and an id, or else in the whole body.
	Waits bool
	// Status is the status of the answer. Default: 200.
	Status int
	// Data is what the template body is given.
	Data any
	// OwnTitle says that the template title writes the title, with Data.
	OwnTitle bool
	// Forms are further places that answers to the page's forms may lead to, as sources of a
	// Content-Security-Policy. Default: only the page's own site.
	Forms []string
	// Referrer is the Referrer-Policy. Default: no-referrer.
	Referrer string
	// Most is how many bytes the page may have; 0 for any number.
	Most int
}

// Style returns the stylesheet of a page that has it within.
func (v View) Style() template.CSS {
	if v.Assets != "" {
		return ""
	}
	return template.CSS(style) //nolint:gosec // it is ours
}

// New returns a template with the layout of all pages. text defines the template body,
// which is executed with a View's Data. It panics if the text is no template: it is one of
// ours.
func New(name, text string) *template.Template { return template.Must(Parse(name, text)) }

// Parse is New for a text that others have written.
func Parse(name, text string) (*template.Template, error) {
	t, err := template.New(name).Funcs(functions).Parse(layout)
	if err != nil {
		return nil, err
	}
	return t.Parse(text)
}

// Render returns the page.
func Render(t *template.Template, v View) ([]byte, error) {
	v.Lang = cmp.Or(v.Lang, "en")
	b := bounded{most: v.Most}
	if err := t.ExecuteTemplate(&b, "page", v); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// bounded is a page that is being written.
type bounded struct {
	bytes.Buffer
	most int
}

// Write implements io.Writer.
func (b *bounded) Write(p []byte) (int, error) {
	if b.most > 0 && b.Len()+len(p) > b.most {
		return 0, fmt.Errorf("the page has more than %d bytes", b.most)
	}
	return b.Buffer.Write(p)
}

// Write answers with the page. Whatever the error, nothing was written then.
func Write(w http.ResponseWriter, t *template.Template, v View) error {
	b, err := Render(t, v)
	if err != nil {
		return err
	}
	h := w.Header()
	h.Set("Content-Length", strconv.Itoa(len(b)))
	SetHeader(h, v.Assets == "")
	if len(v.Forms) > 0 {
		h.Set("Content-Security-Policy", strings.Replace(h.Get("Content-Security-Policy"), "form-action 'self'", "form-action 'self' "+strings.Join(v.Forms, " "), 1))
	}
	if v.Referrer != "" {
		h.Set("Referrer-Policy", v.Referrer)
	}
	w.WriteHeader(cmp.Or(v.Status, http.StatusOK))
	_, _ = w.Write(b)
	return nil
}

// SetHeader sets the header lines of a page. alone says that the page loads nothing.
func SetHeader(h http.Header, alone bool) {
	policy := Policy
	if alone {
		policy = AlonePolicy
	}
	h.Set("Content-Type", MediaType)
	h.Set("Content-Security-Policy", policy)
	h.Set("Cache-Control", "no-store")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("X-Content-Type-Options", "nosniff")
	Vary(h)
}
