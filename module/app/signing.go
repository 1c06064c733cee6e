package app

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/problem"
	"github.com/caddy-callback/caddy-callback/module/verify"
)

// IsSigned reports whether a secret, as it is configured, is one of a key that is shown by
// signing.
func IsSigned(text string) bool { _, _, ok := verify.Split(text); return ok }

// signer is one secret of a key that is shown by signing.
type signer struct {
	Key
	verifier *verify.Verifier
	// signsName says that the signature covers the name of the call.
	signsName bool
}

// newSigners returns the secrets of the keys that are shown by signing. No two keys have the
// same: a signature shows one key.
func newSigners(keys []Key) ([]signer, error) {
	var all []signer
	of := make(map[string]string)
	for _, k := range keys {
		for _, text := range k.secrets() {
			scheme, placeholder, signs := verify.Split(text)
			if !signs {
				continue
			}
			secret, err := secretOf(placeholder)
			if err != nil {
				return nil, fmt.Errorf("key %s: %w; put there what the provider shows as the secret of its webhooks", k.Name, err)
			}
			secret = strings.TrimSpace(secret)
			if other, taken := of[scheme+":"+secret]; taken {
				return nil, oneKeyOneSecret(other, k.Name)
			}
			of[scheme+":"+secret] = k.Name
			v, err := verify.New(scheme, secret, k.HMAC)
			if err != nil {
				return nil, fmt.Errorf("key %s: %s: %w", k.Name, placeholder, err)
			}
			all = append(all, signer{k, v, scheme == verify.Standard})
		}
	}
	return all, nil
}

// Signatures are what a call bears that could show keys, right or wrong. They can only be
// checked when the body of the call is there.
type Signatures struct {
	signers []signer
	// able says that there are keys which are shown by signing.
	able bool
}

// SignaturesOf returns the signatures that a call bears.
func (a *App) SignaturesOf(h http.Header) Signatures {
	s := Signatures{able: len(a.signers) > 0}
	for _, k := range a.signers {
		if k.verifier.Claims(h) {
			s.signers = append(s.signers, k)
		}
	}
	return s
}

// None reports whether the call bears no signature that could show a key.
func (s Signatures) None() bool { return len(s.signers) == 0 }

// Assumed returns the caller as it is if all signatures are right: whoever is refused even
// then need not be listened to.
func (s Signatures) Assumed(c callback.Caller) callback.Caller {
	c.Names, c.MaySign = slices.Clone(c.Names), s.able
	for _, k := range s.signers {
		s.show(&c, k)
	}
	return c
}

// Proved returns the caller with the keys that the call has shown by signing. If it has shown
// none, Refused says why.
func (s Signatures) Proved(c callback.Caller, m verify.Message, now time.Time) callback.Caller {
	c.Names, c.MaySign = slices.Clone(c.Names), s.able
	var refused error
	for _, k := range s.signers {
		if err := k.verifier.Verify(m, now); err != nil {
			// A signature that is right but too old says more than one that another key made.
			if refused == nil || errors.Is(err, verify.ErrTooOld) {
				refused = err
			}
			continue
		}
		s.show(&c, k)
		c.Signed = true
		c.SignsName = c.SignsName || k.signsName
	}
	if !c.Signed && refused != nil {
		c.Refused = problem.Sentence(refused)
	}
	return c
}

// show adds a key to those that a caller has shown.
func (Signatures) show(c *callback.Caller, k signer) {
	c.Shown, c.Known = true, true
	if slices.Contains(c.Names, k.Name) {
		return
	}
	c.Names = append(c.Names, k.Name)
	if k.For != nil {
		c.Only = withOnly(maps.Clone(c.Only), k.Key)
	}
}

// PublicURLs returns the URLs at which a call with one of these paths and queries may have been
// sent: some providers sign the URL, too.
func (a *App) PublicURLs(uris []string) []string { return a.bases.Join(uris) }
