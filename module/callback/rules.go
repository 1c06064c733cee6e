package callback

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"golang.org/x/net/http/httpguts"

	"github.com/caddy-callback/caddy-callback/module/inject"
)

// Unfit says which part of a policy or of a reply is not valid, and why.
type Unfit struct {
	// Option is the option of the directive, or the field of the API.
	Option string
	Err    error
}

// Error implements error.
func (u *Unfit) Error() string { return u.Option + ": " + u.Err.Error() }

// Unwrap returns the reason.
func (u *Unfit) Unwrap() error { return u.Err }

// unfit adds to an error which option it is about; nil for nil.
func unfit(option string, err error) error {
	if err == nil {
		return nil
	}
	return &Unfit{Option: option, Err: err}
}

// Check makes sure that a policy is valid as it was given, before Compile sets its
// defaults. The error is an *Unfit that names the directive's option. Placeholders in
// texts are not checked.
func (p *Policy) Check() error {
	return cmp.Or(
		unfit("state_query", p.checkStateQuery()),
		unfit("methods", p.checkMethods()),
		unfit("respond", p.checkRespond()),
		p.checkRedirects(),
		unfit("methods", p.checkReturn()),
		unfit("header", p.checkReplyHeader()),
		unfit("copy_headers", p.checkCopyHeaders()),
		unfit("failed", checkMatches(p.Failed)),
		unfit("progress", checkMatches(p.Progress)),
		unfit("succeeded", p.checkSucceeded()),
		unfit("result", p.checkResult()),
		unfit("on_conflict", p.checkConflicts()),
		unfit("error_code", checkOptional(p.ErrorCode)),
		unfit("error_text", checkOptional(p.ErrorText)),
		unfit("document_statuses", p.checkDocumentStatuses()),
		unfit("failed_status", p.checkFailedStatus()),
		unfit("key", p.checkOwnKey()),
		unfit("page", p.Page.Check()),
		unfit("confirm", p.checkConfirm()),
	)
}

func (p *Policy) checkStateQuery() error {
	switch {
	case p.StateQuery == "":
		return nil
	case !queryName.MatchString(p.StateQuery):
		return fmt.Errorf("%q must be at most 64 letters, digits and . _ ~ - with no dot at the beginning", p.StateQuery)
	case p.StateQuery == KeyParameter:
		return fmt.Errorf("%s is the parameter that carries keys; choose another name", KeyParameter)
	}
	return nil
}

func (p *Policy) checkMethods() error {
	for i, m := range p.Methods {
		if !slices.Contains(CallMethods, m) {
			return fmt.Errorf("%q can never be a call; the methods are %s", m, strings.Join(CallMethods, " "))
		}
		if slices.Contains(p.Methods[:i], m) {
			return fmt.Errorf("%s is given twice; leave one of the two out", m)
		}
	}
	return nil
}

// checkReturn makes sure that a GET is not both a person's return and a call.
func (p *Policy) checkReturn() error {
	if p.redirectsPeople() && slices.Contains(p.Methods, http.MethodGet) {
		return errors.New("with both respond and redir a GET is a person's return and never a call; leave GET out")
	}
	return nil
}

// checkStatus makes sure that a call can be answered with a status; 0 stands for the
// default.
func checkStatus(status int) error {
	if status != 0 && (status < 200 || status > 599) {
		return fmt.Errorf("%d is not a status that can be answered; write one from 200 to 599", status)
	}
	return nil
}

// StatusHasBody reports whether an answer with that status can have a body.
func StatusHasBody(status int) bool {
	return status != http.StatusNoContent && status != http.StatusNotModified
}

// checkBody makes sure that an answer with that status can have a body.
func checkBody(status int, body string) error {
	if body != "" && !StatusHasBody(status) {
		return fmt.Errorf("an answer with status %d has no body; leave the body out or choose another status", status)
	}
	return nil
}

func (p *Policy) checkRespond() error {
	if p.Respond == nil {
		return nil
	}
	if err := checkStatus(p.Respond.Status); err != nil {
		return err
	}
	return checkBody(p.Respond.Status, p.Respond.Body)
}

var redirectStatuses = []int{0, http.StatusMovedPermanently, http.StatusFound, http.StatusSeeOther, http.StatusTemporaryRedirect, http.StatusPermanentRedirect}

func (p *Policy) checkRedirects() error {
	for _, r := range p.redirects() {
		if err := unfit(r.option, p.checkRedirect(r)); err != nil {
			return err
		}
	}
	return nil
}

func (p *Policy) checkRedirect(r redirection) error {
	if r.to.URL == ToPage && r.target == &p.pageTarget {
		return errors.New("it leads to the page itself; name one of your own pages")
	}
	_, err := NewTarget(r.to.URL)
	_, badName := ASCIIURL(r.to.URL)
	switch {
	case err != nil:
		return err
	case badName != nil:
		return badName
	case LeadsBack(r.to.URL, p.BaseURL):
		return fmt.Errorf("%s leads back to callback_server, which has no page for people there; name one of your own pages", r.to.URL)
	case !slices.Contains(redirectStatuses, r.to.Status):
		return fmt.Errorf("%d is not the status of a redirect; write 301, 302, 303, 307 or 308", r.to.Status)
	}
	return nil
}

// checkLine makes sure that a header line can be set in a message.
func checkLine(name, value string) error {
	switch {
	case !httpguts.ValidHeaderFieldName(name):
		return fmt.Errorf("%q is not the name of a header", name)
	case isOneOf(connectionHeaders, name):
		return fmt.Errorf("%s belongs to the connection and cannot be set", name)
	case !httpguts.ValidHeaderFieldValue(value):
		return fmt.Errorf("the value of %s has a character that no header can hold, such as a line break", name)
	}
	return nil
}

// isOneOf reports whether a header is in a list of canonical names.
func isOneOf(names []string, header string) bool {
	return slices.Contains(names, http.CanonicalHeaderKey(header))
}

func (p *Policy) checkReplyHeader() error {
	for _, f := range p.ReplyHeader {
		err := checkLine(f.Name, f.Value)
		switch {
		case strings.HasPrefix(f.Name, "+") || strings.HasPrefix(f.Name, "-"):
			return fmt.Errorf("%q begins with a sign; headers can only be added here, so write the name alone", f.Name)
		case err != nil:
			return err
		case f.Value == "":
			return fmt.Errorf("the value of %s is empty; an environment variable that is not set is empty, too", f.Name)
		case p.Redirect != nil && isOneOf([]string{"Location"}, f.Name):
			return fmt.Errorf("%s is what redir sets; leave one of the two out", http.CanonicalHeaderKey(f.Name))
		}
	}
	return nil
}

func (p *Policy) checkCopyHeaders() error {
	for _, name := range p.CopyHeaders {
		if !httpguts.ValidHeaderFieldName(name) {
			return fmt.Errorf("%q is not the name of a header", name)
		}
		if isOneOf(connectionHeaders, name) || isOneOf(credentialHeaders, name) {
			return fmt.Errorf("%s belongs to the connection or carries credentials, and is never copied", name)
		}
	}
	return nil
}

// CheckLocation makes sure that a call can have the location, and that the value there
// is stored with the call.
func CheckLocation(at inject.Location) error {
	if err := at.Validate(); err != nil {
		return fmt.Errorf("%w; choose another place or name", err)
	}
	if at.In == inject.Header && (isOneOf(credentialHeaders, at.Name) || isOneOf(connectionHeaders, at.Name)) {
		return fmt.Errorf("header %s carries credentials, and is not kept of a call; choose another place or name", at.Name)
	}
	return nil
}

func checkOptional(at *inject.Location) error {
	if at == nil {
		return nil
	}
	return CheckLocation(*at)
}

func checkMatches(all []Match) error {
	for _, m := range all {
		if err := CheckLocation(m.Location); err != nil {
			return err
		}
		for _, pattern := range m.Values {
			if err := inject.CheckPattern(pattern); err != nil {
				return fmt.Errorf("%s: %w", m.Location, err)
			}
		}
	}
	return nil
}

// checkSucceeded makes sure that each line says which values are good: that something is
// there is no success.
func (p *Policy) checkSucceeded() error {
	for _, m := range p.Succeeded {
		if len(m.Values) == 0 {
			return fmt.Errorf("%s has no value that means success; add one", m.Location)
		}
	}
	return checkMatches(p.Succeeded)
}

// checkConfirm makes sure that nothing but the choice says what a call means.
func (p *Policy) checkConfirm() error {
	if p.Confirm == nil {
		return nil
	}
	for _, other := range []struct {
		option string
		given  bool
	}{
		{"failed", p.Failed != nil}, {"succeeded", p.Succeeded != nil}, {"progress", p.Progress != nil}, {"methods", p.Methods != nil},
		{"multiple", p.Multiple}, {"on_conflict", p.IgnoreConflicts}, {"retryable", p.Once}, {"require", p.RequireStatus || p.RequireCorrelationID},
	} {
		if other.given {
			return fmt.Errorf("a call is the choice that a person makes, once, by POST, and nothing else says what it means; leave out %s", other.option)
		}
	}
	return p.Confirm.Check()
}

func (p *Policy) checkResult() error {
	if p.Result != "" && !slices.Contains(results, p.Result) {
		return fmt.Errorf("%q is not known; write %s", p.Result, strings.Join(results, ", "))
	}
	return nil
}

func (p *Policy) checkConflicts() error {
	if p.IgnoreConflicts && p.Multiple {
		return errors.New("with multiple on each call is accepted, so there is no conflict; leave one of the two out")
	}
	return nil
}

func (p *Policy) checkDocumentStatuses() error {
	if slices.Contains(p.DocumentStatuses, "") {
		return errors.New("one of them is empty, which is what an absent one is, too; remove it")
	}
	return nil
}

func (p *Policy) checkFailedStatus() error {
	if s := p.FailedStatus; s != 0 && (s < 400 || s > 599) {
		return fmt.Errorf("%d does not say that something failed; write a status from 400 to 599", s)
	}
	return nil
}

func (p *Policy) checkOwnKey() error {
	if p.OwnKey && p.StateQuery != "" {
		return errors.New("a callback URL that is registered in advance cannot hold a key for each callback; leave out key include or state_query")
	}
	return nil
}

// Check makes sure that a reply of that type can be sent. Fields that do not count for
// the type are not checked. The error is an *Unfit that names the API's field.
func (f *Fields) Check() error {
	err := cmp.Or(unfit("responseType", f.checkType()), unfit("responseHeaders", f.checkHeader()))
	if f.Type == TypeRedirect {
		return cmp.Or(err, unfit("responseRedirectUrl", f.checkRedirectURL()))
	}
	return cmp.Or(err, unfit("responseCode", checkStatus(f.Code)), unfit("responseBody", f.checkBody()))
}

// CheckAll is Check for both types, because the app that is asked can change the type
// of the reply. A redirect is checked only if the type or a redirect URL asks for one.
func (f *Fields) CheckAll() error {
	if err := f.Check(); err != nil {
		return err
	}
	other := *f
	switch {
	case f.Type == TypeRedirect:
		other.Type = TypeResponse
	case f.RedirectURL != "":
		other.Type = TypeRedirect
	}
	return other.Check()
}

// CheckPassive makes sure that no header acts on more than the reply.
func (f *Fields) CheckPassive() error {
	for _, line := range f.Header {
		if IsSiteWide(line.Name) {
			return unfit("responseHeaders", fmt.Errorf("%s acts on the whole site, which callers of this API may not do; leave it out, or have the server say: callback_server { active_content on }", line.Name))
		}
	}
	return nil
}

func (f *Fields) checkType() error {
	if f.Type != TypeResponse && f.Type != TypeRedirect {
		return fmt.Errorf("it must be %s or %s", TypeResponse, TypeRedirect)
	}
	return nil
}

func (f *Fields) checkRedirectURL() error {
	if f.RedirectURL == "" {
		return errors.New("a redirect needs it")
	}
	return CheckRedirectURL(f.RedirectURL)
}

func (f *Fields) checkBody() error {
	if len(f.Body) > maxReply {
		return errors.New("it is longer than 64 KiB")
	}
	return checkBody(f.Code, f.Body)
}

func (f *Fields) checkHeader() error {
	for _, line := range f.Header {
		if err := checkLine(line.Name, line.Value); err != nil {
			return err
		}
		if isOneOf([]string{"Location", "Refresh"}, line.Name) {
			return fmt.Errorf("%s would redirect the caller; give a redirect URL instead", line.Name)
		}
	}
	return nil
}

// maxCorrelationID bounds a correlation id that comes from outside, in bytes.
const maxCorrelationID = 256

// ValidCorrelationID reports whether a text can be a correlation id, which stands in a
// header: printable ASCII, with no space at either end, and at most 256 bytes.
func ValidCorrelationID(id string) bool {
	printable := !strings.ContainsFunc(id, func(r rune) bool { return r < ' ' || r > '~' })
	return id != "" && len(id) <= maxCorrelationID && printable && strings.TrimSpace(id) == id
}
