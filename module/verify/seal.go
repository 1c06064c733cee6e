package verify

import (
	"crypto/hmac"
	"crypto/subtle"
	"fmt"
	"io"
	"strings"
)

// seal is what is made with a secret, or checked with a public key.
type seal interface {
	// wellFormed returns the signatures of those shown that can be right, in a form that matches
	// takes. It bounds their number.
	wellFormed(w way, shown []string) ([]string, error)
	// matches reports whether one of the signatures is that of a text.
	matches(w way, signatures []string, write func(io.Writer)) bool
}

// mac is an HMAC.
type mac struct{ key []byte }

// wellFormed does without those of another length: that is known to everybody.
func (mac) wellFormed(w way, shown []string) (signatures []string, err error) {
	for _, s := range shown {
		encoded, ok := strings.CutPrefix(s, w.prefix)
		if !ok || len(encoded) != w.length {
			continue
		}
		if w.folds {
			encoded = strings.ToLower(encoded)
		}
		signatures = append(signatures, encoded)
	}
	if len(signatures) == 0 {
		if w.prefix != "" {
			return nil, fmt.Errorf("%w: the header %s must have %s and %d characters", ErrMalformed, w.header, w.prefix, w.length)
		}
		return nil, fmt.Errorf("%w: the header %s must have a signature of %d characters", ErrMalformed, w.header, w.length)
	}
	return signatures, nil
}

// matches compares in constant time.
func (m mac) matches(w way, signatures []string, write func(io.Writer)) bool {
	h := hmac.New(w.hash, m.key)
	write(h)
	want, found := []byte(w.encode(h.Sum(nil))), 0
	for _, s := range signatures {
		found |= subtle.ConstantTimeCompare([]byte(s), want)
	}
	return found == 1
}

// check makes sure that one of the signatures is right.
func (w way) check(by seal, s shown, m Message) error {
	if len(s.signatures) > maxSignatures {
		return fmt.Errorf("%w: the header %s has more than %d signatures", ErrMalformed, w.header, maxSignatures)
	}
	signatures, err := by.wellFormed(w, s.signatures)
	if err != nil {
		return err
	}
	if w.twilio {
		return w.checkTwilio(by, signatures, m)
	}
	urls := []string{""}
	if has(w.signs, isURL) {
		if urls, err = urlsOf(m); err != nil {
			return err
		}
	}
	for _, to := range urls {
		if by.matches(w, signatures, func(out io.Writer) { writeSigned(out, w.signs, s, m, to) }) {
			return nil
		}
	}
	return w.wrong()
}

// wrong is the error for signatures of which none is right.
func (w way) wrong() error {
	if w.twilio || has(w.signs, isURL) {
		return fmt.Errorf("%w: the one in the header %s is not what this secret makes of this call and its URL", ErrWrong, w.header)
	}
	return fmt.Errorf("%w: the one in the header %s is not what this secret makes of this call", ErrWrong, w.header)
}

// urlsOf returns the URLs to which a call may have come.
func urlsOf(m Message) ([]string, error) {
	if len(m.URLs) == 0 {
		return nil, fmt.Errorf("%w: the URL that is signed is not known", ErrWrong)
	}
	return m.URLs[:min(len(m.URLs), maxURLs)], nil
}
