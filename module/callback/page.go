package callback

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/caddy-callback/caddy-callback/module/inject"
)

// Page is what people see at the status URL. It is stored with the policy, so that they see the
// same wherever they come and whatever becomes of the configuration.
type Page struct {
	// Message is what people are told who wait; empty for a text that says no more than that
	// they do.
	Message string `cbor:"1,keyasint,omitempty"`
	// Progress says what is shown of a call that is not the answer yet.
	Progress []PageProgress `cbor:"2,keyasint,omitempty"`
	// Redirect is where people are sent once the callback is resolved; empty for nowhere.
	Redirect string `cbor:"3,keyasint,omitempty"`
	// Templates are the site's own pages, in the order of its liking; empty for ours.
	Templates []PageTemplate `cbor:"4,keyasint,omitempty"`
}

// PageProgress is a value in a call that is shown: as a text, or as a bar if it is a number.
type PageProgress struct {
	Location inject.Location `cbor:"1,keyasint"`
	// Most is the number that stands for all; 0 for 100.
	Most float64 `cbor:"2,keyasint,omitempty"`
}

// DefaultMost is the number that stands for all of the progress.
const DefaultMost = 100

// PageTemplate is a site's own page in one language.
type PageTemplate struct {
	// Lang is the language (BCP 47).
	Lang string `cbor:"1,keyasint,omitempty"`
	// File is where the text came from, for messages.
	File string `cbor:"2,keyasint,omitempty"`
	Text string `cbor:"3,keyasint"`
}

// MaxTemplates bounds the texts of all templates of a page together, in bytes.
const MaxTemplates = 64 << 10

// maxProgress bounds how many values of a call are shown.
const maxProgress = 8

// Check makes sure that the page is valid as it was given. Errors begin with the option.
func (p *Page) Check() error {
	if p == nil {
		return nil
	}
	if len(p.Progress) > maxProgress {
		return fmt.Errorf("progress: there are %d lines; at most %d are shown", len(p.Progress), maxProgress)
	}
	for _, shown := range p.Progress {
		if err := CheckLocation(shown.Location); err != nil {
			return fmt.Errorf("progress: %w", err)
		}
		if shown.Most < 0 || math.IsNaN(shown.Most) || math.IsInf(shown.Most, 0) {
			return errors.New("progress: the number that stands for all must be above 0")
		}
	}
	size := 0
	for _, t := range p.Templates {
		size += len(t.Text)
	}
	if size > MaxTemplates {
		return fmt.Errorf("the templates have %d bytes together; at most %d are kept with each configuration", size, MaxTemplates)
	}
	return nil
}

// ToPage is the URL of a redirect that leads to the callback's own page.
const ToPage = "{" + PlaceholderPrefix + toPageName + "}"

const toPageName = "status_url"

// leadsToPage reports whether people are redirected to the callback's own page.
func (p *Policy) leadsToPage() bool {
	for _, r := range p.redirects() {
		if r.to.URL == ToPage {
			return true
		}
	}
	return false
}

// PageURL returns where people are sent once the callback is resolved, "" for nowhere. look has
// the values of its placeholders.
func (p *Policy) PageURL(look Lookup) string {
	if p.Page == nil || p.Page.Redirect == "" {
		return ""
	}
	return p.pageTarget.URL(p.BaseURL, look)
}

// Shown returns the values that the page shows of a call, each as it is there. What is not
// there, or cannot be read, is left out.
func (p *Page) Shown(c *Call) (shown []ShownProgress) {
	m := c.message()
	for _, progress := range p.Progress {
		if value, err := m.Get(progress.Location); err == nil && strings.TrimSpace(value) != "" {
			shown = append(shown, newShownProgress(c.tell(value, maxText), cmp.Or(progress.Most, DefaultMost)))
		}
	}
	return shown
}

// ShownProgress is how far something is, as people are shown it.
type ShownProgress struct {
	// Text is what the call says.
	Text string
	// IsNumber says that it is a number, Value which one, from 0 to Most.
	IsNumber    bool
	Value, Most float64
}

func newShownProgress(text string, most float64) ShownProgress {
	text = strings.TrimSpace(text)
	shown := ShownProgress{Text: text, Most: most}
	value, err := strconv.ParseFloat(strings.TrimSpace(strings.TrimSuffix(text, "%")), 64)
	if err == nil && value >= 0 && !math.IsInf(value, 0) {
		shown.IsNumber, shown.Value = true, min(value, most)
	}
	return shown
}

// Percent returns how far it is, from 0 to 100.
func (s ShownProgress) Percent() int { return int(100 * s.Value / s.Most) }
