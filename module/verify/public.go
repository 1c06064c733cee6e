package verify

import (
	"bytes"
	"crypto/sha512"
	"encoding/base64"
	"errors"
	"fmt"
	"io"

	"filippo.io/edwards25519"
)

// The lengths of a public key and of a signature of Ed25519, in bytes.
const (
	publicSize    = 32
	signatureSize = 64
)

// publicKey verifies signatures by Ed25519 (RFC 8032, section 5.1.7), as crypto/ed25519 does. That
// wants the whole text in one piece, which would be another copy of the body.
type publicKey struct {
	key []byte
	// minus is the point of the key, negated.
	minus *edwards25519.Point
}

func newPublicKey(key []byte) (publicKey, error) {
	if len(key) != publicSize {
		return publicKey{}, fmt.Errorf("the public key has %d bytes: one of Ed25519 has %d, before they become base64", len(key), publicSize)
	}
	point, err := new(edwards25519.Point).SetBytes(key)
	if err != nil || new(edwards25519.Point).MultByCofactor(point).Equal(edwards25519.NewIdentityPoint()) == 1 {
		return publicKey{}, errors.New("the public key is none of Ed25519")
	}
	return publicKey{key: key, minus: point.Negate(point)}, nil
}

// wellFormed decodes the signatures.
func (publicKey) wellFormed(w way, shown []string) (signatures []string, err error) {
	for _, s := range shown {
		raw, err := base64.StdEncoding.Strict().DecodeString(s)
		if err == nil && len(raw) == signatureSize && base64.StdEncoding.EncodeToString(raw) == s {
			signatures = append(signatures, string(raw))
		}
	}
	if len(signatures) == 0 {
		return nil, fmt.Errorf("%w: the header %s must have a signature of %d bytes in base64", ErrMalformed, w.header, signatureSize)
	}
	return signatures, nil
}

func (p publicKey) matches(_ way, signatures []string, write func(io.Writer)) bool {
	for _, s := range signatures {
		if p.verifies([]byte(s), write) {
			return true
		}
	}
	return false
}

// verifies reports whether [k](-A) + [S]B is R: then the signature is right.
func (p publicKey) verifies(signature []byte, write func(io.Writer)) bool {
	s, err := edwards25519.NewScalar().SetCanonicalBytes(signature[publicSize:])
	if err != nil {
		return false
	}
	h := sha512.New()
	h.Write(signature[:publicSize])
	h.Write(p.key)
	write(h)
	k, err := edwards25519.NewScalar().SetUniformBytes(h.Sum(nil))
	if err != nil {
		return false
	}
	r := new(edwards25519.Point).VarTimeDoubleScalarBaseMult(k, p.minus, s)
	return bytes.Equal(signature[:publicSize], r.Bytes())
}
