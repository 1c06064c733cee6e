package module

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"

	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/inject"
)

func init() {
	caddy.RegisterModule(Handler{})
}

// DefaultTimeout is how long a request is held where nothing is given.
const DefaultTimeout = time.Minute

// Handler makes callbacks of requests: it gives the upstream a correlation id and
// a callback URL, and answers the client when the callback comes.
type Handler struct {
	// Mode says what the client does meanwhile. "hold": it waits on its open
	// connection.
	Mode string `json:"mode"`

	// Timeout is how long a request is held, from its arrival. After it the
	// client gets 504 with the URLs under which the result can be fetched.
	// Default: 60s.
	Timeout caddy.Duration `json:"timeout,omitempty"`

	// Name names the directive in logs and metrics: at most 64 letters, digits,
	// underscores and hyphens.
	Name string `json:"name,omitempty"`

	// ExpiresIn is how long calls are accepted. Default: ten times the timeout,
	// and at least an hour.
	ExpiresIn caddy.Duration `json:"expires_in,omitempty"`

	// BaseURL replaces the app's base_url.
	BaseURL string `json:"base_url,omitempty"`

	// StatusURL replaces the app's status_url.
	StatusURL string `json:"status_url,omitempty"`

	// HeaderPrefix replaces the app's header_prefix.
	HeaderPrefix string `json:"header_prefix,omitempty"`

	// StateQuery is the query parameter that carries the state, for callback URLs
	// of the form /cbq/<param>?<param>=<state>. Default: the state is in the path.
	StateQuery string `json:"state_query,omitempty"`

	// Inject puts further values into the request to the upstream. They may hold
	// placeholders, among them {http.callback.url}.
	Inject []Injection `json:"inject,omitempty"`

	// InjectOff leaves out the two headers that are injected otherwise.
	InjectOff bool `json:"inject_off,omitempty"`

	// Ack lists the upstream's statuses that mean "accepted, I will call back":
	// numbers, or classes like 2xx. Default: 2xx; for GET, HEAD and OPTIONS
	// only 202. Any other answer is passed to the client as it is.
	Ack []string `json:"ack,omitempty"`

	// Methods are the methods of calls. Default: POST, PUT, PATCH and DELETE; and
	// GET, where the reply is a redirect alone.
	Methods []string `json:"methods,omitempty"`

	// Respond is what the partner is answered when it calls. Default: 200, empty.
	Respond *Respond `json:"respond,omitempty"`

	// ReplyHeaders are headers of that answer. Values may hold placeholders of
	// the callback.
	ReplyHeaders http.Header `json:"reply_headers,omitempty"`

	// Redirect redirects whoever calls. Together with respond, it is for people
	// who come back with GET, and respond is for the partner's server.
	Redirect *Redirect `json:"redirect,omitempty"`

	Dialect

	// OnDisconnect says what becomes of the callback when the client leaves: it is
	// kept, and its result can be fetched, or it is closed. Default: keep.
	OnDisconnect string `json:"on_disconnect,omitempty"`

	// CopyHeaders are the headers of the call that the client gets. Default:
	// Content-Type, Content-Language, Content-Disposition, Content-Encoding,
	// ETag, Last-Modified and Link.
	CopyHeaders []string `json:"copy_headers,omitempty"`

	// UseBody says whether the call's body is the answer. If it is false, the
	// upstream's ack is, once the call has come. Default: true.
	UseBody *bool `json:"use_body,omitempty"`

	// Errors says who writes error answers: "problem" for problem documents, or
	// "caddy" to hand them to the site's handle_errors. Default: problem.
	Errors string `json:"errors,omitempty"`

	app    *App
	log    *zap.Logger
	policy *callback.Policy
	acks   []ackRange

	injections []injection
	// injectsInto is form or json where something is put into the body.
	injectsInto inject.Place
	// injectsHeader has the plain names of the headers that something is put into.
	injectsHeader map[string]bool
}

// Injection puts a value into the request to the upstream.
type Injection struct {
	// In is header, query, form or json.
	In string `json:"in"`
	// Name is the name there; for json a dotted path or an RFC 6901 pointer.
	Name string `json:"name"`
	// Value is the value; in json it is a string, or with "json:" before it any
	// JSON.
	Value string `json:"value"`
}

// Respond is a response to a partner's call.
type Respond struct {
	// Status is the status. Default: 200.
	Status int `json:"status,omitempty"`
	// Body may hold placeholders of the callback.
	Body string `json:"body,omitempty"`
}

// Redirect is a redirect of whoever calls.
type Redirect struct {
	// URL is absolute, or relative to the base URL. It may hold placeholders of
	// the callback, in path and query.
	URL string `json:"url"`
	// Status is the status. Default: 302 for GET, else 303.
	Status int `json:"status,omitempty"`
}

// CaddyModule returns the Caddy module information.
func (Handler) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "http.handlers.callback",
		New: func() caddy.Module { return new(Handler) },
	}
}

// Provision compiles the policy that calls will be judged by.
func (h *Handler) Provision(ctx caddy.Context) error {
	h.log = ctx.Logger()
	app, err := appOf(ctx)
	if err != nil {
		return err
	}
	h.app = app
	h.setDefaults()
	for _, check := range []func() error{h.checkURLs, h.Check} {
		if err := check(); err != nil {
			return fmt.Errorf("callback %s: %w", h.Mode, err)
		}
	}
	if err := CheckKeysExist(h.Keys, app.Keys); err != nil {
		return fmt.Errorf("callback %s: %w", h.Mode, err)
	}
	h.policy = h.newPolicy()
	if err := h.policy.Compile(); err != nil {
		return fmt.Errorf("callback %s: %w", h.Mode, err)
	}
	for _, s := range h.Ack {
		r, err := parseAck(s)
		if err != nil {
			return fmt.Errorf("callback %s: ack: %w", h.Mode, err)
		}
		h.acks = append(h.acks, r)
	}
	if err := h.compileInjections(); err != nil {
		return fmt.Errorf("callback %s: inject: %w", h.Mode, err)
	}
	return h.checkWriteTimeout(ctx)
}

func (h *Handler) setDefaults() {
	h.BaseURL = strings.TrimSuffix(firstOf(known(h.BaseURL), h.app.BaseURL), "/")
	h.StatusURL = strings.TrimSuffix(firstOf(known(h.StatusURL), h.app.StatusURL, h.BaseURL), "/")
	h.HeaderPrefix = firstOf(h.HeaderPrefix, h.app.HeaderPrefix)
	h.OnDisconnect = firstOf(h.OnDisconnect, "keep")
	h.Errors = firstOf(h.Errors, "problem")
	h.Timeout = caddy.Duration(duration(h.Timeout, DefaultTimeout))
	h.ExpiresIn = caddy.Duration(duration(h.ExpiresIn, max(time.Hour, 10*time.Duration(h.Timeout))))
}

// firstOf returns the first text that is not empty.
func firstOf(texts ...string) string {
	for _, t := range texts {
		if t != "" {
			return t
		}
	}
	return ""
}

// newPolicy returns what calls are judged by. Placeholders for the environment are
// expanded here, once; those of the callback are left for the reply.
func (h *Handler) newPolicy() *callback.Policy {
	repl := caddy.NewReplacer()
	p := &callback.Policy{
		BaseURL:      h.BaseURL,
		StatusURL:    h.StatusURL,
		HeaderPrefix: h.HeaderPrefix,
		StateQuery:   h.StateQuery,
		Methods:      h.Methods,
		CopyHeaders:  h.CopyHeaders,
		AckIsResult:  h.UseBody != nil && !*h.UseBody,
		Retain:       time.Duration(h.app.Retain),
	}
	h.apply(p)
	if h.Respond != nil {
		status := h.Respond.Status
		if status == 0 {
			status = http.StatusOK
		}
		p.Respond = &callback.Respond{Status: status, Body: repl.ReplaceKnown(h.Respond.Body, "")}
	}
	if h.Redirect != nil {
		p.Redirect = &callback.Redirect{URL: repl.ReplaceKnown(h.Redirect.URL, ""), Status: h.Redirect.Status}
	}
	for _, name := range slices.Sorted(maps.Keys(h.ReplyHeaders)) {
		for _, value := range h.ReplyHeaders[name] {
			p.ReplyHeader = append(p.ReplyHeader, callback.Field{
				Name: http.CanonicalHeaderKey(name), Value: repl.ReplaceKnown(value, ""),
			})
		}
	}
	return p
}

func (h *Handler) compileInjections() error {
	h.injectsHeader = make(map[string]bool)
	for _, configured := range h.Inject {
		i, err := newInjection(configured)
		if err != nil {
			return err
		}
		h.injections = append(h.injections, i)
		switch i.at.In {
		case inject.Header:
			h.injectsHeader[plainName(i.at.Name)] = true
		case inject.Form, inject.JSON:
			h.injectsInto = i.at.In
		}
	}
	return nil
}

// ackRange is a status, or a class of them.
type ackRange struct{ from, to int }

func parseAck(s string) (ackRange, error) {
	if class, ok := strings.CutSuffix(strings.ToLower(s), "xx"); ok && len(class) == 1 && class[0] >= '2' && class[0] <= '5' {
		from := int(class[0]-'0') * 100
		return ackRange{from, from + 99}, nil
	}
	n, err := strconv.Atoi(s)
	if err != nil || n < 200 || n > 599 {
		return ackRange{}, fmt.Errorf("%q is not a status; write one like 202, or a class like 2xx", s)
	}
	return ackRange{n, n}, nil
}

// accepts reports whether the upstream's status means that it will call back.
func (h *Handler) accepts(method string, status int) bool {
	if len(h.acks) == 0 {
		switch method {
		case http.MethodGet, http.MethodHead, http.MethodOptions:
			return status == http.StatusAccepted
		}
		return status >= 200 && status <= 299
	}
	return slices.ContainsFunc(h.acks, func(r ackRange) bool { return r.from <= status && status <= r.to })
}

// checkWriteTimeout refuses a configuration where the server would cut held requests off.
func (h *Handler) checkWriteTimeout(ctx caddy.Context) error {
	server, ok := ctx.Value(caddyhttp.ServerCtxKey).(*caddyhttp.Server)
	if ok && server.WriteTimeout > 0 && server.WriteTimeout < h.Timeout {
		return fmt.Errorf("callback %s: the server's write timeout (%s) would cut requests off before their timeout (%s); raise the one or lower the other",
			h.Mode, time.Duration(server.WriteTimeout), time.Duration(h.Timeout))
	}
	return nil
}

// Interface guards
var (
	_ caddy.Provisioner           = (*Handler)(nil)
	_ caddyhttp.MiddlewareHandler = (*Handler)(nil)
)
