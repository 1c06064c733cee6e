package deliver

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"hash"
	"io"
	"strconv"
	"strings"
	"time"
)

// The lengths that the key in a secret may have, in bytes.
const (
	minSecret = 24
	maxSecret = 64
)

const secretPrefix = "whsec_"

// Secret signs deliveries (Standard Webhooks). It is never printed.
type Secret struct{ key []byte }

// ParseSecret reads a secret as it is configured: whsec_ and 24 to 64 bytes in
// base64. Its errors do not show the text.
func ParseSecret(text string) (Secret, error) {
	encoded, ok := strings.CutPrefix(text, secretPrefix)
	if !ok {
		return Secret{}, errors.New("the secret does not begin with whsec_")
	}
	key, err := base64.StdEncoding.Strict().DecodeString(encoded)
	// The decoder skips line breaks.
	if err != nil || strings.ContainsAny(encoded, "\r\n") {
		return Secret{}, errors.New("what follows whsec_ in the secret is not base64 of the standard alphabet, with padding")
	}
	if len(key) < minSecret || len(key) > maxSecret {
		return Secret{}, fmt.Errorf("the secret has %d bytes: it must have %d to %d, before they become base64", len(key), minSecret, maxSecret)
	}
	return Secret{key: key}, nil
}

// String keeps a secret out of every log and message.
func (Secret) String() string { return "[secret]" }

// Format keeps a secret out of what is printed with any verb.
func (s Secret) Format(w fmt.State, _ rune) { _, _ = io.WriteString(w, s.String()) }

// Sign returns the value of the header webhook-signature: a signature for each of the
// secrets, so that a receiver can change to another secret at any time.
func Sign(secrets []Secret, id string, at time.Time, body io.Reader) (string, error) {
	macs := make([]hash.Hash, len(secrets))
	all := make([]io.Writer, len(secrets))
	for i, s := range secrets {
		macs[i] = hmac.New(sha256.New, s.key)
		all[i] = macs[i]
	}
	w := io.MultiWriter(all...)
	_, _ = io.WriteString(w, id+"."+timestamp(at)+".")
	if _, err := io.Copy(w, body); err != nil {
		return "", fmt.Errorf("reading what is to be signed: %w", err)
	}
	signatures := make([]string, len(macs))
	for i, mac := range macs {
		signatures[i] = "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))
	}
	return strings.Join(signatures, " "), nil
}

func timestamp(at time.Time) string { return strconv.FormatInt(at.Unix(), 10) }
