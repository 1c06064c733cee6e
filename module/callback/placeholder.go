package callback

import (
	"cmp"
	"net/http"
	"slices"
	"strings"

	"github.com/caddy-callback/caddy-callback/module/inject"
)

// Issued is a callback with all that is needed to build its URLs.
type Issued struct {
	*Record
	Policy *Policy
	// Secret is the one of the store's from which state, ticket and key were derived; nil
	// if it is not known any more.
	Secret *Secret
}

// SecretGone reports whether nothing can be derived for the callback any more: state, ticket,
// key and all URLs are empty.
func (i Issued) SecretGone() bool { return i.Secret == nil }

// State returns the secret that is in the callback URL.
func (i Issued) State() UUID {
	if i.SecretGone() {
		return UUID{}
	}
	return i.Secret.State(i.ID)
}

// URL returns the callback URL, with the callback's own key if it has one.
func (i Issued) URL() string { return i.withKey(i.urlWithoutKey()) }

func (i Issued) urlWithoutKey() string {
	if i.SecretGone() {
		return ""
	}
	return callbackURL(i.baseURL(i.Policy), i.StateQuery(i.Policy), i.State())
}

// RedirectURI returns the callback URL without its query: what is registered with the
// partner in advance, if the state is in the query.
func (i Issued) RedirectURI() string {
	uri, _, _ := strings.Cut(i.urlWithoutKey(), "?")
	return uri
}

// FailedURL returns the URL for calls that mean Failed whatever their content. It is
// empty if the state is in the query, or a person decides.
func (i Issued) FailedURL() string {
	if i.StateQuery(i.Policy) != "" || !i.Policy.TakesSuffix(SuffixFailed) || i.SecretGone() {
		return ""
	}
	return i.withKey(i.urlWithoutKey() + "/" + SuffixFailed)
}

// Key returns the key that was made for the callback, empty if none was.
func (i Issued) Key() string {
	if !i.Policy.OwnKey || i.SecretGone() {
		return ""
	}
	return i.Secret.Key(i.ID)
}

func (i Issued) withKey(url string) string {
	if !i.Policy.OwnKey || i.SecretGone() {
		return url
	}
	return url + "?" + KeyParameter + "=" + i.Key()
}

// StatusURL returns the URL of the callback's status.
func (i Issued) StatusURL() string {
	if i.SecretGone() {
		return ""
	}
	return statusURL(cmp.Or(i.Policy.StatusURL, i.baseURL(i.Policy)), i.Secret.Ticket(i.ID))
}

// ResultURL returns the URL of the callback's result.
func (i Issued) ResultURL() string {
	if i.SecretGone() {
		return ""
	}
	return i.StatusURL() + "/" + suffixResult
}

// Proof returns what shows that a client, who is known by that, was told of the callback. It is
// zero if it cannot be derived any more.
func (i Issued) Proof(client string) UUID {
	if i.SecretGone() {
		return UUID{}
	}
	return i.Secret.Proof(i.ID, client)
}

// ownPlaceholders are the placeholders {http.callback.<name>} that do not depend on a
// call. Messages list them in this order.
var ownPlaceholders = []struct {
	name  string
	value func(Issued) string
	// derived says that the value depends on the callback's secret.
	derived bool
}{
	{"id", func(i Issued) string { return i.ID.String() }, false},
	{"correlation_id", func(i Issued) string { return i.CorrelationID }, false},
	{"url", Issued.URL, true},
	{"redirect_uri", Issued.RedirectURI, true},
	{"state", Issued.stateText, true},
	{"failed_url", Issued.FailedURL, true},
	{"status_url", Issued.StatusURL, true},
	{"result_url", Issued.ResultURL, true},
	{"api_key", Issued.Key, true},
}

func (i Issued) stateText() string {
	if i.SecretGone() {
		return ""
	}
	return i.State().String()
}

// callPlaceholders are the placeholders {http.callback.<name>} that depend on a call. A
// name that ends with a dot is a prefix: what follows it names a value of the call.
var callPlaceholders = []struct {
	name  string
	value func(c *Call, rest string) string
}{
	{"call.choice", func(c *Call, _ string) string { return c.Choice }},
	{"call.by", func(c *Call, _ string) string { return c.By }},
	{"call.method", func(c *Call, _ string) string { return c.Method }},
	{"call.body", func(c *Call, _ string) string { return string(c.Body.Data) }},
	{"call.body.", func(c *Call, path string) string { return c.text(inject.JSON, path) }},
	{"call.header.", func(c *Call, name string) string { return c.text(inject.Header, name) }},
	{"call.query.", func(c *Call, name string) string { return c.text(inject.Query, name) }},
	{"call.form.", func(c *Call, name string) string { return c.text(inject.Form, name) }},
}

// errorPlaceholders are the placeholders {http.callback.error.<name>} that describe an error
// to the site's own error handlers.
var errorPlaceholders = []string{
	"type", "title", "status", "detail", "id", "correlation_id", "status_url", "result_url",
	"document_status", "technical_status", "error_code", "error_text", "field",
}

// text returns a value of the call for a text, which does without what cannot be read.
func (c *Call) text(in inject.Place, name string) string {
	value, _ := c.Value(inject.Location{In: in, Name: name})
	return value
}

// Placeholder returns the value of the placeholder {http.callback.<name>} if it does
// not depend on a call.
func (i Issued) Placeholder(name string) (value string, ok bool) {
	for _, p := range ownPlaceholders {
		if p.name == name {
			return p.value(i), true
		}
	}
	return "", false
}

// Placeholder returns the value of the placeholder {http.callback.<name>} if it
// depends on the call: call.choice, call.by, call.method, call.body, call.body.<JSON path>,
// call.header.<name>, call.query.<name> and call.form.<name>.
func (c *Call) Placeholder(name string) (value string, ok bool) {
	for _, p := range callPlaceholders {
		if rest, found := strings.CutPrefix(name, p.name); found && (rest != "") == strings.HasSuffix(p.name, ".") {
			return p.value(c, rest), true
		}
	}
	return "", false
}

// derived reports whether the value of a placeholder depends on the callback's secret.
func derived(name string) bool {
	for _, p := range ownPlaceholders {
		if p.name == name {
			return p.derived
		}
	}
	return false
}

// Lookup returns the values of all placeholders that a reply to the call can hold. It notes
// in missed, unless that is nil, that a value was needed which cannot be derived any more.
func (i Issued) Lookup(c *Call, missed *bool) Lookup {
	return func(name string) string {
		if missed != nil && i.SecretGone() && derived(name) {
			*missed = true
		}
		if value, ok := i.Placeholder(name); ok {
			return value
		}
		value, _ := c.Placeholder(name)
		return value
	}
}

// Value returns the first value at a location of the call, "" if there is none. Its
// errors are those of inject.Message.
func (c *Call) Value(at inject.Location) (string, error) {
	m := c.message()
	return m.Get(at)
}

// message returns the call as a message that values can be read from.
func (c *Call) message() inject.Message {
	return c.messageOf(c.Header, c.Query)
}

// judged returns the call as a message by which it is judged.
func (c *Call) judged() *inject.Message {
	m := c.messageOf(c.whole())
	return &m
}

func (c *Call) messageOf(lines Header, query string) inject.Message {
	header := make(http.Header, len(lines))
	lines.AddTo(header)
	return inject.Message{Header: header, Query: query, Body: c.Body.Data, Unpacked: c.Unpacked}
}

// PlaceholderNames returns the names of the placeholders that do not depend on a call,
// without their prefix.
func PlaceholderNames() []string {
	names := make([]string, len(ownPlaceholders))
	for i, p := range ownPlaceholders {
		names[i] = p.name
	}
	return names
}

// KnownPlaceholders returns the names of all placeholders without their prefix, except those
// of the calls of earlier steps. What ends with a dot is followed by a name or a path.
func KnownPlaceholders() []string {
	names := PlaceholderNames()
	for _, p := range callPlaceholders {
		names = append(names, p.name)
	}
	for _, name := range errorPlaceholders {
		names = append(names, errorPrefix+name)
	}
	return names
}

// errorPrefix begins the names of the placeholders that describe an error.
const errorPrefix = "error."

// OfCall reports whether a placeholder depends on the latest call.
func OfCall(name string) bool {
	_, ok := new(Call).Placeholder(name)
	return ok
}

// OfError reports whether a placeholder describes an error.
func OfError(name string) bool {
	rest, ok := strings.CutPrefix(name, errorPrefix)
	return ok && slices.Contains(errorPlaceholders, rest)
}

// HidesPlaceholder reports whether a directive cannot have that name. Placeholders
// {http.callback.<name>...} of an earlier call begin with the directive's name, which
// must not be the beginning of another placeholder.
func HidesPlaceholder(name string) bool {
	return name == "call" || name == "error" || slices.Contains(PlaceholderNames(), name)
}

// InReply reports whether a reply to a call can use {http.callback.<name>}.
func InReply(name string) bool {
	return slices.Contains(PlaceholderNames(), name) || OfCall(name)
}

// EarlierCall returns the name of the directive whose call a placeholder is about:
// {http.callback.<directive>.call.*}. For any other placeholder ok is false.
func EarlierCall(name string) (directive string, ok bool) {
	directive, rest, _ := strings.Cut(name, ".")
	return directive, directive != "" && directive != "call" && OfCall(rest)
}
