package callback

import (
	"cmp"
	"errors"

	"github.com/caddy-callback/caddy-callback/module/inject"
)

// Match recognizes calls by a value in them.
type Match struct {
	Location inject.Location `cbor:"1,keyasint"`
	// Values are the patterns of which the value must match one, as inject.Value does
	// it. Without any, it matches if it is there.
	Values []string `cbor:"2,keyasint,omitempty"`
}

// matches reports whether one of the matches fits the call. It is an error if none does
// and one could not be read. Of matches that look for different kinds of body, it is
// enough that one could be read. To an operator's call, what cannot be read is absent.
func matches(all []Match, c *Call, m *inject.Message) (bool, error) {
	var unclear, otherKind error
	read := false
	for _, match := range all {
		fits, err := m.Match(match.Location, match.Values)
		switch {
		case errors.Is(err, inject.ErrNotJSON), errors.Is(err, inject.ErrNotXML), errors.Is(err, inject.ErrNotForm):
			otherKind = cmp.Or(otherKind, err)
		case err != nil:
			unclear = cmp.Or(unclear, err)
		case fits:
			return true, nil
		case match.Location.InBody():
			read = true
		}
	}
	if read {
		otherKind = nil
	}
	if c.byHand {
		return false, nil
	}
	return false, cmp.Or(unclear, otherKind)
}

// maxWord bounds the value that an unrecognized call is known by, in bytes.
const maxWord = 200

// wordIn returns the first value that is where the matches look.
func wordIn(all []Match, c *Call, m *inject.Message) string {
	for _, match := range all {
		if value, err := m.Read(match.Location); err == nil && value.Text != "" {
			return c.tell(value.Text, maxWord)
		}
	}
	return ""
}
