// Package hold implements the directive callback with its modes hold, park and defer: it
// makes callbacks for requests, and answers or continues the requests when their callbacks
// have ended.
package hold

import (
	"cmp"
	"errors"
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

	"github.com/caddy-callback/caddy-callback/module/app"
	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/inject"
)

func init() {
	caddy.RegisterModule(Handler{})
}

// DefaultTimeout is the timeout of a directive that gives none.
const DefaultTimeout = time.Minute

// Handler makes a callback for each request: it gives the upstream a correlation id and
// a callback URL, and answers the client when the callback comes.
type Handler struct {
	// Mode says what the client does until there is a result. "hold": it waits on its
	// open connection. "park": it gets 202 at once, and picks the result up or has it
	// delivered. "defer": the same, for an upstream that answers with its ordinary
	// response and makes no callback.
	Mode string `json:"mode"`

	// Timeout is how long a request is held, counted from its arrival. After that, the
	// client gets 504 with the URLs from which the result can be fetched. In park, it
	// is how long the upstream may take for its ack. Default: 60s.
	Timeout caddy.Duration `json:"timeout,omitempty"`

	// Name names the directive in logs and metrics: at most 64 letters, digits,
	// underscores and hyphens. After a reload or a restart, background work finds its
	// directive by this name: it is then required, and must be unique. Default: none.
	Name string `json:"name,omitempty"`

	// ExpiresIn is how long calls are accepted and background work is tried, counted
	// from the request's arrival. Default: in hold ten times the timeout and at least
	// 1h, else 24h.
	ExpiresIn caddy.Duration `json:"expires_in,omitempty"`

	// BaseURL is the base of the callback URLs. Default: the app's base_url.
	BaseURL string `json:"base_url,omitempty"`

	// StatusURL is the base of the status and result URLs. Default: the app's
	// status_url, or else base_url.
	StatusURL string `json:"status_url,omitempty"`

	// HeaderPrefix begins the names of the headers that are injected and understood.
	// Default: the app's header_prefix, or else X-Link-.
	HeaderPrefix string `json:"header_prefix,omitempty"`

	// StateQuery is the query parameter that carries the state, for callback URLs
	// of the form /cbq/<param>?<param>=<state>. Default: the state is in the path.
	StateQuery string `json:"state_query,omitempty"`

	// Inject puts further values into the request to the upstream. They may hold
	// placeholders, for example {http.callback.url}. Default: none.
	Inject []Injection `json:"inject,omitempty"`

	// InjectOff leaves out the two headers that are injected by default, with the
	// correlation id and the callback URL. Default: false.
	InjectOff bool `json:"inject_off,omitempty"`

	// Ack lists the upstream's statuses that mean "accepted, I will call back":
	// numbers, or classes like 2xx. Default: 2xx; for GET, HEAD and OPTIONS
	// only 202. Any other answer is passed to the client as it is.
	Ack []string `json:"ack,omitempty"`

	// Methods lists the methods that count as a call. Default: POST, PUT, PATCH and
	// DELETE; also GET if redirect is given without respond.
	Methods []string `json:"methods,omitempty"`

	// Respond is the response that the partner gets to its call. Default: 200 with no
	// body.
	Respond *Respond `json:"respond,omitempty"`

	// ReplyHeaders are further headers of the reply to a call. Values may hold
	// placeholders of the callback. Default: none.
	ReplyHeaders http.Header `json:"reply_headers,omitempty"`

	// Redirect answers calls with a redirect. If respond is given, too, the redirect is
	// for people who come back with GET, and respond is for the partner's server.
	// Default: no redirect.
	Redirect *Redirect `json:"redirect,omitempty"`

	Dialect

	// CorrelationID says where the correlation id is taken from. Default: it is a
	// UUID that is generated for the callback.
	CorrelationID *Correlation `json:"correlation_id,omitempty"`

	// Ask is the path at which the app is asked about each call, through the route
	// "ask" of callback_server. Default: no app is asked.
	Ask string `json:"ask,omitempty"`

	// OnTimeout says what a held client gets after the timeout: "fail" for 504, or
	// "park" for 202, as in the mode park. Default: fail.
	OnTimeout string `json:"on_timeout,omitempty"`

	// Idempotency lets a client repeat a request with the same Idempotency-Key, without
	// anything being done twice. Default: true.
	Idempotency *bool `json:"idempotency,omitempty"`

	// Message is the text that the client gets with 202. Default: a text that says
	// whether the result will be delivered or is to be picked up.
	Message string `json:"message,omitempty"`

	// Call is the route that answers by callback. In hold it gets a copy of the
	// request; the request itself goes on to the next handlers after the callback. In
	// park it runs in the background. Default: the next handlers answer by callback.
	Call caddyhttp.RouteList `json:"call,omitempty"`

	// Then is the route that runs in the background and whose response is the result.
	// In park it runs after the callback, and needs call. In defer it is required.
	// Default: in park, the call is the result.
	Then caddyhttp.RouteList `json:"then,omitempty"`

	// AttemptTimeout is how long one attempt at background work may take.
	// Default: 30s.
	AttemptTimeout caddy.Duration `json:"attempt_timeout,omitempty"`

	// RetryUnsafe retries background work that the upstream may already have carried
	// out, even if its method is not idempotent. Default: false.
	RetryUnsafe bool `json:"retry_unsafe,omitempty"`

	// Deliver sends the result to a URL. Default: the client picks the result up.
	Deliver *Delivery `json:"deliver,omitempty"`

	// OnDisconnect says what happens to the callback when the client leaves: "keep"
	// keeps it, so that its result can be fetched; "close" closes it. Default: keep.
	OnDisconnect string `json:"on_disconnect,omitempty"`

	// CopyHeaders lists the headers of the call that the client's answer has, too.
	// Default: Content-Type, Content-Language, Content-Disposition, Content-Encoding,
	// ETag, Last-Modified and Link.
	CopyHeaders []string `json:"copy_headers,omitempty"`

	// UseBody says whether the call's body is the answer. If it is false, the client
	// gets the upstream's ack, once the call has come; a request that goes on after the
	// call then keeps its own body. Default: true.
	UseBody *bool `json:"use_body,omitempty"`

	// Errors says who writes error answers: "problem" for problem documents, or
	// "caddy" to hand them to the site's handle_errors. Default: problem.
	Errors string `json:"errors,omitempty"`

	app       *app.App
	server    *caddyhttp.Server
	log       *zap.Logger
	policy    *callback.Policy
	acks      []ackRange
	deliverer *app.Deliverer
	// deliverFrom is the place in the request that holds the client's URL, nil for none.
	// deliverTo is the URL for a request that holds none.
	deliverFrom *inject.Location
	deliverTo   string
	// readsBody says that the request's body is read into memory before the callback is
	// made.
	readsBody bool

	injections []injection
	// injectsInto is form or json if a value is injected into the body.
	injectsInto inject.Place
	// injectsHeader holds the plain names of the headers that values are injected into.
	injectsHeader map[string]bool
}

// Injection puts a value into the request to the upstream.
type Injection struct {
	// In is header, query, form or json.
	In inject.Place `json:"in"`
	// Name is the name there; for json a dotted path or an RFC 6901 pointer.
	Name string `json:"name"`
	// Value is the value. In json it is inserted as a string, or as JSON if it begins
	// with "json:".
	Value string `json:"value"`
}

// Respond is a response to a partner's call.
type Respond struct {
	// Status is the status. Default: 200.
	Status int `json:"status,omitempty"`
	// Body may hold placeholders of the callback.
	Body string `json:"body,omitempty"`
}

// Redirect is a redirect in reply to a call.
type Redirect struct {
	// URL is absolute, or relative to the base URL. It may hold placeholders of
	// the callback, in path and query.
	URL string `json:"url"`
	// Status is the status. Default: 302 for GET, else 303.
	Status int `json:"status,omitempty"`
}

// Correlation says where the correlation id of a callback is taken from.
type Correlation struct {
	// From is "request" for the client's request, or "ack" for the upstream's ack.
	From string `json:"from"`
	inject.Location
}

// The modes, and other words of the configuration.
const (
	modeHold  = "hold"
	modePark  = "park"
	modeDefer = "defer"

	onTimeoutPark = "park"

	fromRequest = "request"
	fromAck     = "ack"
)

// CaddyModule returns the Caddy module information.
func (Handler) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "http.handlers.callback",
		New: func() caddy.Module { return new(Handler) },
	}
}

// Provision checks the configuration, and compiles what requests and calls need of it.
func (h *Handler) Provision(ctx caddy.Context) (err error) {
	h.log = ctx.Logger()
	if h.app, err = app.Of(ctx); err != nil {
		return err
	}
	h.setDefaults()
	for _, step := range []struct {
		option string
		do     func() error
	}{
		{"", h.checkURLs},
		{"", h.Check},
		{"", func() error { return app.CheckKeysExist(h.Keys, h.app.Keys) }},
		{"", h.compilePolicy},
		{"ack: ", h.compileAcks},
		{"inject: ", h.compileInjections},
		{"base_url: ", func() error { return h.app.AddBases(h.BaseURL, h.StatusURL) }},
		{"deliver: ", h.provisionDelivery},
		{"", func() error { return h.provisionBlocks(ctx) }},
		{"", func() error { return h.checkWriteTimeout(ctx) }},
	} {
		if err := step.do(); err != nil {
			return fmt.Errorf("callback %s: %s%w", h.Mode, step.option, err)
		}
	}
	h.app.Mention(h.Mode, h.Name, h.placeholderKeys())
	h.readsBody = h.injectsInto != "" || h.background() || h.Call != nil || h.CorrelationID.inBody(fromRequest) ||
		h.deliverFrom != nil && h.deliverFrom.InBody()
	return nil
}

// compilePolicy makes the policy, with the placeholders replaced that are known when the
// configuration is loaded.
func (h *Handler) compilePolicy() error {
	repl := caddy.NewReplacer()
	h.policy = h.newPolicy(func(text string) string { return repl.ReplaceKnown(text, "") })
	h.policy.Retain = time.Duration(h.app.Retain)
	return h.policy.Compile()
}

func (h *Handler) compileAcks() error {
	for _, s := range h.Ack {
		r, err := parseAck(s)
		if err != nil {
			return err
		}
		h.acks = append(h.acks, r)
	}
	return nil
}

// insideCall is the context key that tells a directive that it is inside the block call
// of another.
type insideCall struct{}

// provisionBlocks provisions the blocks, and registers the directive by its name if it
// must be found by that.
func (h *Handler) provisionBlocks(ctx caddy.Context) error {
	h.server, _ = ctx.Value(caddyhttp.ServerCtxKey).(*caddyhttp.Server)
	if h.Mode != modeHold && ctx.Value(insideCall{}) != nil {
		return errors.New("it stands in a block call { ... }, whose upstream must answer by callback; put what runs after the callback into then { ... }")
	}
	if err := h.Call.Provision(ctx.WithValue(insideCall{}, true)); err != nil {
		return fmt.Errorf("call: %w", err)
	}
	if err := h.Then.Provision(ctx); err != nil {
		return fmt.Errorf("then: %w", err)
	}
	if h.NeedsName() {
		return h.app.Register(h.Name, h)
	}
	return nil
}

// checkTo makes sure that results may be sent to the URL in the option to.
func (h *Handler) checkTo() error {
	if err := h.deliverer.CheckURL(h.deliverTo); err != nil {
		return fmt.Errorf("to: %w", err)
	}
	return nil
}

// provisionDelivery compiles the rules of delivery. It injects the callback URL into the
// place where the client's request holds its URL.
func (h *Handler) provisionDelivery() (err error) {
	if h.Deliver == nil {
		return nil
	}
	h.deliverer, err = h.app.NewDeliverer(h.Deliver.DeliveryRules)
	if err != nil {
		return err
	}
	h.deliverFrom, h.deliverTo = h.Deliver.From, app.Known(h.Deliver.To)
	if h.Deliver.From == nil && h.Deliver.To == "" {
		h.deliverFrom = &inject.Location{In: inject.JSON, Name: "callbackUrl"}
	}
	if h.deliverTo != "" {
		// Check again at the start, when the base URLs of all directives are known.
		h.app.AtStart(func() error {
			if err := h.checkTo(); err != nil {
				return fmt.Errorf("callback %s: deliver: %w", h.Mode, err)
			}
			return nil
		})
		if err := h.checkTo(); err != nil {
			return err
		}
	}
	if h.Mode == modeDefer || h.deliverFrom == nil {
		return nil
	}
	return h.addInjection(Injection{In: h.deliverFrom.In, Name: h.deliverFrom.Name, Value: "{" + callback.PlaceholderPrefix + "url}"})
}

// placeholderKeys returns the keys of the placeholders that are injected.
func (h *Handler) placeholderKeys() (keys []string) {
	for _, i := range h.injections {
		keys = append(keys, i.value.Keys()...)
	}
	return keys
}

// background reports whether the request is carried out in the background.
func (h *Handler) background() bool {
	return h.Mode == modeDefer || h.Mode == modePark && h.Call != nil
}

// firstBlock returns the block that background work begins with.
func (h *Handler) firstBlock() callback.Block {
	if h.Mode == modeDefer {
		return callback.ThenBlock
	}
	return callback.CallBlock
}

// block returns the routes of a block, nil if there is none.
func (h *Handler) block(b callback.Block) caddyhttp.RouteList {
	if b == callback.CallBlock {
		return h.Call
	}
	return h.Then
}

// usesBody reports whether the call's body is the answer, or the body of a request that
// goes on after the call.
func (h *Handler) usesBody() bool { return h.UseBody == nil || *h.UseBody }

// correlates reports whether the upstream's ack names the correlation id.
func (h *Handler) correlates() bool { return h.CorrelationID != nil && h.CorrelationID.From == fromAck }

// inBody reports whether the correlation id is read from the body of the given message,
// fromRequest or fromAck.
func (c *Correlation) inBody(from string) bool { return c != nil && c.From == from && c.InBody() }

func (h *Handler) setDefaults() {
	h.BaseURL = strings.TrimSuffix(cmp.Or(app.Known(h.BaseURL), h.app.BaseURL), "/")
	h.StatusURL = strings.TrimSuffix(cmp.Or(app.Known(h.StatusURL), h.app.StatusURL, h.BaseURL), "/")
	h.HeaderPrefix = cmp.Or(h.HeaderPrefix, h.app.HeaderPrefix)
	h.OnDisconnect = cmp.Or(h.OnDisconnect, "keep")
	h.Errors = cmp.Or(h.Errors, "problem")
	h.Timeout = caddy.Duration(cmp.Or(time.Duration(h.Timeout), DefaultTimeout))
	lifetime := 24 * time.Hour
	if h.Mode == modeHold {
		lifetime = max(time.Hour, 10*time.Duration(h.Timeout))
	}
	h.ExpiresIn = caddy.Duration(cmp.Or(time.Duration(h.ExpiresIn), lifetime))
}

// newPolicy returns the policy of the directive. expand replaces the placeholders that are
// known when the configuration is loaded; those of the callback are left for the reply.
func (h *Handler) newPolicy(expand func(string) string) *callback.Policy {
	p := &callback.Policy{
		BaseURL:      h.BaseURL,
		StatusURL:    h.StatusURL,
		HeaderPrefix: h.HeaderPrefix,
		StateQuery:   h.StateQuery,
		Methods:      h.Methods,
		CopyHeaders:  h.CopyHeaders,
		AckIsResult:  !h.usesBody() && h.Then == nil && (h.Call == nil || h.Mode == modePark),
		Then:         h.Mode == modePark && h.Then != nil,
		Ask:          h.Ask,
	}
	if h.Mode == modeDefer {
		// There is no callback URL, so there are no calls.
		p.Methods = []string{}
	}
	h.apply(p)
	if h.Respond != nil {
		p.Respond = &callback.Respond{Status: h.Respond.Status, Body: expand(h.Respond.Body)}
	}
	if h.Redirect != nil {
		p.Redirect = &callback.Redirect{URL: expand(h.Redirect.URL), Status: h.Redirect.Status}
	}
	for _, name := range slices.Sorted(maps.Keys(h.ReplyHeaders)) {
		for _, value := range h.ReplyHeaders[name] {
			p.ReplyHeader = append(p.ReplyHeader, callback.Field{Name: name, Value: expand(value)})
		}
	}
	return p
}

func (h *Handler) compileInjections() error {
	h.injectsHeader = make(map[string]bool)
	for _, configured := range h.Inject {
		if err := h.addInjection(configured); err != nil {
			return err
		}
	}
	return nil
}

func (h *Handler) addInjection(configured Injection) error {
	i, err := newInjection(configured)
	if err != nil {
		return err
	}
	h.injections = append(h.injections, i)
	switch i.at.In {
	case inject.Header:
		h.injectsHeader[callback.PlainHeader(i.at.Name)] = true
	case inject.Form, inject.JSON:
		h.injectsInto = i.at.In
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

// checkWriteTimeout refuses a server whose write timeout would cut held requests off.
func (h *Handler) checkWriteTimeout(ctx caddy.Context) error {
	server, ok := ctx.Value(caddyhttp.ServerCtxKey).(*caddyhttp.Server)
	if ok && h.Mode == modeHold && server.WriteTimeout > 0 && server.WriteTimeout < h.Timeout {
		return fmt.Errorf("the server's write timeout (%s) would cut requests off before their timeout (%s); raise the one or lower the other",
			time.Duration(server.WriteTimeout), time.Duration(h.Timeout))
	}
	return nil
}

// Cleanup closes the connections over which results were delivered.
func (h *Handler) Cleanup() error {
	if h.deliverer != nil {
		h.deliverer.Close()
	}
	return nil
}

// Interface guards
var (
	_ caddy.Provisioner           = (*Handler)(nil)
	_ caddy.CleanerUpper          = (*Handler)(nil)
	_ caddyhttp.MiddlewareHandler = (*Handler)(nil)
)
