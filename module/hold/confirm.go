package hold

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/config"
	"github.com/caddy-callback/caddy-callback/module/inject"
)

// Confirm lets a person decide: at the callback URL is a page with a button for each choice, and
// the call is the choice.
type Confirm struct {
	// Title is the heading of the page. It may hold placeholders of the request, and
	// {http.callback.request.body}, {http.callback.request.body.<path>} and
	// {http.callback.request.form.<name>} for what is in its body. They are replaced when the
	// callback is made. Default: Please decide.
	Title string `json:"title,omitempty"`

	// Text says what is to be decided, with placeholders as in Title. Default: nothing.
	Text string `json:"text,omitempty"`

	// Choices are what can be decided. At least one is required.
	Choices []Choice `json:"choices"`
}

// Choice is one of the ways in which a person can decide.
type Choice struct {
	// Name is the choice in the call, in the history and in {http.callback.call.choice}: at most
	// 64 letters, digits, underscores and hyphens.
	Name string `json:"name"`
	// Label is what stands on the button.
	Label string `json:"label"`
	// Failed says that the call means Failed. Default: false.
	Failed bool `json:"failed,omitempty"`
}

// Check makes sure that a person can decide. Errors begin with the option.
func (c *Confirm) Check() error {
	for _, text := range []struct{ option, text string }{{"title", c.Title}, {"text", c.Text}} {
		if err := checkQuestion(text.text); err != nil {
			return fmt.Errorf("%s: %w", text.option, err)
		}
	}
	return c.stored(func(text string) string { return text }).Check()
}

// CheckWhole is Check for what a further option could mend.
func (c *Confirm) CheckWhole() error {
	return c.stored(func(text string) string { return text }).CheckWhole()
}

// stored returns what the policy keeps.
func (c *Confirm) stored(expand func(string) string) *callback.Confirm {
	if c == nil {
		return nil
	}
	kept := &callback.Confirm{Title: expand(c.Title), Text: expand(c.Text)}
	for _, choice := range c.Choices {
		kept.Choices = append(kept.Choices, callback.Choice{Name: choice.Name, Label: expand(choice.Label), Failed: choice.Failed})
	}
	return kept
}

// requestPrefix begins the placeholders of what is in the request's body.
const requestPrefix = callback.PlaceholderPrefix + "request."

// requestPlaces are the placeholders of what is in the request's body, without their prefix. One
// that ends with a dot is followed by a path or a name.
var requestPlaces = []struct {
	name string
	in   inject.Place
}{{"body", ""}, {"body.", inject.JSON}, {"form.", inject.Form}}

// inBody returns the place in the request's body that a placeholder stands for; ok is false for
// any other placeholder. The place of the whole body is zero.
func inBody(key string) (at inject.Location, ok bool) {
	name, ours := strings.CutPrefix(key, requestPrefix)
	if !ours {
		return inject.Location{}, false
	}
	for _, place := range requestPlaces {
		if rest, found := strings.CutPrefix(name, place.name); found && (rest != "") == strings.HasSuffix(place.name, ".") {
			return inject.Location{In: place.in, Name: rest}, true
		}
	}
	return inject.Location{}, false
}

// checkQuestion makes sure that every placeholder has a value when the callback is made.
func checkQuestion(text string) error {
	for _, key := range config.NewValue(text).Keys() {
		at, ok := inBody(key)
		name, ours := strings.CutPrefix(key, callback.PlaceholderPrefix)
		_, earlier := callback.EarlierCall(name)
		switch {
		case ok && at.Name != "":
			if err := at.Validate(); err != nil {
				return fmt.Errorf("{%s}: %w", key, err)
			}
		case ok, ours && earlier:
		case ours:
			return fmt.Errorf("{%s} has no value before the callback is made; there are placeholders of the request, like {http.request.uri.path}, and {%sbody.<path>} and {%[2]sform.<name>} for what is in its body", key, requestPrefix)
		case key == "http.request.body" || key == "http.request.body_base64":
			return fmt.Errorf("{%s} is not there any more when the callback is made; write {%sbody}", key, requestPrefix)
		}
	}
	return nil
}

// asks are the texts of what a person is asked, compiled.
type asks struct {
	title, text config.Value
	// ofBody says that something in the request's body is in them, given that anything of the
	// request is.
	ofBody, given bool
}

// compileConfirm compiles what a person is asked. expand replaces the placeholders that are
// known when the configuration is loaded.
func (h *Handler) compileConfirm(expand func(string) string) {
	if h.Confirm == nil {
		return
	}
	h.asks = asks{title: config.NewValue(expand(h.Confirm.Title)), text: config.NewValue(expand(h.Confirm.Text))}
	for _, key := range slices.Concat(h.asks.title.Keys(), h.asks.text.Keys()) {
		_, ofBody := inBody(key)
		h.asks.ofBody, h.asks.given = h.asks.ofBody || ofBody, true
	}
}

// question returns what a person is asked about a request, nil if that does not depend on it.
func (x *exchange) question() *callback.Question {
	a := x.h.asks
	if !a.given {
		return nil
	}
	m := inject.Message{Header: x.r.Header, Query: x.r.URL.RawQuery, Body: x.request.own.Bytes(), Unpacked: x.request.unpacked}
	value := func(key string) (string, bool) {
		switch at, ok := inBody(key); {
		case ok && at.Name == "":
			return string(m.Body[:min(len(m.Body), callback.MaxAsked)]), true
		case ok:
			// What cannot be read is left out: the person sees that it is missing.
			text, _ := m.Get(at)
			return text, true
		}
		return x.request.repl.GetString(key)
	}
	return &callback.Question{Title: asked(a.title, value).Cut(callback.MaxTitle), Text: asked(a.text, value).Cut(callback.MaxAsked)}
}

// asked returns a text in pieces: what is written in the configuration and what was given, in
// turn.
func asked(v config.Value, get func(key string) (string, bool)) callback.Text {
	text := callback.Text{""}
	for piece, given := range v.Pieces(get) {
		if given == (len(text)%2 == 1) {
			text = append(text, piece)
		} else if given {
			text = append(text, "", piece)
		} else {
			text[len(text)-1] += piece
		}
	}
	return text
}

// checkConfirm makes sure that a person can decide.
func (h *Handler) checkConfirm() error {
	if h.Confirm == nil {
		return nil
	}
	switch {
	case h.Result != "" && h.Result != callback.ResultBody && h.Result != callback.ResultCall:
		return fmt.Errorf("confirm: a choice has no query; leave out result %s", h.Result)
	case h.ErrorCode != nil || h.ErrorText != nil:
		return errors.New("confirm: the choice says why it has failed; leave out error_code and error_text")
	}
	if h.mentions("failed_url") || h.Deliver != nil && h.Deliver.FailedFrom != nil {
		return errors.New("confirm: a person decides at one URL, so there is no {http.callback.failed_url} to inject, and none for failed_from of deliver; leave it out")
	}
	if err := h.Confirm.Check(); err != nil {
		return fmt.Errorf("confirm: %w", err)
	}
	return nil
}

// checkConfirmWhole is checkConfirm for what a further option could mend.
func (h *Handler) checkConfirmWhole() error {
	if err := h.Confirm.CheckWhole(); err != nil {
		return fmt.Errorf("confirm: %w", err)
	}
	return nil
}
