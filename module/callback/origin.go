package callback

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"strings"
)

// OriginHeader is the header by which a delivery says which store it comes from, so that it
// is known where it comes back to.
const OriginHeader = "Callback-Origin"

// permitted follows a store's mark in a delivery that the operator lets come back.
const permitted = "permitted"

// Origin is the mark of a store in the header of that name. It tells nothing of the secret
// that it is made with, nor of the store.
type Origin string

// Origin returns the mark of the store with that id.
func (s *Secret) Origin(store string) Origin {
	m := hmac.New(sha256.New, s[:])
	m.Write([]byte("origin\x00" + store))
	return Origin(base64.RawURLEncoding.EncodeToString(m.Sum(nil)[:16]))
}

// Value returns the header's value. permits says that the delivery may come back.
func (o Origin) Value(permits bool) string {
	if permits {
		return string(o) + "; " + permitted
	}
	return string(o)
}

// ComesBack reports whether a request is a delivery of the same store that must not come
// back.
func (o Origin) ComesBack(h http.Header) bool {
	for _, line := range h[OriginHeader] {
		for value := range strings.SplitSeq(line, ",") {
			mark, parameter, _ := strings.Cut(value, ";")
			if strings.TrimSpace(mark) == string(o) && strings.TrimSpace(parameter) != permitted {
				return true
			}
		}
	}
	return false
}
