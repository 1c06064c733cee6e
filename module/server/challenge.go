package server

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/caddy-callback/caddy-callback/module/answer"
	"github.com/caddy-callback/caddy-callback/module/app"
	"github.com/caddy-callback/caddy-callback/module/config"
	"github.com/caddy-callback/caddy-callback/module/engine"
	"github.com/caddy-callback/caddy-callback/module/memory"
	"github.com/caddy-callback/caddy-callback/module/verify"
)

// Challenge is a handshake by which a provider makes sure, before it sends events, that the fixed
// URL is that of its customer.
type Challenge struct {
	// Provider is whose handshake it is: slack, graph (Microsoft Graph and SharePoint), dropbox,
	// eventgrid (Azure Event Grid), cloudevents, meta, zoom or x. It is required.
	Provider string `json:"provider"`

	// Secret is a placeholder like {env.NAME} or {file.PATH}. It is required for meta, the verify
	// token that the app was given, for zoom, its secret token, and for x, its consumer secret,
	// and of no use for others. It has at least 16 bytes.
	Secret string `json:"secret,omitempty"`
}

// maxHandshake bounds the body of a handshake and what it is answered with, in bytes.
const maxHandshake = 4 << 10

// minChallengeSecret is the minimum length of a secret, in bytes.
const minChallengeSecret = 16

var challengeSecret = regexp.MustCompile(`^\{(env|file)\.[^{}]+\}$`)

// String returns the challenge as it is configured.
func (c Challenge) String() string { return strings.TrimSpace(c.Provider + " " + c.Secret) }

// NeedsSecret reports whether the provider shares a secret with its customers.
func (c Challenge) NeedsSecret() bool { return handshakes[c.Provider].newSeal != nil }

// Check makes sure that the provider is known, and has a secret if it needs one.
func (c Challenge) Check() error {
	h, known := handshakes[c.Provider]
	needs := h.newSeal != nil
	switch {
	case !known && challengeSecret.MatchString(c.Provider):
		return fmt.Errorf("%s stands where a provider was expected; only meta, zoom and x have a secret, each one", c.Provider)
	case !known:
		meant := ""
		if near := config.Nearest(c.Provider, challengers); near != "" {
			meant = " (did you mean " + near + "?)"
		}
		return fmt.Errorf("%q is not known%s; write some of %s", c.Provider, meant, strings.Join(challengers, ", "))
	case !needs && c.Secret != "":
		return fmt.Errorf("%s has no secret; leave it out", c.Provider)
	case needs && !challengeSecret.MatchString(c.Secret):
		return fmt.Errorf("%s needs a secret: {env.NAME} or {file.PATH}, so that the secret itself is not in the configuration", c.Provider)
	}
	return nil
}

// checkChallenges makes sure that all are valid, and none is given twice.
func checkChallenges(list []Challenge) error {
	for i, c := range list {
		if err := c.Check(); err != nil {
			return err
		}
		if slices.Contains(list[:i], c) {
			return fmt.Errorf("%s is given twice; leave one of the two out", c)
		}
	}
	return nil
}

// challenge is a Challenge that can be answered.
type challenge struct {
	provider string
	handshake
	seal *seal
}

// seal is what is known of a secret.
type seal struct {
	secret []byte
	// verifier checks the signature of who challenges, if that signs.
	verifier *verify.Verifier
}

// newChallenges reads the secrets. Errors name the provider.
func newChallenges(list []Challenge) ([]challenge, error) {
	challenges := make([]challenge, 0, len(list))
	for _, c := range list {
		one := challenge{provider: c.Provider, handshake: handshakes[c.Provider]}
		if one.newSeal != nil {
			secret, err := app.Secret(c.Secret)
			if err == nil {
				one.seal, err = one.newSeal(strings.TrimSpace(secret))
			}
			if err != nil {
				return nil, fmt.Errorf("%s: %w", c.Provider, err)
			}
		}
		challenges = append(challenges, one)
	}
	return challenges, nil
}

// serveChallenge answers a request to the fixed URL if it is a handshake. It needs no key, and
// nothing is stored. If it is none, its body can be read from its beginning, as long as the lease
// is not released.
func (s *Server) serveChallenge(w http.ResponseWriter, r *http.Request, e *engine.Engine) (lease *memory.Lease, done bool) {
	likely := slices.DeleteFunc(slices.Clone(s.challenges), func(c challenge) bool { return !c.like(r) })
	if len(likely) == 0 {
		return nil, false
	}
	var body []byte
	if answer.HasBody(r) {
		var err error
		if lease, body, err = peek(w, r, e); err != nil {
			answer.ProblemOf(err).Write(w)
			return nil, true
		}
		if lease == nil || len(body) > maxHandshake {
			return lease, false
		}
	}
	for _, c := range likely {
		if c.bodied != (len(body) > 0) {
			continue
		}
		if reply := c.reply(c.seal, r, body, e.Now()); reply != nil {
			s.log.Debug("handshake answered", zap.String("provider", c.provider))
			reply(w, r)
			return lease, true
		}
	}
	return lease, false
}

// peek reads a body that can be a handshake's, and puts it back. There is no lease if it cannot be
// one, or if strangers have all the memory that they may have: then nothing is read.
func peek(w http.ResponseWriter, r *http.Request, e *engine.Engine) (*memory.Lease, []byte, error) {
	if r.ContentLength > maxHandshake || r.Header.Get("Content-Encoding") != "" {
		return nil, nil, nil
	}
	lease, err := e.BlindMemory().Reserve(maxHandshake + 1)
	if err != nil {
		return nil, nil, nil //nolint:nilerr // it is not looked at, and can be a call all the same
	}
	begin, err := answer.Peek(w, r, make([]byte, maxHandshake+1), readBlindWithin)
	if err != nil {
		lease.Release()
		return nil, nil, err
	}
	r.Body = givenBack{io.MultiReader(bytes.NewReader(begin), r.Body), r.Body}
	// The body has come, so its sender need not be asked for it.
	r.Header.Del("Expect")
	return lease, begin, nil
}

// plain returns a reply that is the text that a provider sent, nil if that is none. No browser
// takes it for anything else.
func plain(sent string) reply {
	if sent == "" || len(sent) > maxHandshake || strings.ContainsFunc(sent, isControl) {
		return nil
	}
	return func(w http.ResponseWriter, _ *http.Request) { writeReply(w, "text/plain; charset=utf-8", []byte(sent)) }
}

// isControl reports whether a character cannot be in a text that is sent back. U+FFFD stands for
// what is no character.
func isControl(c rune) bool { return c < ' ' || c == 0x7f || c == '\ufffd' }

func writeReply(w http.ResponseWriter, mediaType string, body []byte) {
	h := w.Header()
	h.Set("Content-Type", mediaType)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Security-Policy", "default-src 'none'; sandbox")
	w.WriteHeader(http.StatusOK)
	_, _ = w.Write(body) //nolint:gosec // it is text or JSON, and no browser takes it for anything else
}

// secretOnly is newSeal for a secret that is only compared.
func secretOnly(secret string) (*seal, error) {
	if len(secret) < minChallengeSecret {
		return nil, fmt.Errorf("the secret has %d bytes: it must have %d or more", len(secret), minChallengeSecret)
	}
	return &seal{secret: []byte(secret)}, nil
}

// signedBy returns newSeal for a secret with which who challenges signs.
func signedBy(custom verify.Custom) func(secret string) (*seal, error) {
	return func(secret string) (*seal, error) {
		v, err := verify.New(verify.HMAC, secret, &custom)
		return &seal{secret: []byte(secret), verifier: v}, err
	}
}

// signed reports whether a request is signed with the secret: only then is what it holds signed for
// it. text is what the provider signs.
func (s *seal) signed(r *http.Request, text []byte, now time.Time) bool {
	return s.verifier.Verify(verify.Message{Header: r.Header, Body: text}, now) == nil
}

// token matches what is signed for a provider. It cannot be anything that a provider would sign: no
// JSON, no query and no text with a time.
var token = regexp.MustCompile(`^[0-9A-Za-z_-]+$`)
