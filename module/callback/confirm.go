package callback

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/caddy-callback/caddy-callback/module/inject"
)

// Confirm says that a person decides: the call is a choice that is made on a page.
type Confirm struct {
	// Title and Text are what is asked, where that does not depend on the request.
	Title string `cbor:"1,keyasint,omitempty"`
	Text  string `cbor:"2,keyasint,omitempty"`
	// Choices are what can be decided.
	Choices []Choice `cbor:"3,keyasint"`
}

// Choice is one of the ways in which a person can decide.
type Choice struct {
	// Name is the value of the field "choice" in the call.
	Name string `cbor:"1,keyasint"`
	// Label is what people see.
	Label string `cbor:"2,keyasint"`
	// Failed says that the call means Failed.
	Failed bool `cbor:"3,keyasint,omitempty"`
}

// ChoiceField is the name of the form field that holds the choice.
const ChoiceField = "choice"

// Question is what one callback asks a person, with values of its request.
type Question struct {
	Title Text `cbor:"1,keyasint,omitempty"`
	Text  Text `cbor:"2,keyasint,omitempty"`
	// Unknown are members that this release does not know.
	Unknown Unknown `cbor:"-"`
}

// Text is a text in pieces, so that people see which of it was given with the request: the
// first is the configuration's own, the next was given, and so on in turn.
type Text []string

// Span is a piece of a text.
type Span struct {
	Text string
	// Given says that it came with the request.
	Given bool
}

// String returns the whole text.
func (t Text) String() string { return strings.Join(t, "") }

// Spans returns the pieces that are not empty.
func (t Text) Spans() (spans []Span) {
	for i, text := range t {
		if text != "" {
			spans = append(spans, Span{text, i%2 == 1})
		}
	}
	return spans
}

// Bounds of what is asked, in bytes.
const (
	MaxTitle = 1 << 10
	MaxAsked = 8 << 10
)

// Cut returns the text with about so many bytes at most.
func (t Text) Cut(most int) Text {
	for i, text := range t {
		if len(text) > most {
			return append(slices.Clone(t[:i]), strings.ToValidUTF8(text[:most], "")+"…")
		}
		most -= len(text)
	}
	return t
}

// Bounds of the choices.
const (
	maxChoices = 8
	maxLabel   = 200
)

// choiceName matches the names of choices.
var choiceName = regexp.MustCompile(`^[0-9A-Za-z_-]{1,64}$`)

// Check makes sure that a person can decide. Errors begin with the option.
func (c *Confirm) Check() error {
	switch {
	case len(c.Title) > MaxTitle:
		return fmt.Errorf("title: it has more than %d bytes", MaxTitle)
	case len(c.Text) > MaxAsked:
		return fmt.Errorf("text: it has more than %d bytes", MaxAsked)
	case len(c.Choices) > maxChoices:
		return fmt.Errorf("choice: there are %d; there can be %d", len(c.Choices), maxChoices)
	}
	for i, choice := range c.Choices {
		switch {
		case !choiceName.MatchString(choice.Name):
			return fmt.Errorf("choice: %q must be at most 64 letters, digits, underscores and hyphens", choice.Name)
		case strings.TrimSpace(choice.Label) == "":
			return fmt.Errorf("choice: %s has no label, which is what people see on its button; add one, as in: choice %[1]s \"Approve\"", choice.Name)
		case len(choice.Label) > maxLabel:
			return fmt.Errorf("choice: the label of %s has more than %d bytes; write what is more into text", choice.Name, maxLabel)
		case slices.ContainsFunc(c.Choices[:i], func(o Choice) bool { return o.Name == choice.Name }):
			return fmt.Errorf("choice: %s is given twice; leave one of the two out", choice.Name)
		}
	}
	return nil
}

// CheckWhole is Check for what a further option could mend.
func (c *Confirm) CheckWhole() error {
	if c != nil && len(c.Choices) == 0 {
		return errors.New("nothing can be decided; add choices, as in: choice approve \"Approve\"")
	}
	return nil
}

// find returns the choice with that name.
func (c *Confirm) find(name string) (Choice, bool) {
	i := slices.IndexFunc(c.Choices, func(o Choice) bool { return o.Name == name })
	if i < 0 {
		return Choice{}, false
	}
	return c.Choices[i], true
}

// Confirmation is what a person sees at the URL of a callback that people decide on.
type Confirmation struct {
	Question
	Choices []Choice
	// Until is when it can be decided at the latest.
	Until Time
	// Decided says that it was decided: with Choice, whose label is empty if that is not known,
	// by By, who is "" if nobody knows, at At.
	Decided bool
	Choice  Choice
	By      string
	At      Time
}

// confirmation returns what a person sees.
func (r *Record) confirmation(p *Policy) *Confirmation {
	c := &Confirmation{Choices: p.Confirm.Choices, Until: r.ExpiresAt, Question: Question{Title: Text{p.Confirm.Title}, Text: Text{p.Confirm.Text}}}
	if r.Question != nil {
		c.Question = *r.Question
	}
	if r.Call != nil {
		c.Decided, c.By, c.At = true, r.Call.By, r.Call.ReceivedAt
		c.Choice, _ = p.Confirm.find(r.Call.Choice)
	}
	return c
}

// confirm decides on a call to a callback that a person decides on. To look at the page is no
// call.
func (r *Record) confirm(p *Policy, c *Call, look Lookup, now Time) Verdict {
	kind := p.admit(http.MethodPost, c.Caller.at(r.Name))
	switch {
	case c.Method != http.MethodPost && (c.Method != http.MethodGet || !c.Person):
		return Verdict{Kind: WrongMethod}
	case kind != Accepted:
		return Verdict{Kind: kind}
	case c.Method == http.MethodGet:
		return r.showConfirmation(p, c, look, now)
	case c.Elsewhere:
		return Verdict{Kind: Refused, Fault: Fault{Slug: "cross-site", Detail: "A page of another site has sent it.", Status: http.StatusForbidden}}
	}
	p.Confirm.choose(c)
	v := r.route(p, c, look, now)
	switch {
	case v.Kind == Gone:
		return r.lateFor(p, c, v, look)
	case v.Kind == Repeated && c.Person && c.By != r.Call.By:
		// Somebody else has decided the same.
		return Verdict{Kind: Conflict, Confirmation: r.confirmation(p)}
	case v.Kind == Conflict && c.Person:
		v.Confirmation = r.confirmation(p)
	}
	return v
}

// showConfirmation decides what a person sees who has not decided.
func (r *Record) showConfirmation(p *Policy, c *Call, look Lookup, now Time) Verdict {
	if gone, yes := r.Gone(p, now); yes {
		return r.lateFor(p, c, gone, look)
	}
	if r.Attended && c.Unattended && r.Call == nil {
		if !r.Fingerprint.IsZero() {
			return Verdict{Kind: Unattended}
		}
		return r.lateFor(p, c, Verdict{Kind: Gone, Closed: true}, look)
	}
	return Verdict{Kind: Shown, Confirmation: r.confirmation(p)}
}

// lateFor returns the verdict on a call that comes too late: a person may be sent elsewhere.
func (r *Record) lateFor(p *Policy, c *Call, gone Verdict, look Lookup) Verdict {
	if !c.Person || gone.Next != nil {
		return gone
	}
	if reply := p.redirectTo(p.RedirectLate, &p.late, c.Method, look); reply != nil {
		return Verdict{Kind: Returned, Reply: reply}
	}
	return gone
}

// choose notes which choice a call has made, if it is one of these.
func (c *Confirm) choose(call *Call) {
	value, err := call.judged().Read(inject.Location{In: inject.Form, Name: ChoiceField})
	if err != nil {
		return
	}
	if choice, ok := c.find(value.Text); ok {
		call.Choice = choice.Name
	}
}

// chosen returns what the choice means that a call has made.
func (c *Confirm) chosen(call *Call) (said, Fault) {
	choice, ok := c.find(call.Choice)
	switch {
	case !ok:
		return said{}, Fault{Slug: "no-choice", Detail: "The form field " + ChoiceField + " must be one of: " + c.names() + "."}
	case choice.Failed:
		return said{failure: &Failure{DocumentStatus: StatusFailed, ErrorCode: choice.Name, ErrorText: choice.Label}}, Fault{}
	}
	return said{}, Fault{}
}

func (c *Confirm) names() string {
	names := make([]string, len(c.Choices))
	for i, choice := range c.Choices {
		names[i] = choice.Name
	}
	return strings.Join(names, ", ")
}

// MadeBy notes who makes the call.
func (c *Call) MadeBy(who string) { c.By = cleaned(who) }

// TakesSuffix reports whether there is a URL of the callback with what came after the state. A
// person who decides has one URL for all choices.
func (p *Policy) TakesSuffix(suffix string) bool { return suffix == "" || p.Confirm == nil }

// sameChoice reports whether a call makes the choice that was made.
func (r *Record) sameChoice(p *Policy, c *Call) bool {
	return p.Confirm != nil && !c.byHand && c.Choice != "" && c.Choice == r.Call.Choice
}

// Leads returns where a person who has decided may be redirected to, as sources of a
// Content-Security-Policy; nil for nowhere else than to the page.
func (p *Policy) Leads() (sources []string) {
	if p.Ask != "" {
		// The app that is asked says where.
		sources = []string{"https:", "http:"}
	}
	for _, r := range p.redirects() {
		if r.target == &p.pageTarget {
			continue
		}
		if source := r.target.source(p); source != "" && !slices.Contains(sources, source) {
			sources = append(sources, source)
		}
	}
	return sources
}

// source returns where a redirect leads: an origin, or the scheme of an app.
func (t Target) source(p *Policy) string {
	text := t.literalStart()
	switch {
	case t.toPage:
		text = p.StatusURL
	case t.relative:
		text = p.BaseURL
	}
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Scheme == "":
		return ""
	case !isWeb(u.Scheme):
		return strings.ToLower(u.Scheme) + ":"
	}
	return strings.ToLower(u.Scheme) + "://" + u.Host
}
