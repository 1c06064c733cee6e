package module

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"golang.org/x/net/http/httpguts"

	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/inject"
)

// maxTimeout bounds a hold's timeout, so that ten times as long is a duration, too.
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
	for _, check := range []func() error{h.checkOwnKey, h.checkBlocks} {
		if err := check(); err != nil {
			return err
		}
	}
	return h.checkDefaultHeaders()
}

// CheckOptions makes sure that the options make sense, each one and together, as
// far as they are given. Nothing that it refuses can be put right by a further
// option: while a Caddyfile is parsed it is called after each, so that the error
// can name the line.
func (h *Handler) CheckOptions() error {
	if !slices.Contains([]string{modeHold, modePark, modeDefer}, h.Mode) {
		return fmt.Errorf("there is no mode %q; the modes are hold, park and defer", h.Mode)
	}
	for _, check := range []func() error{
		h.checkTimes, h.checkWords, h.checkStateQuery, h.checkInjections, h.checkCalls,
		h.checkRespond, h.checkRedirect, h.checkReplyHeaders, h.checkCopyHeaders, h.checkDialect,
		h.checkMode, h.checkCorrelation, h.checkAsk, h.checkDelivery,
	} {
		if err := check(); err != nil {
			return err
		}
	}
	return nil
}

func (h *Handler) checkTimes() error {
	timeout := duration(h.Timeout, DefaultTimeout)
	switch {
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

var plainWord = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)

// reserved are names that would hide placeholders.
var reserved = []string{"api_key", "call", "correlation_id", "error", "failed_url", "id", "result_url", "status_url", "url"}

func (h *Handler) checkWords() error {
	if slices.Contains(reserved, h.Name) {
		return fmt.Errorf("name: %s would hide the placeholder {http.callback.%s}; choose another name", h.Name, h.Name)
	}
	if h.OnTimeout != "" && h.OnTimeout != "fail" && h.OnTimeout != onTimeoutPark {
		return fmt.Errorf("on_timeout: %q is not known; write fail or park", h.OnTimeout)
	}
	if h.Name != "" && !plainWord.MatchString(h.Name) {
		return fmt.Errorf("name: %q must be at most 64 letters, digits, underscores and hyphens", h.Name)
	}
	if h.OnDisconnect != "" && h.OnDisconnect != "keep" && h.OnDisconnect != "close" {
		return fmt.Errorf("on_disconnect: %q is not known; write keep or close", h.OnDisconnect)
	}
	if h.Errors != "" && h.Errors != "problem" && h.Errors != "caddy" {
		return fmt.Errorf("errors: %q is not known; write problem or caddy", h.Errors)
	}
	if h.HeaderPrefix != "" {
		if err := CheckPrefix(h.HeaderPrefix); err != nil {
			return fmt.Errorf("header_prefix: %w", err)
		}
	}
	return nil
}

// checkURLs makes sure that the URLs are usable once their placeholders are
// replaced, which they are not while a Caddyfile is parsed.
func (h *Handler) checkURLs() error { return checkBases(h.BaseURL, h.StatusURL) }

// queryName has no dot at its beginning, because in a path that would mean
// another directory.
var queryName = regexp.MustCompile(`^[A-Za-z0-9_~-][A-Za-z0-9._~-]{0,63}$`)

func (h *Handler) checkStateQuery() error {
	switch {
	case h.StateQuery == "":
		return nil
	case !queryName.MatchString(h.StateQuery):
		return fmt.Errorf("state_query: %q must be at most 64 letters, digits and . _ ~ - with no dot at the beginning", h.StateQuery)
	case h.StateQuery == "api_key":
		return errors.New("state_query: api_key is the parameter that carries keys; choose another name")
	case h.names("failed_url"):
		return errors.New("state_query: with the state in the query there is no {http.callback.failed_url}; leave one of the two out")
	}
	return nil
}

func (h *Handler) checkInjections() error {
	body := inject.Place("")
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
		if i.at.In != inject.JSON && i.at.In != inject.Form {
			continue
		}
		if body != "" && body != i.at.In {
			return errors.New("inject: a body cannot be both JSON and a form; use one of the two")
		}
		body = i.at.In
	}
	return nil
}

// check makes sure that the value can stand where it is put, whatever its
// placeholders yield.
func (i injection) check() error {
	for _, key := range i.value.keys() {
		if name, ours := strings.CutPrefix(key, callback.PlaceholderPrefix); ours && !slices.Contains(placeholders, name) && !isEarlierCall(name) {
			return fmt.Errorf("there is no placeholder {%s}; there are %s, and {%s<name>.call.*} of earlier steps", key, listPlaceholders(), callback.PlaceholderPrefix)
		}
	}
	sample := i.value.with("0")
	switch {
	case sample == "":
		return fmt.Errorf("the value for %s is empty; an environment variable that is not set is empty, too", i.at)
	case i.json && !json.Valid([]byte(sample)):
		return fmt.Errorf("the value for %s is not JSON; after json: write a number, true, a \"quoted string\", an array or an object", i.at)
	case i.at.In == inject.Header && !httpguts.ValidHeaderFieldValue(sample):
		return fmt.Errorf("the value for %s has a character that no header can hold, such as a line break", i.at)
	}
	return nil
}

// checkDefaultHeaders makes sure that nothing is put into the headers that are
// injected anyway.
func (h *Handler) checkDefaultHeaders() error {
	if h.InjectOff {
		return nil
	}
	wire := callback.NewWire(cmp.Or(h.HeaderPrefix, callback.DefaultHeaderPrefix))
	for _, i := range h.Inject {
		name := http.CanonicalHeaderKey(i.Name)
		if i.In == string(inject.Header) && (name == wire.CorrelationID || name == wire.CallbackURL) {
			return fmt.Errorf("inject: header %s is injected anyway; leave the line out, or leave out both default headers with: inject off", name)
		}
	}
	return nil
}

func (h *Handler) checkCalls() error {
	if h.Methods != nil && len(h.Methods) == 0 {
		return errors.New("methods: there is none, so that nobody could call; leave it out for the default")
	}
	for i, m := range h.Methods {
		if !slices.Contains([]string{"GET", "POST", "PUT", "PATCH", "DELETE"}, m) {
			return fmt.Errorf("methods: %q can never be a call; the methods are GET POST PUT PATCH DELETE", m)
		}
		if slices.Contains(h.Methods[:i], m) {
			return fmt.Errorf("methods: %s is given twice; leave one of the two out", m)
		}
	}
	for _, s := range h.Ack {
		if _, err := parseAck(s); err != nil {
			return fmt.Errorf("ack: %w", err)
		}
	}
	return nil
}

func (h *Handler) checkRespond() error {
	if h.Respond == nil {
		return nil
	}
	if s := h.Respond.Status; s != 0 && (s < 200 || s > 599) {
		return fmt.Errorf("respond: %d is not a status that can be answered; write one from 200 to 599", s)
	}
	if !allowsBody(h.Respond.Status) && h.Respond.Body != "" {
		return fmt.Errorf("respond: an answer with status %d has no body; leave the body out or choose another status", h.Respond.Status)
	}
	if err := checkReplyText(h.Respond.Body); err != nil {
		return fmt.Errorf("respond: %w", err)
	}
	return nil
}

var redirectStatuses = []int{0, http.StatusMovedPermanently, http.StatusFound, http.StatusSeeOther, http.StatusTemporaryRedirect, http.StatusPermanentRedirect}

func (h *Handler) checkRedirect() error {
	if h.Redirect == nil {
		return nil
	}
	_, err := callback.NewTarget(h.Redirect.URL)
	if err == nil {
		err = checkReplyText(h.Redirect.URL)
	}
	switch {
	case err != nil:
		return fmt.Errorf("redir: %w", err)
	case leadsBack(h.Redirect.URL, h.BaseURL):
		return fmt.Errorf("redir: %s leads back to callback_server, which has no page for people there; name one of your own pages", h.Redirect.URL)
	case !slices.Contains(redirectStatuses, h.Redirect.Status):
		return fmt.Errorf("redir: %d is not the status of a redirect; write 301, 302, 303, 307 or 308", h.Redirect.Status)
	case h.Respond != nil && slices.Contains(h.Methods, http.MethodGet):
		return errors.New("methods: with both respond and redir a GET is a person's return and never a call; leave GET out")
	}
	return nil
}

// leadsBack reports whether a redirect's URL is one of callback_server's own.
func leadsBack(target, base string) bool {
	b, err := url.Parse(strings.TrimSuffix(base, "/"))
	if err != nil {
		return false
	}
	if end := strings.IndexAny(target, "?#"); end >= 0 {
		target = target[:end]
	}
	target = strings.TrimPrefix(target, b.Scheme+"://"+b.Host)
	below, found := strings.CutPrefix(target, b.EscapedPath())
	return found && parsePath(below).resource != notOurs
}

func (h *Handler) checkReplyHeaders() error {
	for _, name := range slices.Sorted(maps.Keys(h.ReplyHeaders)) {
		if err := checkReplyHeader(name, h.ReplyHeaders[name]); err != nil {
			return fmt.Errorf("header: %w", err)
		}
		if h.Redirect != nil && http.CanonicalHeaderKey(name) == "Location" {
			return errors.New("header: Location is what redir sets; leave one of the two out")
		}
	}
	return nil
}

// checkPlainHeader makes sure that a header line, whose value is data, can be part of
// a reply.
func checkPlainHeader(name, value string) error {
	canonical := http.CanonicalHeaderKey(name)
	switch {
	case !httpguts.ValidHeaderFieldName(name):
		return fmt.Errorf("%q is not the name of a header", name)
	case len(callback.AckHeader(http.Header{canonical: {""}})) == 0:
		return fmt.Errorf("%s belongs to the connection and cannot be set", canonical)
	case canonical == "Location" || canonical == "Refresh":
		return fmt.Errorf("%s leads elsewhere; give a redirect URL instead", canonical)
	case !httpguts.ValidHeaderFieldValue(value):
		return fmt.Errorf("the value of %s has a character that no header can hold", canonical)
	}
	return nil
}

func checkReplyHeader(name string, values []string) error {
	switch {
	case !httpguts.ValidHeaderFieldName(name):
		return fmt.Errorf("%q is not the name of a header", name)
	case strings.HasPrefix(name, "+") || strings.HasPrefix(name, "-"):
		return fmt.Errorf("%q begins with a sign; headers can only be added here, so write the name alone", name)
	case len(callback.AckHeader(http.Header{http.CanonicalHeaderKey(name): {""}})) == 0:
		return fmt.Errorf("%s belongs to the connection and cannot be set", name)
	}
	for _, value := range values {
		if value == "" {
			return fmt.Errorf("the value of %s is empty; an environment variable that is not set is empty, too", name)
		}
		if !httpguts.ValidHeaderFieldValue(value) {
			return fmt.Errorf("the value of %s has a character that no header can hold, such as a line break", name)
		}
		if err := checkReplyText(value); err != nil {
			return err
		}
	}
	return nil
}

func (h *Handler) checkCopyHeaders() error {
	for _, name := range h.CopyHeaders {
		if !httpguts.ValidHeaderFieldName(name) {
			return fmt.Errorf("copy_headers: %q is not the name of a header", name)
		}
		if len(callback.CallHeader(http.Header{http.CanonicalHeaderKey(name): {""}})) == 0 {
			return fmt.Errorf("copy_headers: %s belongs to the connection or carries credentials, and is never copied", name)
		}
	}
	if len(h.CopyHeaders) > 0 && h.UseBody != nil && !*h.UseBody {
		return errors.New("copy_headers: with use_body off the client gets the upstream's answer with all of its headers; leave one of the two out")
	}
	return nil
}

// placeholders are those of a callback, and callPlaceholders those that a reply
// to its call can hold beside them, where a dot at the end is followed by a name.
// Each begins with callback.PlaceholderPrefix.
var (
	placeholders     = []string{"id", "correlation_id", "url", "failed_url", "status_url", "result_url", "api_key"}
	callPlaceholders = []string{"call.method", "call.body", "call.body.", "call.header.", "call.query.", "call.form."}
)

func listPlaceholders() string {
	return "{" + callback.PlaceholderPrefix + strings.Join(placeholders, "}, {"+callback.PlaceholderPrefix) + "}"
}

// checkReplyText makes sure that every placeholder of Caddy's in a reply means
// something when a call is answered.
func checkReplyText(text string) error {
	for _, key := range newValue(text).keys() {
		name, ours := strings.CutPrefix(key, callback.PlaceholderPrefix)
		if ours && !isReplyPlaceholder(name) || !ours && strings.HasPrefix(key, "http.") {
			return fmt.Errorf("{%s} means nothing when a call is answered; there are %s, and {%scall.*}",
				key, listPlaceholders(), callback.PlaceholderPrefix)
		}
	}
	return nil
}

// isEarlierCall reports whether a placeholder is about the call of another directive,
// which it names.
func isEarlierCall(name string) bool {
	of, rest, _ := strings.Cut(name, ".")
	return of != "" && of != "call" && strings.HasPrefix(rest, "call.") && isReplyPlaceholder(rest)
}

func isReplyPlaceholder(name string) bool {
	return slices.Contains(placeholders, name) || slices.ContainsFunc(callPlaceholders, func(known string) bool {
		rest, found := strings.CutPrefix(name, known)
		return found && (rest != "") == strings.HasSuffix(known, ".")
	})
}
