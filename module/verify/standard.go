package verify

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
)

// standardSigns is what is signed by Standard Webhooks.
var standardSigns = []piece{{kind: isID}, text("."), {kind: isTime}, text("."), {kind: isBody}}

// What stands before the secrets and keys of Standard Webhooks, and the version of the signatures
// that are made with them.
const (
	secretPrefix  = "whsec_"
	publicPrefix  = "whpk_"
	privatePrefix = "whsk_"

	secretVersion = "v1"
	publicVersion = "v1a"
)

// newStandard returns what verifies with a secret or a public key of Standard Webhooks. Supabase
// shows its secrets with the version before them.
func newStandard(secret string, ways []way) (*Verifier, error) {
	encoded, isSecret := strings.CutPrefix(strings.TrimPrefix(secret, secretVersion+","), secretPrefix)
	public, isPublic := strings.CutPrefix(secret, publicPrefix)
	var by seal
	version := secretVersion
	switch {
	case isSecret:
		key, err := decode(encoded, secretPrefix)
		if err != nil {
			return nil, err
		}
		if len(key) < minSecret {
			return nil, fmt.Errorf("the secret has %d bytes: it must have %d or more, before they become base64", len(key), minSecret)
		}
		by = mac{key: key}
	case isPublic:
		key, err := decode(public, publicPrefix)
		if err != nil {
			return nil, err
		}
		if by, err = newPublicKey(key); err != nil {
			return nil, err
		}
		version = publicVersion
	case strings.HasPrefix(secret, privatePrefix):
		return nil, errors.New("the secret is a key to sign with, which only the sender has; what verifies begins with whpk_")
	default:
		return nil, errors.New("the secret begins neither with whsec_ nor with whpk_")
	}
	ways = slices.Clone(ways)
	for i, w := range ways {
		ways[i].split = func(value string) (shown, error) { return w.splitStandard(value, version) }
		ways[i].encode = base64.StdEncoding.EncodeToString
		ways[i].complete()
	}
	return &Verifier{ways: ways, seal: by}, nil
}

func decode(encoded, prefix string) ([]byte, error) {
	key, err := base64.StdEncoding.Strict().DecodeString(encoded)
	if err != nil {
		return nil, fmt.Errorf("what follows %s in the secret is not base64 of the standard alphabet, with padding", prefix)
	}
	return key, nil
}

// splitStandard returns the signatures of a version in a list like "v1,... v1a,...".
func (w way) splitStandard(value, version string) (s shown, err error) {
	for entry := range strings.SplitSeq(value, " ") {
		if of, signature, ok := strings.Cut(entry, ","); ok && of == version {
			s.signatures = append(s.signatures, signature)
		}
	}
	if len(s.signatures) == 0 {
		return s, fmt.Errorf("%w: the header %s has no signature of version %s", ErrMalformed, w.header, version)
	}
	return s, nil
}

// minTime is how many digits a time since 2001 has at least.
const minTime = 10

// checkID refuses an id with which a signature would mean another call. What is signed is
// "id.time.body": if the body begins with digits and a dot, a stranger could take the time into
// the id. And if another header is the id to somebody, a stranger could add it.
func (w way) checkID(h http.Header, id string) error {
	for _, name := range w.others {
		if lines := h.Values(name); len(lines) > 0 && !slices.Equal(lines, []string{id}) {
			return fmt.Errorf("%w: the headers %s and %s differ", ErrMalformed, w.id, name)
		}
	}
	_, rest, _ := strings.Cut(id, ".")
	for part := range strings.SplitSeq(rest, ".") {
		if _, ok := seconds(part); ok && len(part) >= minTime {
			return fmt.Errorf("%w: the header %s has a time in it", ErrMalformed, w.id)
		}
	}
	return nil
}
