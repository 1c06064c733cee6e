package hold

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/caddy-callback/caddy-callback/module/app"
	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/config"
	"github.com/caddy-callback/caddy-callback/module/inject"
)

// Dialect says what calls must have, and what they mean.
type Dialect struct {
	// Require refuses calls without the headers that say so: "correlation_id",
	// "status" or both.
	Require []string `json:"require,omitempty"`

	// Failed tells calls that mean Failed, beside those that say so in the status
	// header or come to /cb/{state}/failed.
	Failed []Match `json:"failed,omitempty"`

	// Progress tells calls that are not the answer yet. They are answered and
	// kept as the latest, and change nothing else.
	Progress []Match `json:"progress,omitempty"`

	// ErrorCode is where a failed call has its error code. Default: the wire header.
	ErrorCode *inject.Location `json:"error_code,omitempty"`

	// ErrorText is where a failed call has its error text. Default: the wire header.
	ErrorText *inject.Location `json:"error_text,omitempty"`

	// DocumentStatuses are the document statuses that are known. Another one
	// becomes the technical status, and the document status is then Failed.
	DocumentStatuses []string `json:"document_statuses,omitempty"`

	// FailedStatus is the status of the answer to a failed callback. Default: 424.
	FailedStatus int `json:"failed_status,omitempty"`

	// FailedBody makes the call's own body that answer's, in place of a problem
	// document. Default: false.
	FailedBody bool `json:"failed_body,omitempty"`

	// Retryable says whether a call that is refused for its content can be made
	// again. If it is false, such a call ends the callback as failed. Default: true.
	Retryable *bool `json:"retryable,omitempty"`

	// Multiple goes on accepting calls after the first, until the callback
	// expires or is closed. The last one is the result; a held client gets the
	// first. Default: false.
	Multiple bool `json:"multiple,omitempty"`

	// Keys are the names of the keys of which a call needs one. "include" makes a
	// key for each callback and puts it into the callback URL. Default: whoever
	// has the URL may call.
	Keys []string `json:"keys,omitempty"`
}

// Match tells calls by a value in them.
type Match struct {
	inject.Location
	// Values are those that match.
	Values []string `json:"values"`
}

const (
	requireCorrelationID = "correlation_id"
	requireStatus        = "status"
)

// apply puts the dialect into a policy.
func (d *Dialect) apply(p *callback.Policy) {
	p.RequireCorrelationID = slices.Contains(d.Require, requireCorrelationID)
	p.RequireStatus = slices.Contains(d.Require, requireStatus)
	p.Failed, p.Progress = matchesOf(d.Failed), matchesOf(d.Progress)
	p.ErrorCode, p.ErrorText = d.ErrorCode, d.ErrorText
	p.DocumentStatuses = d.DocumentStatuses
	p.FailedStatus = d.FailedStatus
	p.FailedBody = d.FailedBody
	p.Once = d.Retryable != nil && !*d.Retryable
	p.Multiple = d.Multiple
	for _, name := range d.Keys {
		if name == app.KeyInclude {
			p.OwnKey = true
		} else {
			p.Keys = append(p.Keys, name)
		}
	}
}

func matchesOf(all []Match) []callback.Match {
	var out []callback.Match
	for _, m := range all {
		out = append(out, callback.Match{Location: m.Location, Values: m.Values})
	}
	return out
}

func (h *Handler) checkDialect() error {
	for _, what := range h.Require {
		if what != requireCorrelationID && what != requireStatus {
			return fmt.Errorf("require: %q is not known; write correlation_id, status or both", what)
		}
	}
	return h.checkKeyNames()
}

func (h *Handler) checkKeyNames() error {
	for i, name := range h.Keys {
		switch {
		case slices.Contains(h.Keys[:i], name):
			return fmt.Errorf("key: %s is given twice; leave one of the two out", name)
		case !config.IsName(name):
			return fmt.Errorf("key: %q cannot be the name of a key", name)
		}
	}
	return nil
}

// checkOwnKey makes sure that there is a key where one is named. Until all options
// are read, key include may still come.
func (h *Handler) checkOwnKey() error {
	if h.mentions("api_key") && !slices.Contains(h.Keys, app.KeyInclude) {
		return errors.New("there is no {http.callback.api_key} without key include; add that option or remove the placeholder")
	}
	return nil
}

// mentions reports whether an injected value or the reply holds a placeholder of the
// callback's.
func (h *Handler) mentions(placeholder string) bool {
	placeholder = "{" + callback.PlaceholderPrefix + placeholder + "}"
	var texts []string
	for _, i := range h.Inject {
		texts = append(texts, i.Value)
	}
	for _, values := range h.ReplyHeaders {
		texts = append(texts, values...)
	}
	if h.Respond != nil {
		texts = append(texts, h.Respond.Body)
	}
	if h.Redirect != nil {
		texts = append(texts, h.Redirect.URL)
	}
	return slices.ContainsFunc(texts, func(text string) bool { return strings.Contains(text, placeholder) })
}
