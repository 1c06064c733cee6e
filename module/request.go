package module

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"

	"github.com/caddyserver/caddy/v2"
	"golang.org/x/net/http/httpguts"

	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/engine"
	"github.com/caddy-callback/caddy-callback/module/inject"
	"github.com/caddy-callback/caddy-callback/module/problem"
	"github.com/caddy-callback/caddy-callback/module/store"
)

// outgoing is the request as the upstream will get it.
type outgoing struct {
	h    *Handler
	out  *http.Request
	repl *caddy.Replacer
	// body is the body that something is put into; replaced says that it is
	// sent in place of the client's.
	body     []byte
	replaced bool
}

// injection is a compiled Injection.
type injection struct {
	at inject.Location
	// json says that the value is JSON as it stands.
	json  bool
	value value
}

func newInjection(i Injection) (injection, error) {
	at, err := inject.ParseLocation(i.In, i.Name)
	if err != nil {
		return injection{}, err
	}
	if literal, ok := strings.CutPrefix(i.Value, "json:"); ok && at.In == inject.JSON {
		return injection{at: at, json: true, value: newValue(literal)}, nil
	}
	return injection{at: at, value: newValue(i.Value)}, nil
}

// prepare takes the client's request: it strips what only we may say, and reads
// the body if something is to be put into it. The lease is of that body.
func (h *Handler) prepare(e *engine.Engine, r *http.Request) (*outgoing, *engine.Lease, error) {
	out := r.WithContext(r.Context())
	out.Header = r.Header.Clone()
	h.strip(out.Header)
	o := &outgoing{h: h, out: out}
	o.repl, _ = r.Context().Value(caddy.ReplacerCtxKey).(*caddy.Replacer)
	in := h.injectsInto
	if in == "" {
		return o, nil, nil
	}
	if err := checkBodyType(in, r.Header); err != nil {
		return nil, nil, err
	}
	body, lease, err := e.ReadBody(r.Body, r.ContentLength, h.app.MaxBodySize)
	if err != nil {
		return nil, nil, err
	}
	o.body, o.replaced = body, true
	return o, lease, nil
}

// strip removes the client's own copies of every header that we inject or speak.
func (h *Handler) strip(header http.Header) {
	wire := h.policy.Wire()
	for name := range header {
		if wire.Speaks(name) || h.injectsHeader[plainName(name)] {
			delete(header, name)
		}
	}
}

var hyphens = strings.NewReplacer("_", "-", ".", "-")

// plainName returns the one name for all spellings of a header that some server
// takes for the same: any case, and underscores or dots for hyphens.
func plainName(name string) string { return http.CanonicalHeaderKey(hyphens.Replace(name)) }

// checkBodyType makes sure that something can be put into the body.
func checkBodyType(in inject.Place, header http.Header) error {
	contentType := header.Get("Content-Type")
	switch {
	case in == inject.JSON && !inject.IsJSON(contentType):
		return problem.NotJSON.With("The request's Content-Type is " + strconv.Quote(contentType) + ", not application/json.")
	case in == inject.Form && !inject.IsForm(contentType):
		return problem.NotForm.With("The request's Content-Type is " + strconv.Quote(contentType) + ", not application/x-www-form-urlencoded.")
	}
	if encoding := header.Get("Content-Encoding"); encoding != "" && !strings.EqualFold(encoding, "identity") {
		return problem.Compressed.With("The request's Content-Encoding is " + strconv.Quote(encoding) + ".")
	}
	return nil
}

// fill puts correlation id, callback URL and whatever else is configured into the
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
	if o.replaced {
		o.replaceBody()
	}
	return nil
}

func (o *outgoing) put(i injection) error {
	escape := asIs
	if i.json {
		escape = insideJSON
	}
	text := i.value.expand(o.repl, escape)
	switch i.at.In {
	case inject.Header:
		if !httpguts.ValidHeaderFieldValue(text) {
			return problem.InvalidValue.With("The value for " + i.at.String() + " has characters that no header can hold.")
		}
		o.out.Header.Set(i.at.Name, text)
	case inject.Query:
		u := *o.out.URL
		u.RawQuery = inject.SetQuery(u.RawQuery, i.at.Name, text)
		o.out.URL = &u
		o.out.RequestURI = u.RequestURI()
	case inject.Form:
		o.body = inject.SetForm(o.body, i.at.Name, text)
	case inject.JSON:
		literal := []byte(text)
		if !i.json {
			literal = inject.Quote(text)
		}
		body, err := inject.SetJSON(o.body, i.at.Name, literal)
		if err != nil {
			return problem.InvalidBody.With("The " + err.Error() + ".")
		}
		o.body = body
	}
	return nil
}

// insideJSON escapes a value that stands inside a string of a JSON literal.
func insideJSON(s string) string {
	quoted := inject.Quote(s)
	return string(quoted[1 : len(quoted)-1])
}

// bodyDigests are headers that say something about the very bytes of a body.
var bodyDigests = []string{"Content-Digest", "Content-Md5", "Digest", "Repr-Digest"}

// replaceBody makes the changed body the request's.
func (o *outgoing) replaceBody() {
	out := o.out
	out.Body = io.NopCloser(bytes.NewReader(o.body))
	out.ContentLength = int64(len(o.body))
	out.TransferEncoding = nil
	out.Header.Set("Content-Length", strconv.Itoa(len(o.body)))
	for _, name := range bodyDigests {
		out.Header.Del(name)
	}
	// The body has been asked for already.
	out.Header.Del("Expect")
}

// trackedBody notices when a request's body has been read to its end. Until then
// an HTTP/1 server does not notice a client that leaves.
type trackedBody struct {
	io.ReadCloser
	ended atomic.Bool
	// detached says that the handlers have had their time. One that still reads
	// must not be given a body with a hole.
	detached atomic.Bool
}

// trackBody puts a trackedBody into the request.
func trackBody(r *http.Request) *trackedBody {
	if r.Body == nil || r.Body == http.NoBody {
		return nil
	}
	t := &trackedBody{ReadCloser: r.Body}
	r.Body = t
	return t
}

// Read implements io.Reader.
func (t *trackedBody) Read(b []byte) (int, error) {
	if t.detached.Load() {
		return 0, errDetached
	}
	n, err := t.ReadCloser.Read(b)
	if err != nil {
		t.ended.Store(true)
	}
	return n, err
}

var errDetached = errors.New("the upstream has answered before it had read the request")

// drain reads what is left of the body, beside everything else.
func (t *trackedBody) drain() {
	if t == nil || t.ended.Load() {
		return
	}
	t.detached.Store(true)
	go func() { _, _ = io.Copy(io.Discard, t.ReadCloser) }()
}

// problemOf returns the error answer to an error of the engine's or of ours.
func problemOf(err error) problem.Problem {
	var p problem.Problem
	switch {
	case errors.As(err, &p):
		return p
	case errors.Is(err, engine.ErrBusy):
		return problem.Busy
	case errors.Is(err, engine.ErrTooLarge), errors.Is(err, store.ErrTooLarge):
		return problem.TooLarge
	case errors.Is(err, engine.ErrCutShort):
		return problem.CutShort
	}
	return storeProblem(err)
}

// setErrorPlaceholders tells the site's error handlers what is the matter.
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

// snakeCase turns a name as JSON has it into one as placeholders have it.
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
