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

// Dialect configures what a call must contain and what it means.
type Dialect struct {
	// Require lists the headers that every call must have: "correlation_id", "status"
	// or both. Other calls are refused. Default: none.
	Require []string `json:"require,omitempty"`

	// Failed matches calls that mean Failed, in addition to calls with Failed in the
	// status header and calls to /cb/{state}/failed. One match is enough. Default: none.
	Failed []Match `json:"failed,omitempty"`

	// Progress matches calls that are not the answer yet. Such a call gets the reply
	// and is stored as the latest progress; it changes nothing else. One match is
	// enough. Default: none.
	Progress []Match `json:"progress,omitempty"`

	// Succeeded matches calls that mean success. If it is given, a call that does not match
	// means Failed, or, if failed is given, too, is not the answer yet. One match is enough.
	// Default: what is neither failed nor progress is a success.
	Succeeded []Match `json:"succeeded,omitempty"`

	// Result says what of the call is the result: "body", "query" for its query as a JSON
	// object, or "call" for a JSON object with method, query, headers and body. Default:
	// body, and of a call that has a query and no body, the query.
	Result string `json:"result,omitempty"`

	// OnConflict says what another call gets after the one that was accepted: "reject" for
	// 409, or "ignore" for the first reply again. Default: reject.
	OnConflict string `json:"on_conflict,omitempty"`

	// ErrorCode is the place in a failed call that holds its error code. Default: the
	// header X-Link-Error-Code, with the prefix of header_prefix.
	ErrorCode *inject.Location `json:"error_code,omitempty"`

	// ErrorText is the place in a failed call that holds its error text. Default: the
	// header X-Link-Error-Text, with the prefix of header_prefix.
	ErrorText *inject.Location `json:"error_text,omitempty"`

	// DocumentStatuses lists the known document statuses. An unknown one becomes the
	// technical status, and the document status is then Failed. Default: none is known.
	DocumentStatuses []string `json:"document_statuses,omitempty"`

	// FailedStatus is the status of the answer to a failed callback. Default: 424.
	FailedStatus int `json:"failed_status,omitempty"`

	// FailedBody answers a failed callback with the body of the call, in place of a
	// problem document. Default: false.
	FailedBody bool `json:"failed_body,omitempty"`

	// Retryable says whether a call that is refused for its content can be made
	// again. If it is false, such a call ends the callback as failed. Default: true.
	Retryable *bool `json:"retryable,omitempty"`

	// Multiple accepts further calls after the first, until the callback expires or is
	// closed. The last one is the result; a held client gets the first. Default: false.
	Multiple bool `json:"multiple,omitempty"`

	// Keys lists the names of the keys that allow a call; a call needs one of them.
	// "include" makes a key for each callback and puts it into the callback URL.
	// Default: no key is needed, the URL is enough.
	Keys []string `json:"keys,omitempty"`
}

// Match recognizes calls, or acks, by a value in them.
type Match struct {
	inject.Location
	// Values lists the values that match: exact ones, or classes of numbers like 4xx.
	// Default: any value that is there, which is neither empty nor, in JSON, null, false,
	// [] or {}.
	Values []string `json:"values,omitempty"`
}

const (
	onConflictIgnore = "ignore"

	requireCorrelationID = "correlation_id"
	requireStatus        = "status"
)

// apply puts the dialect into a policy.
func (d *Dialect) apply(p *callback.Policy) {
	p.RequireCorrelationID = slices.Contains(d.Require, requireCorrelationID)
	p.RequireStatus = slices.Contains(d.Require, requireStatus)
	p.Failed, p.Progress, p.Succeeded = matchesOf(d.Failed), matchesOf(d.Progress), matchesOf(d.Succeeded)
	p.Result = d.Result
	p.IgnoreConflicts = d.OnConflict == onConflictIgnore
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
	if h.OnConflict != "" && h.OnConflict != "reject" && h.OnConflict != onConflictIgnore {
		return fmt.Errorf("on_conflict: %q is not known; write reject or ignore", h.OnConflict)
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

// checkOwnKey makes sure that the callback has a key if a placeholder refers to it. It is
// called when all options are read, because key include may be the last.
func (h *Handler) checkOwnKey() error {
	if h.mentions("api_key") && !slices.Contains(h.Keys, app.KeyInclude) {
		return errors.New("there is no {http.callback.api_key} without key include; add that option or remove the placeholder")
	}
	return nil
}

// mentions reports whether an injected value or the reply holds the placeholder
// {http.callback.<placeholder>}.
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
	for _, r := range h.redirects() {
		texts = append(texts, r.to.URL)
	}
	return slices.ContainsFunc(texts, func(text string) bool { return strings.Contains(text, placeholder) })
}
