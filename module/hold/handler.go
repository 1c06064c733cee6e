// Package hold implements the directive callback with its modes hold, park and defer: it
// makes callbacks for requests, and answers or continues the requests when their callbacks
// have ended.
package hold

import (
	"net/http"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"

	"github.com/caddy-callback/caddy-callback/module/answer"
	"github.com/caddy-callback/caddy-callback/module/app"
	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/inject"
	"github.com/caddy-callback/caddy-callback/module/problem"
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
	// underscores and hyphens. No other directive has the same. After a reload or a
	// restart, background work finds its directive by this name: it is then required.
	// Default: none.
	Name string `json:"name,omitempty"`

	// ExpiresIn is how long calls are accepted and background work is tried, counted
	// from the request's arrival. Default: in hold ten times the timeout and at least
	// 1h, or the timeout if there is a block call; else 24h.
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
	// correlation id and the callback URL. Default: the app's inject_off.
	InjectOff bool `json:"inject_off,omitempty"`

	// Only lists what a request must say, in its header, query or body: one that does not say
	// all of it, or cannot be read, goes through to the next handlers untouched. Default: every
	// request is taken.
	Only []Match `json:"only,omitempty"`

	// Prefer says whether the client's header Prefer (RFC 7240) is heeded here: respond-async
	// and wait. If it is false, it goes to the upstream as it is. Default: true, unless answer
	// is "ack".
	Prefer *bool `json:"prefer,omitempty"`

	// Ack lists the upstream's statuses that mean "accepted, I will call back":
	// numbers, or classes like 2xx. Default: 2xx; for GET, HEAD, OPTIONS, TRACE and
	// QUERY only 202. Any other answer is passed to the client as it is.
	Ack []string `json:"ack,omitempty"`

	// AckMatch lists what an ack must say, beside its status: values in its header or JSON
	// body, all of which must match. An answer that does not say so is passed to the client
	// as it is; so is one that cannot be read, but its callback goes on waiting. Default:
	// the status is enough.
	AckMatch []Match `json:"ack_match,omitempty"`

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

	// RedirectFailed is where people are sent who come after the callback has failed, and
	// those who come to the failed URL. Default: where redirect leads.
	RedirectFailed *Redirect `json:"redirect_failed,omitempty"`

	// RedirectLate is where people are sent who come when the callback has expired or is
	// closed. Default: they get a page that says so.
	RedirectLate *Redirect `json:"redirect_late,omitempty"`

	Dialect

	// CorrelationID says where the correlation id is taken from. Default: it is a
	// UUID that is generated for the callback.
	CorrelationID *Correlation `json:"correlation_id,omitempty"`

	// Ask is the path at which the app is asked about each call, through the route
	// "ask" of callback_server. Default: no app is asked.
	Ask string `json:"ask,omitempty"`

	// OnTimeout says what a held client gets after the timeout: "fail" for 504, "park" for
	// 202, as in the mode park, or "redirect" for 303 to its result, where it goes on
	// waiting. Default: fail.
	OnTimeout string `json:"on_timeout,omitempty"`

	// Idempotency lets a client repeat a request with the same Idempotency-Key, without
	// anything being done twice. Default: true.
	Idempotency *bool `json:"idempotency,omitempty"`

	// IdempotencyScope says who the client is, as a placeholder of the request, such as
	// {http.request.header.X-Tenant}: a key of one client means nothing to another. A
	// request with a key for which it is empty is refused. Default: the user that Caddy
	// has authenticated, or else the Authorization header.
	IdempotencyScope string `json:"idempotency_scope,omitempty"`

	// Answer says what the client gets at once in park: "202", or "ack" for the upstream's own
	// ack, with its status, headers and body. Then a request that holds no URL to deliver to
	// goes through untouched, and a failed call is delivered with its own body. Default: 202.
	Answer string `json:"answer,omitempty"`

	// Message is the text that the client gets with 202. Default: a text that says
	// whether the result will be delivered or is to be picked up.
	Message string `json:"message,omitempty"`

	// Page shows people a page where programs get 202, and at the status URL. Default: they get
	// what programs get.
	Page *Page `json:"page,omitempty"`

	// Confirm lets a person decide on a page at the callback URL. Default: a partner calls.
	Confirm *Confirm `json:"confirm,omitempty"`

	// Call is the route that answers by callback. In hold it gets a copy of the
	// request; the request itself goes on to the next handlers after the callback, and
	// the callback is closed when the client leaves or its time is over. In
	// park it runs in the background. Default: the next handlers answer by callback.
	Call caddyhttp.RouteList `json:"call,omitempty"`

	// Then is the route that runs in the background and whose response is the result.
	// In park it runs after the callback, and needs call. In defer it is required.
	// Default: in park, the call is the result.
	Then caddyhttp.RouteList `json:"then,omitempty"`

	// Poll asks the upstream for the result, beside the callback that it may make: the first of
	// the two counts. Default: only the callback counts.
	Poll *Poll `json:"poll,omitempty"`

	// Fetch fetches the result after a success, by call or by poll: the answer to that request
	// is the result. Default: the call is the result.
	Fetch *Fetch `json:"fetch,omitempty"`

	// AttemptTimeout is how long one attempt at background work may take. Default: 30s
	// for the block call, 10m for the block then.
	AttemptTimeout caddy.Duration `json:"attempt_timeout,omitempty"`

	// RetryUnsafe retries background work that the upstream may already have carried
	// out, even if its method is not idempotent. Default: false.
	RetryUnsafe bool `json:"retry_unsafe,omitempty"`

	// Deliver sends the result to a URL. Default: the client picks the result up.
	Deliver *Delivery `json:"deliver,omitempty"`

	// OnDisconnect says what happens to the callback when the client leaves: "keep"
	// keeps it, so that its result can be fetched; "close" closes it. Default: keep; in
	// hold with a block call: close.
	OnDisconnect string `json:"on_disconnect,omitempty"`

	// CopyHeaders lists the headers of the call that the client's answer has, too, and
	// the headers of any result that a delivery has. Default: Content-Type, Content-Language, Content-Disposition, Content-Encoding,
	// ETag, Last-Modified and Link.
	CopyHeaders []string `json:"copy_headers,omitempty"`

	// UseBody says whether the call's body is the answer. If it is false, the client
	// gets the upstream's ack, once the call has come; a request that goes on after the
	// call then keeps its own body. Default: true.
	UseBody *bool `json:"use_body,omitempty"`

	// Errors says who writes error answers: "problem" for problem documents, or
	// "caddy" to hand them to the site's handle_errors. Default: problem.
	Errors string `json:"errors,omitempty"`

	app    *app.App
	server *caddyhttp.Server
	// place is where the directive stands in the configuration, inBlock its number in the
	// block that it stands in. Both are known when the app has started.
	place   string
	inBlock int
	log     *zap.Logger
	policy  *callback.Policy
	acks    []ackRange
	// asks is what a person is asked who decides.
	asks asks
	// onlyHead and onlyBody are what a request must say before and in its body.
	onlyHead, onlyBody []Match
	// ackHeader and ackBody are what an ack must say in its header and in its body.
	ackHeader []Match
	ackBody   []Match
	deliverer *app.Deliverer
	// deliverFrom is the place in the request that holds the client's URL, nil for none.
	// deliverTo is the URL for a request that holds none.
	deliverFrom *inject.Location
	deliverTo   string
	// deliverFailedTo is the URL of failures for a request that holds none for them; empty
	// for that of all results.
	deliverFailedTo string
	// readsBody says that the request's body is read into memory before the callback is
	// made.
	readsBody bool

	injections []injection
	// injectsInto is form, json or xml if a value is injected into the body.
	injectsInto inject.Place
	// injectsHeader holds the plain names of the headers that values are injected into.
	injectsHeader map[string]bool
}

// Injection puts a value into the request to the upstream.
type Injection struct {
	// In is header, query, form, json or xml.
	In inject.Place `json:"in"`
	// Name is the name there; for json a dotted path or an RFC 6901 pointer; for xml a path
	// of local names, such as /Order/CallbackUrl; for form the name of a field, which a
	// dotted path into the JSON in it may follow.
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

	onTimeoutFail     = "fail"
	onTimeoutPark     = "park"
	onTimeoutRedirect = "redirect"

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

// ServeHTTP makes a callback for the request and sends the request upstream, or stores it
// for a job. The client is held until the callback has come, or gets 202.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	arrived := time.Now()
	if !h.concerns(r) {
		return next.ServeHTTP(w, r)
	}
	if switches(r) {
		return h.refuse(w, r, problem.Upgrade)
	}
	if answer.TooEarly(r) {
		return h.refuse(w, r, problem.TooEarly)
	}
	rt, err := h.app.Use(r.Context())
	if err != nil || rt.Exiting() {
		if err == nil {
			rt.Release()
		}
		return h.refuse(w, r, problem.Unavailable)
	}
	defer rt.Release()
	x := &exchange{h: h, rt: rt, w: w, r: r, next: next, step: stepOf(r.Context())}
	defer x.end()
	x.trace()
	if id, back := x.comesBack(); back {
		return x.resume(id, arrived)
	}
	if err := x.prepare(); err != nil {
		return x.refuseOrPass(err)
	}
	x.beginTime(arrived)
	if err := x.begin(); err != nil {
		return x.refuseOrPass(err)
	}
	if x.attached {
		return x.attach()
	}
	return x.proceed()
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
	_ app.Placed                  = (*Handler)(nil)
	_ app.Provider                = (*Handler)(nil)
)
