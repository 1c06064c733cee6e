package hold

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/config"
	"github.com/caddy-callback/caddy-callback/module/inject"
)

// maxTimeout is the longest timeout of a hold. Ten times as long still fits into a
// time.Duration.
const maxTimeout = 365 * 24 * time.Hour

// Check makes sure that the configuration makes sense on its own. It is called
// while a Caddyfile is parsed and again in Provision. Errors begin with the
// Caddyfile's word for the option.
func (h *Handler) Check() error {
	if err := h.CheckOptions(); err != nil {
		return err
	}
	if h.BaseURL == "" {
		return errors.New("no base_url is given: name the URL under which partners reach callback_server, in the global callback option or here")
	}
	for _, check := range []func() error{h.checkOwnKey, h.checkBlocks, h.checkCopies, h.checkRedirects, h.checkPageWhole, h.checkConfirmWhole, h.checkPoll, h.checkFetch, h.checkDeliveryHeaders, h.checkProgress} {
		if err := check(); err != nil {
			return err
		}
	}
	return h.checkDefaultHeaders()
}

// CheckOptions makes sure that the options given so far make sense, each one and
// together. It refuses only what no further option can correct: while a Caddyfile is
// parsed, it is called after each option, so that the error can name the line.
func (h *Handler) CheckOptions() error {
	if !slices.Contains([]string{modeHold, modePark, modeDefer}, h.Mode) {
		return fmt.Errorf("there is no mode %q; the modes are hold, park and defer", h.Mode)
	}
	for _, check := range []func() error{
		h.checkTimes, h.checkWords, h.checkIdempotency, h.checkPolicy, h.checkStateQuery, h.checkInjections, h.checkCalls,
		h.checkReplyTexts, h.checkCopyHeaders, h.checkDialect, h.checkOnly, h.checkAnswer,
		h.checkMode, h.checkStep, h.checkPage, h.checkConfirm, h.checkCorrelation, h.checkAsk, h.checkDelivery,
	} {
		if err := check(); err != nil {
			return err
		}
	}
	return nil
}

func (h *Handler) checkTimes() error {
	timeout := cmp.Or(time.Duration(h.Timeout), DefaultTimeout)
	if h.isStep() && time.Duration(h.ExpiresIn) > timeout {
		return fmt.Errorf("expires_in (%s) is longer than the timeout (%s), and %s", time.Duration(h.ExpiresIn), timeout, endsWithClient)
	}
	switch {
	case h.AttemptTimeout != 0 && time.Duration(h.AttemptTimeout) < time.Millisecond:
		return fmt.Errorf("attempt_timeout (%s) must be at least a millisecond", time.Duration(h.AttemptTimeout))
	case timeout < time.Millisecond:
		return fmt.Errorf("the timeout (%s) must be at least a millisecond", timeout)
	case timeout > maxTimeout:
		return errors.New("the timeout is longer than a year; no connection lasts that long, so give a shorter one")
	case h.Mode == modeHold && h.ExpiresIn != 0 && time.Duration(h.ExpiresIn) < timeout:
		return fmt.Errorf("expires_in (%s) is shorter than the timeout (%s): the client would wait for calls that are not accepted any more; raise the one or lower the other",
			time.Duration(h.ExpiresIn), timeout)
	}
	return nil
}

func (h *Handler) checkWords() error {
	if callback.HidesPlaceholder(h.Name) {
		return fmt.Errorf("name: %s would hide the placeholder {http.callback.%s}; choose another name", h.Name, h.Name)
	}
	if h.Name != "" && !config.IsName(h.Name) {
		return fmt.Errorf("name: %q must be at most 64 letters, digits, underscores and hyphens", h.Name)
	}
	for _, word := range []struct {
		option, given string
		known         []string
	}{
		{"on_timeout", h.OnTimeout, []string{onTimeoutFail, onTimeoutPark, onTimeoutRedirect}},
		{"on_disconnect", h.OnDisconnect, []string{"keep", "close"}},
		{"errors", h.Errors, []string{"problem", "caddy"}},
	} {
		if last := len(word.known) - 1; word.given != "" && !slices.Contains(word.known, word.given) {
			return fmt.Errorf("%s: %q is not known; write %s or %s", word.option, word.given, strings.Join(word.known[:last], ", "), word.known[last])
		}
	}
	if h.HeaderPrefix != "" {
		if err := config.CheckPrefix(h.HeaderPrefix); err != nil {
			return fmt.Errorf("header_prefix: %w", err)
		}
	}
	return nil
}

// requestPlaceholder matches one placeholder of the request.
var requestPlaceholder = regexp.MustCompile(`^\{http\.[^{}\s]+\}$`)

func (h *Handler) checkIdempotency() error {
	scope := h.IdempotencyScope
	switch {
	case scope == "":
		return nil
	case !requestPlaceholder.MatchString(scope):
		return fmt.Errorf("idempotency_scope: %q is not one placeholder of the request; write one like {http.request.header.X-Tenant} or {http.auth.user.id}", scope)
	case strings.HasPrefix(scope, "{"+callback.PlaceholderPrefix):
		return fmt.Errorf("idempotency_scope: %s is known only when the callback is made; write a placeholder of the request, like {http.request.header.X-Tenant}", scope)
	case h.Idempotency != nil && !*h.Idempotency:
		return errors.New("idempotency_scope: it says whose an Idempotency-Key is, and with idempotency off there is none; leave one of the two out")
	}
	return nil
}

// checkURLs makes sure that the URLs are usable. It is not called while a Caddyfile is
// parsed, because their placeholders are not replaced then.
func (h *Handler) checkURLs() error { return config.CheckBases(h.BaseURL, h.StatusURL) }

func (h *Handler) checkStateQuery() error {
	switch {
	case h.StateQuery == "":
		return nil
	case h.mentions("failed_url"):
		return errors.New("state_query: with the state in the query there is no {http.callback.failed_url}; leave one of the two out")
	case h.Mode == modePark && h.Deliver != nil && h.Deliver.FailedFrom != nil:
		return errors.New("state_query: with the state in the query there is no {http.callback.failed_url}, which failed_from of deliver puts in the place of the client's URL; leave one of the two out")
	}
	return nil
}

func (h *Handler) checkInjections() error {
	var body inject.Place
	seen := make(map[inject.Location]bool)
	for _, configured := range h.Inject {
		i, err := newInjection(configured)
		if err != nil {
			return fmt.Errorf("inject: %w; choose another place or name", err)
		}
		if err := i.check(); err != nil {
			return fmt.Errorf("inject: %w", err)
		}
		if i.at.In == inject.Header {
			i.at.Name = http.CanonicalHeaderKey(i.at.Name)
		}
		if seen[i.at] {
			return fmt.Errorf("inject: %s is given twice; leave one of the two out", i.at)
		}
		seen[i.at] = true
		if !i.at.InBody() {
			continue
		}
		if body != "" && body != i.at.In {
			return fmt.Errorf("inject: %w", twoKinds(body, i.at.In))
		}
		body = i.at.In
	}
	return h.checkReplaced(body)
}

// checkReplaced makes sure that a request can hold our URLs in the places of the client's.
// body is what else something is injected into, "" for nothing.
func (h *Handler) checkReplaced(body inject.Place) error {
	if h.Mode == modeDefer {
		return nil
	}
	for i, at := range h.deliveryPlaces() {
		switch {
		case !at.InBody():
		case body == "":
			body = at.In
		case at.In != body && i == 0:
			return fmt.Errorf("inject: with deliver, the callback URL is put into %s, and %w", at, twoKinds(body, at.In))
		case at.In != body:
			return fmt.Errorf("deliver: failed_from: the URL for failures is put into %s, and %w", at, twoKinds(body, at.In))
		}
	}
	return nil
}

// check makes sure that the value is valid in its place, with 0 as the value of each
// placeholder.
func (i injection) check() error {
	for _, key := range i.value.Keys() {
		if name, ours := strings.CutPrefix(key, callback.PlaceholderPrefix); ours && !canInject(name) {
			return fmt.Errorf("there is no placeholder {%s}; there are %s, and {%s<name>.call.*} of earlier steps", key, listPlaceholders(), callback.PlaceholderPrefix)
		}
	}
	sample := i.value.With("0")
	switch {
	case sample == "":
		return fmt.Errorf("the value for %s is empty; an environment variable that is not set is empty, too", i.at)
	case i.json && !json.Valid([]byte(sample)):
		return fmt.Errorf("the value for %s is not JSON; after json: write a number, true, a \"quoted string\", an array or an object", i.at)
	case i.at.In == inject.Header && !i.holds(sample):
		return fmt.Errorf("the value for %s has a character that no header can hold, such as a line break", i.at)
	case !i.holds(sample):
		return fmt.Errorf("the value for %s has a character that no XML can hold, such as a control character", i.at)
	}
	return nil
}

// checkDefaultHeaders makes sure that no configured injection sets one of the headers
// that are injected by default.
func (h *Handler) checkDefaultHeaders() error {
	if h.InjectOff {
		return nil
	}
	wire := callback.NewWire(cmp.Or(h.HeaderPrefix, callback.DefaultHeaderPrefix))
	for _, i := range h.Inject {
		name := http.CanonicalHeaderKey(i.Name)
		if i.In == inject.Header && (name == wire.CorrelationID || name == wire.CallbackURL) {
			return fmt.Errorf("inject: header %s is injected anyway; leave the line out, or leave out both default headers with: inject off", name)
		}
	}
	return nil
}

func (h *Handler) checkCalls() error {
	if h.Methods != nil && len(h.Methods) == 0 {
		return errors.New("methods: the list is empty, so nobody could call; leave the option out for the default")
	}
	return h.checkAcks()
}

// checkPolicy makes sure that the options that form the policy make sense. Their
// placeholders are not replaced yet.
func (h *Handler) checkPolicy() error {
	return h.newPolicy(func(text string) string { return text }).Check()
}

// checkReplyTexts makes sure that every placeholder in the reply has a value when a call
// is answered.
func (h *Handler) checkReplyTexts() error {
	if h.Respond != nil {
		if err := checkReplyText(h.Respond.Body); err != nil {
			return fmt.Errorf("respond: %w", err)
		}
	}
	for _, r := range h.redirects() {
		if err := checkReplyText(r.to.URL); err != nil {
			return fmt.Errorf("%s: %w", r.option, err)
		}
	}
	if h.Page != nil {
		if err := checkReplyText(h.Page.Redirect); err != nil {
			return fmt.Errorf("page: redir: %w", err)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(h.ReplyHeaders)) {
		for _, value := range h.ReplyHeaders[name] {
			if err := checkReplyText(value); err != nil {
				return fmt.Errorf("header: %w", err)
			}
		}
	}
	return nil
}

// checkCopyHeaders refuses headers to copy where the client gets an answer with all of its
// headers, and none is delivered.
func (h *Handler) checkCopyHeaders() error {
	if len(h.CopyHeaders) > 0 && h.Mode == modeHold && !h.usesBody() {
		return errors.New("copy_headers: with use_body off the client gets the upstream's answer with all of its headers; leave one of the two out")
	}
	return nil
}

// checkCopies is checkCopyHeaders for the modes with deliver, which may be the last option.
func (h *Handler) checkCopies() error {
	switch {
	case len(h.CopyHeaders) == 0 || h.Deliver != nil || h.Mode == modeHold:
		return nil
	case h.Mode == modeDefer:
		return errors.New("copy_headers: the client gets the answer of then with all of its headers, and nothing is delivered; leave the option out, or add deliver")
	case !h.usesBody():
		return errors.New("copy_headers: with use_body off the client gets the upstream's answer with all of its headers, and nothing is delivered; leave one of the two out, or add deliver")
	}
	return nil
}

func listPlaceholders() string {
	return "{" + callback.PlaceholderPrefix + strings.Join(callback.PlaceholderNames(), "}, {"+callback.PlaceholderPrefix) + "}"
}

// canInject reports whether {http.callback.<name>} can have a value before the callback
// has been called.
func canInject(name string) bool {
	_, earlier := callback.EarlierCall(name)
	return earlier || slices.Contains(callback.PlaceholderNames(), name)
}

// checkReplyText refuses placeholders that have no value when a call is answered: those
// of the request, {http.*}, except the {http.callback.*} that a reply can have.
func checkReplyText(text string) error {
	for _, key := range config.NewValue(text).Keys() {
		name, ours := strings.CutPrefix(key, callback.PlaceholderPrefix)
		if ours && !callback.InReply(name) || !ours && strings.HasPrefix(key, "http.") {
			return fmt.Errorf("{%s} means nothing when a call is answered; there are %s, and {%scall.*}",
				key, listPlaceholders(), callback.PlaceholderPrefix)
		}
	}
	return nil
}

// redirection is a redirect with the option that gives it.
type redirection struct {
	option string
	to     *Redirect
}

// redirects returns the redirects that are given.
func (h *Handler) redirects() []redirection {
	return slices.DeleteFunc([]redirection{{"redir", h.Redirect}, {"redir_failed", h.RedirectFailed}, {"redir_late", h.RedirectLate}},
		func(r redirection) bool { return r.to == nil })
}

// checkRedirects makes sure that people are redirected at all, if some are sent elsewhere.
// It is called when all options are read, because redir may be the last.
func (h *Handler) checkRedirects() error {
	all := h.redirects()
	if len(all) > 0 && h.Redirect == nil {
		return fmt.Errorf("%s: without redir nobody is redirected; add that option, for those who come when all is well", all[0].option)
	}
	for _, r := range all {
		if r.to.URL == callback.ToPage && h.Page == nil {
			return fmt.Errorf("%s: %s has no page for people without the option page; add that, or name one of your own pages", r.option, r.to.URL)
		}
	}
	return nil
}
