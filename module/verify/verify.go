// Package verify checks the signatures on calls: whether whoever sent a call knows the secret of
// a provider. It knows the schemes of several, and one that is configured.
package verify

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"
)

// The schemes by which calls are signed.
const (
	// Standard is that of Standard Webhooks (standardwebhooks.com, specification 1.0.0), which
	// OpenAI, Anthropic, Replicate and all who send through Svix use. Svix's names of the headers
	// are understood, too.
	Standard = "standard"
	// GitHub is that of GitHub (docs.github.com, "Validating webhook deliveries"), Gitea and
	// Forgejo.
	GitHub = "github"
	// Stripe is that of Stripe (docs.stripe.com, "Verify webhook signatures manually").
	Stripe = "stripe"
	// Slack is that of Slack (docs.slack.dev, "Verifying requests from Slack").
	Slack = "slack"
	// Shopify is that of Shopify (shopify.dev, "Verify webhook deliveries"). The names of the headers
	// of webhooks and of events are understood.
	Shopify = "shopify"
	// Twilio is that of Twilio (twilio.com/docs/usage/security).
	Twilio = "twilio"
	// HMAC is the one that Custom tells.
	HMAC = "hmac"
)

// Schemes returns the names of all schemes.
func Schemes() []string {
	return []string{Standard, GitHub, Stripe, Slack, Shopify, Twilio, HMAC}
}

// Split splits a text like "standard:{env.A}" into scheme and secret. ok is false if no known
// scheme stands in front.
func Split(text string) (scheme, secret string, ok bool) {
	scheme, secret, ok = strings.Cut(text, ":")
	if !ok || !slices.Contains(Schemes(), scheme) {
		return "", "", false
	}
	return scheme, secret, true
}

// Why a signature does not count. What Verify returns wraps one of these.
var (
	ErrMissing    = errors.New("the signature is missing")
	ErrWrong      = errors.New("the signature is wrong")
	ErrTooOld     = errors.New("the signature is too old or too new")
	ErrGivenTwice = errors.New("the signature is given twice")
	ErrMalformed  = errors.New("the signature is malformed")
)

// Bounds of what a stranger can make a verifier do.
const (
	// maxValue bounds a header that is read, in bytes.
	maxValue = 4 << 10
	// maxSignatures bounds how many signatures of one call are tried. Two secrets at a time are
	// a rotation.
	maxSignatures = 8
	// maxURLs bounds how many URLs a call may have come to.
	maxURLs = 8
)

// Message is a call as it came.
type Message struct {
	Header http.Header
	// Body has the bytes of the body, before anything is decoded.
	Body []byte
	// URLs are the public URLs that the call may have come to, with its query. At most 8 are
	// tried. Only Twilio signs it, and who signs by a Custom with {url}.
	URLs []string
	// Method is that of the call. Only who signs by a Custom with {method} signs it.
	Method string
}

// Verifier checks the signatures that are made with one secret, for any number of goroutines at a
// time. It never prints the secret.
type Verifier struct {
	// ways are the ways in which a call may bear its signature. The first that it bears counts.
	ways []way
	seal seal
}

// New returns what verifies the calls that are signed with a secret. custom is nil but for HMAC.
// Errors say what is wrong with the secret, and never show it.
func New(scheme, secret string, custom *Custom) (*Verifier, error) {
	if (scheme == HMAC) != (custom != nil) {
		if custom == nil {
			return nil, errors.New("hmac must be told how calls are signed: the header at least")
		}
		return nil, fmt.Errorf("%s is told nothing: only hmac is", scheme)
	}
	ways, ok := table[scheme]
	switch {
	case custom != nil:
		if err := custom.Check(); err != nil {
			return nil, err
		}
		ways = []way{custom.way()}
	case !ok:
		return nil, fmt.Errorf("%q is no scheme; write one of %s", scheme, strings.Join(Schemes(), ", "))
	}
	if err := checkText(secret); err != nil {
		return nil, err
	}
	if scheme == Standard {
		return newStandard(secret, ways)
	}
	if len(secret) < minSecret {
		return nil, fmt.Errorf("the secret has %d bytes: it must have %d or more", len(secret), minSecret)
	}
	return &Verifier{ways: ways, seal: mac{key: []byte(secret)}}, nil
}

// String keeps a secret out of every log and message.
func (Verifier) String() string { return "[verifier]" }

// Format keeps a secret out of what is printed with any verb.
func (v Verifier) Format(w fmt.State, _ rune) { _, _ = io.WriteString(w, v.String()) }

// Header returns the name of the header that bears the signature.
func (v *Verifier) Header() string { return v.ways[0].header }

// Claims reports whether a call bears the header of the scheme at all. Only then is its body
// worth reading.
func (v *Verifier) Claims(h http.Header) bool {
	return slices.ContainsFunc(v.ways, func(w way) bool { return w.borne(h) })
}

// Verify returns nil if a call bears a right signature, else ErrMissing, ErrWrong, ErrTooOld,
// ErrGivenTwice or ErrMalformed with the reason. It never says what would be right.
func (v *Verifier) Verify(m Message, now time.Time) error {
	w := v.ways[0]
	for _, other := range v.ways[1:] {
		if !w.borne(m.Header) && other.borne(m.Header) {
			w = other
		}
	}
	shown, err := w.read(m.Header)
	if err != nil {
		return err
	}
	if err := w.checkTime(shown.timestamp, now); err != nil {
		return err
	}
	if w.twilio {
		if w, err = w.asSet(m.Header); err != nil {
			return err
		}
	}
	return w.check(v.seal, shown, m)
}
