package hold

import (
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"golang.org/x/net/http/httpguts"

	"github.com/caddy-callback/caddy-callback/module/answer"
	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/config"
	"github.com/caddy-callback/caddy-callback/module/engine"
	"github.com/caddy-callback/caddy-callback/module/inject"
	"github.com/caddy-callback/caddy-callback/module/memory"
	"github.com/caddy-callback/caddy-callback/module/problem"
	"github.com/caddy-callback/caddy-callback/module/unpack"
	"github.com/caddy-callback/caddy-callback/module/upstream"
)

// outgoing is the request as the upstream will get it.
type outgoing struct {
	h *Handler
	// client is the header as the client sent it; nil for a job.
	client http.Header
	out    *http.Request
	repl   *caddy.Replacer
	// own is the whole body as the client sent it, if that was read; nil for an empty one.
	// body is what the upstream gets: own, or what values were put into, as changed says.
	own, body *memory.Buffer
	changed   bool
	// unpacked is own for those who look into it, should it be packed; nil if nobody can.
	unpacked *unpack.Body
	// space is the memory for a body that values are put into.
	space memory.Space
}

// injection is a compiled Injection.
type injection struct {
	at inject.Location
	// json says that the value is inserted as JSON, not as a string.
	json  bool
	value config.Value
}

func newInjection(i Injection) (injection, error) {
	at := inject.Location{In: i.In, Name: i.Name}
	if err := at.Validate(); err != nil {
		return injection{}, err
	}
	if literal, ok := strings.CutPrefix(i.Value, "json:"); ok && at.In == inject.JSON {
		return injection{at: at, json: true, value: config.NewValue(literal)}, nil
	}
	return injection{at: at, value: config.NewValue(i.Value)}, nil
}

// holds reports whether a message can hold a value in the injection's place.
func (i injection) holds(text string) bool {
	switch i.at.In {
	case inject.Header:
		return httpguts.ValidHeaderFieldValue(text)
	case inject.XML:
		return inject.HoldsXML(text)
	}
	return true
}

// put puts a value into a message. Its error is a problem.
func (i injection) put(m *inject.Message, text string) (err error) {
	if i.json {
		err = m.SetLiteral(i.at, []byte(text))
	} else {
		err = m.Set(i.at, text)
	}
	switch {
	case i.at.In == inject.XML && errors.Is(err, inject.ErrCharset):
		return problem.NotXML.With(reason(err))
	case err != nil:
		return problem.InvalidBody.With(reason(err))
	}
	return nil
}

// whatHolds names what cannot hold some characters.
func whatHolds(in inject.Place) string {
	if in == inject.XML {
		return "no XML"
	}
	return "no header"
}

// prepare copies the client's request for the upstream: it removes the headers that only
// we may set, and reads the body if it is needed.
func (x *exchange) prepare() error {
	out := x.r.WithContext(x.r.Context())
	out.Header = x.r.Header.Clone()
	// A block may rewrite the URL. The handlers after the callback must not see that.
	u := *x.r.URL
	out.URL = &u
	x.h.strip(out.Header)
	x.h.takePreferences(out.Header)
	x.request = &outgoing{h: x.h, client: x.r.Header, out: out}
	x.request.repl, _ = x.r.Context().Value(caddy.ReplacerCtxKey).(*caddy.Replacer)
	keyed := x.step == nil && x.h.takesKeys() && len(x.r.Header[callback.IdempotencyKey]) > 0
	if len(x.h.onlyBody) > 0 {
		if err := x.read(keyed); err != nil {
			return err
		}
		if err := x.concernsBody(); err != nil {
			return err
		}
	}
	if in := x.h.injectsInto; in != "" {
		switch err := checkBodyType(in, x.r.Header); {
		case err != nil && x.h.answersAck():
			return errPasses
		case err != nil:
			return err
		}
	}
	if (x.h.readsBody || keyed) && len(x.h.onlyBody) == 0 {
		if err := x.read(keyed); err != nil {
			return err
		}
	}
	// If the body has been read, the trailers are complete. Otherwise only their names
	// are known.
	x.h.strip(out.Trailer)
	var err error
	x.retry, err = x.retryKeyOf()
	return err
}

// read reads the body. Requests with the same key share what one callback may have.
func (x *exchange) read(keyed bool) (err error) {
	o, owner := x.request, memory.Nobody
	if keyed {
		scope, _, err := x.scope()
		if err != nil {
			return err
		}
		owner = memory.OwnerOf(scope + " " + x.r.Header[callback.IdempotencyKey][0])
	}
	o.own, err = answer.ReadBody(x.w, x.r, x.rt.Engine.Memory(owner), 0, x.h.app.MaxBodySize)
	if err != nil {
		return err
	}
	o.space = x.rt.Engine.Memory(memory.Nobody)
	o.send(o.own)
	o.body.Retain()
	return nil
}

// send makes that what the upstream gets.
func (o *outgoing) send(body *memory.Buffer) {
	o.body = body
	upstream.SetBody(o.out, body.Bytes())
}

// retain keeps what the upstream gets for another user, and returns what ends that; nil for
// no body.
func (o *outgoing) retain() (release func()) {
	body := o.body
	if body == nil {
		return nil
	}
	body.Retain()
	return body.Release
}

// dropOwn gives up the body as the client sent it.
func (o *outgoing) dropOwn() {
	o.own.Release()
	o.own = nil
}

// dropBody gives up what the upstream gets, which others may still use.
func (o *outgoing) dropBody() {
	o.body.Release()
	o.body = nil
	o.out.Body = http.NoBody
}

// drop gives the body up, which is not used any more.
func (o *outgoing) drop() {
	o.dropOwn()
	o.dropBody()
}

// original returns the client's request as it goes on after the callback: with its own
// body, and without the headers that only we may set.
func (o *outgoing) original(r *http.Request) *http.Request {
	request := r.WithContext(r.Context())
	request.Header = r.Header.Clone()
	o.h.strip(request.Header)
	o.h.takePreferences(request.Header)
	upstream.SetBody(request, o.own.Bytes())
	return request
}

// stored returns the client's request as it is stored for a job.
func (o *outgoing) stored(r *http.Request) *callback.Request {
	header := r.Header.Clone()
	o.h.strip(header)
	o.h.takePreferences(header)
	return &callback.Request{
		Method:     r.Method,
		URI:        r.URL.RequestURI(),
		Host:       r.Host,
		Header:     callback.AckHeader(header),
		Body:       callback.NewBody(o.own.Bytes()),
		RemoteAddr: r.RemoteAddr,
		TLS:        r.TLS != nil,
	}
}

// withheld reports whether a header of the client goes no further than here: one that we
// inject, a wire header, or part of an offer to upgrade.
func (h *Handler) withheld(name string) bool {
	return h.policy.Wire().Speaks(name) || h.injectsHeader[callback.PlainHeader(name)] || isOffer(name)
}

// strip removes the client's headers that go no further, and with them their names from
// the Connection header: the proxy would remove the headers named there.
func (h *Handler) strip(header http.Header) {
	for name := range header {
		if h.withheld(name) {
			delete(header, name)
		}
	}
	values := header["Connection"]
	if !slices.ContainsFunc(values, func(v string) bool { return slices.ContainsFunc(options(v), h.withheld) }) {
		return
	}
	var kept []string
	for _, v := range values {
		kept = append(kept, slices.DeleteFunc(options(v), h.withheld)...)
	}
	header.Del("Connection")
	if len(kept) > 0 {
		header.Set("Connection", strings.Join(kept, ", "))
	}
}

// options returns what a Connection header lists (RFC 9110, section 7.6.1).
func options(value string) []string {
	all := strings.Split(value, ",")
	for i, option := range all {
		all[i] = strings.TrimSpace(option)
	}
	return all
}

// checkBodyType makes sure that a value can be put into the body.
func checkBodyType(in inject.Place, header http.Header) error {
	kind := kindOf(in)
	if fault := kind.refuses(header.Get("Content-Type")); fault != "" {
		return kind.other.With("The request's " + fault + ".")
	}
	if coding := unpack.CodingOf(header["Content-Encoding"]); coding != "" {
		return problem.Compressed.With("The request's Content-Encoding is " + strconv.Quote(coding) + ".")
	}
	return nil
}

// fill puts the correlation id, the callback URL and the configured values into the
// request.
func (o *outgoing) fill(cb *engine.Callback) error {
	if !o.h.InjectOff {
		wire := o.h.policy.Wire()
		o.out.Header[wire.CorrelationID] = []string{cb.CorrelationID}
		o.out.Header[wire.CallbackURL] = []string{cb.URL()}
	}
	for _, i := range o.h.injections {
		if err := o.put(i); err != nil {
			return err
		}
	}
	if !o.changed {
		return nil
	}
	for _, name := range callback.DigestHeaders {
		o.out.Header.Del(name)
	}
	return nil
}

func (o *outgoing) put(i injection) error {
	escape := func(s string) string { return s }
	if i.json {
		escape = inject.QuoteWithin
	}
	text := i.value.Expand(o.repl.GetString, escape)
	if !i.holds(text) {
		return problem.InvalidValue.With("The value for " + i.at.String() + " has characters that " + whatHolds(i.at.In) + " can hold.")
	}
	if i.at.InBody() {
		return o.edit(i, text)
	}
	m := inject.Message{Header: o.out.Header, Query: o.out.URL.RawQuery}
	if err := i.put(&m, text); err != nil {
		return err
	}
	if i.at.In == inject.Query {
		u := *o.out.URL
		u.RawQuery = m.Query
		o.out.URL, o.out.RequestURI = &u, u.RequestURI()
	}
	return nil
}

// edit puts a value into the body that the upstream gets.
func (o *outgoing) edit(i injection, text string) error {
	m := inject.Message{Header: o.out.Header, Body: o.body.Bytes()}
	edited, err := o.space.Edit(o.body, m.Growth(i.at, text), func(room, _ []byte) ([]byte, error) {
		m.Room = room
		err := i.put(&m, text)
		return m.Body, err
	})
	if err != nil {
		return err
	}
	o.body.Release()
	o.send(edited)
	o.changed = true
	return nil
}

// setErrorPlaceholders sets the placeholders that describe a problem to the site's error
// handlers.
func setErrorPlaceholders(r *http.Request, p problem.Problem) {
	repl, ok := r.Context().Value(caddy.ReplacerCtxKey).(*caddy.Replacer)
	if !ok {
		return
	}
	const prefix = callback.PlaceholderPrefix + "error."
	repl.Set(prefix+"type", p.Type())
	repl.Set(prefix+"title", p.Title)
	repl.Set(prefix+"status", p.Status)
	repl.Set(prefix+"detail", p.Detail)
	for _, m := range p.Members {
		repl.Set(prefix+snakeCase(m.Name), m.Value)
	}
}

// snakeCase turns a name in camelCase, as in JSON, into snake_case, as in placeholders.
func snakeCase(camel string) string {
	var b strings.Builder
	for _, c := range camel {
		if 'A' <= c && c <= 'Z' {
			b.WriteByte('_')
			c += 'a' - 'A'
		}
		b.WriteRune(c)
	}
	return b.String()
}
