package callback

import (
	"cmp"
	"crypto/sha256"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/fxamacker/cbor/v2"

	"github.com/caddy-callback/caddy-callback/module/inject"
)

// Defaults of a policy.
const (
	DefaultFailedStatus = http.StatusFailedDependency
	DefaultReplyStatus  = http.StatusOK
	DefaultRetain       = 24 * time.Hour
)

// CallMethods are the methods that can count as a call at all. HEAD and OPTIONS never
// do.
var CallMethods = []string{http.MethodGet, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete}

// DefaultCopyHeaders are the headers that a result copies from its call.
var DefaultCopyHeaders = []string{
	"Content-Type", "Content-Language", "Content-Disposition", "Content-Encoding", "ETag", "Last-Modified", "Link",
}

// Policy is the configuration that calls are judged by. It is stored once, under its
// hash, and each callback refers to it: a callback keeps the configuration with which
// it was made.
type Policy struct {
	// BaseURL is where partners reach us, without a slash at its end; empty if each
	// callback has its own.
	BaseURL string `cbor:"1,keyasint"`
	// StatusURL is the base of status and result URLs; empty for the callback's base URL.
	StatusURL string `cbor:"2,keyasint"`
	// HeaderPrefix begins the names of the wire headers.
	HeaderPrefix string `cbor:"3,keyasint"`
	// StateQuery is the query parameter that carries the state; empty for a
	// state in the path.
	StateQuery string `cbor:"4,keyasint,omitempty"`
	// Methods are the methods that count as a call.
	Methods []string `cbor:"5,keyasint"`
	// Respond is the reply's response, if one is given.
	Respond *Respond `cbor:"6,keyasint,omitempty"`
	// Redirect is the reply's redirect, if one is given.
	Redirect *Redirect `cbor:"7,keyasint,omitempty"`
	// ReplyHeader are header lines of every reply; values may hold placeholders.
	ReplyHeader Header `cbor:"8,keyasint,omitempty"`
	// CopyHeaders are the headers that the result copies from the call.
	CopyHeaders []string `cbor:"9,keyasint"`
	// AckIsResult makes the upstream's ack the result in place of the call.
	AckIsResult bool `cbor:"10,keyasint,omitempty"`
	// FailedStatus is the status of the answer to a failed callback.
	FailedStatus int `cbor:"11,keyasint"`
	// Retain is how long a finished callback can still be read.
	Retain time.Duration `cbor:"12,keyasint"`
	// RequireCorrelationID refuses calls without a correlation id.
	RequireCorrelationID bool `cbor:"13,keyasint,omitempty"`
	// RequireStatus refuses calls that say neither Ok nor Failed.
	RequireStatus bool `cbor:"14,keyasint,omitempty"`
	// DocumentStatuses are the document statuses that are known.
	DocumentStatuses []string `cbor:"15,keyasint,omitempty"`
	// FailedBody makes the call's own body the answer to a failed callback.
	FailedBody bool `cbor:"16,keyasint,omitempty"`
	// Failed matches calls that mean Failed.
	Failed []Match `cbor:"17,keyasint,omitempty"`
	// Progress matches calls that are not the answer yet.
	Progress []Match `cbor:"18,keyasint,omitempty"`
	// ErrorCode is where a failed call has its error code; nil for the wire header.
	ErrorCode *inject.Location `cbor:"19,keyasint,omitempty"`
	// ErrorText is where a failed call has its error text; nil for the wire header.
	ErrorText *inject.Location `cbor:"20,keyasint,omitempty"`
	// Once ends the callback as failed with the first call that is refused.
	Once bool `cbor:"21,keyasint,omitempty"`
	// Multiple goes on accepting calls after the first, until the callback
	// expires or is closed; the last is the result.
	Multiple bool `cbor:"22,keyasint,omitempty"`
	// Keys are the named keys of which a call must show one; empty if none is required.
	Keys []string `cbor:"23,keyasint,omitempty"`
	// OwnKey makes a key for the callback, in its URL. A call must show that key or one
	// of Keys.
	OwnKey bool `cbor:"24,keyasint,omitempty"`
	// Then says that a call which means Ok does not end the callback: the block
	// "then" goes on with it, and its response is the result.
	Then bool `cbor:"25,keyasint,omitempty"`
	// Ask is the path at which the app is asked about each call; empty for none.
	Ask string `cbor:"26,keyasint,omitempty"`

	// Succeeded matches calls that mean success. If it is given, other calls mean Failed,
	// or, if Failed is given, too, are not the answer yet.
	Succeeded []Match `cbor:"27,keyasint,omitempty"`
	// Result says what of the call is the result: ResultBody, ResultQuery or ResultCall.
	Result string `cbor:"28,keyasint,omitempty"`
	// IgnoreConflicts answers calls after the accepted one with the first reply, and
	// drops them.
	IgnoreConflicts bool `cbor:"29,keyasint,omitempty"`
	// RedirectFailed is where people are sent who come after the callback has failed, and
	// those who come to the failed URL; nil for Redirect.
	RedirectFailed *Redirect `cbor:"30,keyasint,omitempty"`
	// RedirectLate is where people are sent who come when the callback has expired or is
	// closed; nil for nowhere.
	RedirectLate *Redirect `cbor:"31,keyasint,omitempty"`
	// Shape says how results are delivered; nil for as they are.
	Shape *Shape `cbor:"70,keyasint,omitempty"`
	// RetainBodies is how long the bodies of a finished callback are kept; 0 for as long as
	// the callback.
	RetainBodies time.Duration `cbor:"61,keyasint,omitempty"`
	// Fetch says that a call which means Ok does not end the callback: the result is fetched
	// through the block "fetch".
	Fetch bool `cbor:"62,keyasint,omitempty"`
	// Page is what people see at the status URL; nil for the status.
	Page *Page `cbor:"63,keyasint,omitempty"`
	// Confirm says that a person decides; nil for a partner.
	Confirm *Confirm `cbor:"64,keyasint,omitempty"`
	// Needs are the names of the features that judging by the policy requires. Compile
	// sets it.
	Needs []string `cbor:"60,keyasint,omitempty"`

	compiled
}

// compiled is what is derived from the stored fields.
type compiled struct {
	hash Digest
	// unmet says which of Needs this release does not know; nil if it knows all.
	unmet error
	wire  Wire
	body  Template
	// bodyJSON says that the reply's body is JSON, and must stay so.
	bodyJSON bool
	header   []Template
	// envelope is what is delivered in place of the body of a result; nil for that body.
	envelope *Envelope
	target   Target
	// failedTarget and late are the targets of RedirectFailed and RedirectLate, pageTarget that
	// of the page.
	failedTarget, late, pageTarget Target
	allowed                        string
	// reads are the headers that Failed, Progress and Succeeded compare, apart from the
	// wire headers.
	reads []string
}

// Respond is a reply's response.
type Respond struct {
	// Status is the response's status; 0 stands for 200.
	Status int `cbor:"1,keyasint"`
	// Body may hold placeholders.
	Body string `cbor:"2,keyasint,omitempty"`
}

// Redirect is a reply's redirect.
type Redirect struct {
	// URL may hold placeholders in path and query.
	URL string `cbor:"1,keyasint"`
	// Status is the redirect's status; 0 stands for 302 to a GET, else 303.
	Status int `cbor:"2,keyasint,omitempty"`
}

var policyEncoding = func() cbor.EncMode {
	mode, err := cbor.CoreDetEncOptions().EncMode()
	if err != nil {
		panic(err)
	}
	return mode
}()

// policyDecoding accepts text that is not UTF-8, because an operator may have
// configured it.
var policyDecoding = func() cbor.DecMode {
	mode, err := cbor.DecOptions{UTF8: cbor.UTF8DecodeInvalid}.DecMode()
	if err != nil {
		panic(err)
	}
	return mode
}()

// Compile sets defaults, checks that the policy can be used, and prepares it for use.
// It must be called once, before any other method except Check.
func (p *Policy) Compile() error {
	if err := p.prepare(); err != nil {
		return err
	}
	p.Needs = p.needs()
	encoded, err := p.Encode()
	if err != nil {
		return err
	}
	p.hash = sha256.Sum256(encoded)
	return nil
}

// prepare sets defaults, and what is derived from the fields except for the hash.
func (p *Policy) prepare() error {
	p.setDefaults()
	p.wire = NewWire(p.HeaderPrefix)
	if err := p.checkMethods(); err != nil {
		return fmt.Errorf("methods: %w", err)
	}
	for _, m := range slices.Concat(p.Failed, p.Progress, p.Succeeded) {
		if m.Location.In == inject.Header {
			p.reads = append(p.reads, http.CanonicalHeaderKey(m.Location.Name))
		}
	}
	p.allowed = strings.Join(p.allowedMethods(), ", ")
	if p.Respond != nil {
		p.body = NewTemplate(p.Respond.Body)
		p.bodyJSON = p.body.isJSON()
	}
	p.header = make([]Template, len(p.ReplyHeader))
	for i, f := range p.ReplyHeader {
		if f.Name == "Location" || f.Name == "Refresh" {
			return fmt.Errorf("a reply cannot have the header %s; give a redirect instead", f.Name)
		}
		p.header[i] = NewTemplate(f.Value)
	}
	var err error
	if p.envelope, err = p.Shape.envelope(); err != nil {
		return fmt.Errorf("what is delivered: %w", err)
	}
	for _, r := range p.redirects() {
		target, err := NewTarget(r.to.URL)
		if err != nil {
			return err
		}
		*r.target = target
	}
	return nil
}

func (p *Policy) setDefaults() {
	p.StatusURL = cmp.Or(p.StatusURL, p.BaseURL)
	p.HeaderPrefix = cmp.Or(p.HeaderPrefix, DefaultHeaderPrefix)
	p.FailedStatus = cmp.Or(p.FailedStatus, DefaultFailedStatus)
	p.Retain = cmp.Or(p.Retain, DefaultRetain)
	if p.Respond != nil && p.Respond.Status == 0 {
		p.Respond = &Respond{Status: DefaultReplyStatus, Body: p.Respond.Body}
	}
	if p.CopyHeaders == nil {
		p.CopyHeaders = DefaultCopyHeaders
	}
	for i, f := range p.ReplyHeader {
		if c := http.CanonicalHeaderKey(f.Name); c != f.Name {
			p.ReplyHeader = slices.Clone(p.ReplyHeader)
			p.ReplyHeader[i].Name = c
		}
	}
	for i, name := range p.CopyHeaders {
		if c := http.CanonicalHeaderKey(name); c != name {
			p.CopyHeaders = slices.Clone(p.CopyHeaders)
			p.CopyHeaders[i] = c
		}
	}
	if p.Methods == nil && p.Confirm != nil {
		p.Methods = []string{http.MethodPost}
	}
	if p.Methods == nil {
		p.Methods = []string{http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete}
		if p.Redirect != nil && p.Respond == nil {
			p.Methods = append([]string{http.MethodGet}, p.Methods...)
		}
	}
}

// redirection is one of the redirects of a policy.
type redirection struct {
	option string
	to     *Redirect
	target *Target
}

// redirects returns the redirects that the policy has.
func (p *Policy) redirects() []redirection {
	var onPage *Redirect
	if p.Page != nil && p.Page.Redirect != "" {
		onPage = &Redirect{URL: p.Page.Redirect}
	}
	return slices.DeleteFunc([]redirection{
		{"redir", p.Redirect, &p.target}, {"redir_failed", p.RedirectFailed, &p.failedTarget}, {"redir_late", p.RedirectLate, &p.late},
		{"page: redir", onPage, &p.pageTarget},
	}, func(r redirection) bool { return r.to == nil })
}

// Encode returns the policy as it is stored and hashed.
func (p *Policy) Encode() ([]byte, error) {
	b, err := policyEncoding.Marshal(p)
	if err != nil {
		return nil, fmt.Errorf("encoding a policy: %w", err)
	}
	return b, nil
}

// DecodePolicy reads a stored policy and compiles it. Of a policy that needs a later
// release it reads what it can.
func DecodePolicy(b []byte) (*Policy, error) {
	p := new(Policy)
	err := policyDecoding.Unmarshal(b, p)
	p.unmet = p.checkNeeds()
	if err != nil && p.unmet == nil {
		return nil, fmt.Errorf("decoding a policy: %w", err)
	}
	if err := p.prepare(); err != nil && p.unmet == nil {
		return nil, fmt.Errorf("stored policy: %w", err)
	}
	// The bytes, and not what is read of them, are what the policy is stored under: a
	// later release may have put more into it.
	p.hash = sha256.Sum256(b)
	return p, nil
}

// Hash returns the hash under which the policy is stored.
func (p *Policy) Hash() Digest { return p.hash }

// Wire returns the names of the wire headers.
func (p *Policy) Wire() Wire { return p.wire }

// Allow returns the value of the Allow header: the methods that get an answer
// other than 405.
func (p *Policy) Allow() string { return p.allowed }

func (p *Policy) allowedMethods() []string {
	allowed := slices.Concat(p.Methods, LookMethods)
	if (p.redirectsPeople() || p.Confirm != nil) && !slices.Contains(p.Methods, http.MethodGet) {
		return append([]string{http.MethodGet}, allowed...)
	}
	return allowed
}

// redirectsPeople reports whether the reply is both a response and a redirect. A GET
// is then a person who comes back: it is always redirected and never a call. The
// other methods are calls of the partner's server.
func (p *Policy) redirectsPeople() bool {
	return p.Respond != nil && p.Redirect != nil && p.Confirm == nil
}
