package verify

import (
	"crypto/sha1" //nolint:gosec // Twilio signs with it, and in an HMAC it is not broken
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"hash"
	"net/http"
	"time"
)

// way is how a call bears its signature, and what is signed.
type way struct {
	// header bears the signature, or several.
	header string
	// id and time are the headers with the id and the time of the call, "" for none.
	id, time string
	// others are headers that mean the same as id to somebody, and must not differ from it.
	others []string
	// split takes the value of the header apart. Default: it is one signature.
	split func(value string) (shown, error)
	// timed is whether the time is signed.
	timed bool
	// tolerance is by how much the time may differ from ours.
	tolerance time.Duration

	hash   func() hash.Hash
	prefix string
	// encode makes text of a sum.
	encode func(sum []byte) string
	// length is that of the text, without the prefix.
	length int
	signs  []piece
	// folds is whether upper-case hexadecimal digits are as good as lower-case ones.
	folds bool
	// twilio is whether it is signed as Twilio does, which no pieces can say.
	twilio bool
}

// shown is what a call shows.
type shown struct {
	signatures    []string
	id, timestamp string
}

// tolerance is by how much the time of a call may differ from ours. It is what the libraries of
// Standard Webhooks, Stripe and Slack allow for the past.
const tolerance = 5 * time.Minute

// table says how the providers sign.
var table = completed(map[string][]way{
	Standard: {
		{header: "Webhook-Signature", id: "Webhook-Id", time: "Webhook-Timestamp", timed: true, signs: standardSigns},
		{header: "Svix-Signature", id: "Svix-Id", time: "Svix-Timestamp", others: []string{"Webhook-Id"}, timed: true, signs: standardSigns},
	},
	GitHub: {
		{header: "X-Hub-Signature-256", prefix: "sha256=", encode: hex.EncodeToString, signs: []piece{{kind: isBody}}},
	},
	Stripe: {
		{header: "Stripe-Signature", split: splitStripe, timed: true, encode: hex.EncodeToString, signs: []piece{{kind: isTime}, text("."), {kind: isBody}}},
	},
	Slack: {
		{
			header: "X-Slack-Signature", time: "X-Slack-Request-Timestamp", timed: true, prefix: "v0=", encode: hex.EncodeToString,
			signs: []piece{text("v0:"), {kind: isTime}, text(":"), {kind: isBody}},
		},
	},
	Shopify: {
		{header: "X-Shopify-Hmac-Sha256", encode: base64.StdEncoding.EncodeToString, signs: []piece{{kind: isBody}}},
		{header: "Shopify-Hmac-Sha256", encode: base64.StdEncoding.EncodeToString, signs: []piece{{kind: isBody}}},
	},
	Twilio: {
		{header: "X-Twilio-Signature", hash: sha1.New, encode: base64.StdEncoding.EncodeToString, twilio: true},
	},
})

func completed(ways map[string][]way) map[string][]way {
	for _, of := range ways {
		for i := range of {
			of[i].complete()
		}
	}
	return ways
}

// complete sets what follows from the rest, and the defaults.
func (w *way) complete() {
	if w.hash == nil {
		w.hash = sha256.New
	}
	if w.tolerance == 0 {
		w.tolerance = tolerance
	}
	if w.encode != nil {
		w.length = len(w.encode(make([]byte, w.hash().Size())))
	}
}

// borne reports whether a call bears the header with the signature.
func (w way) borne(h http.Header) bool { return len(h.Values(w.header)) > 0 }

// read reads what a call shows.
func (w way) read(h http.Header) (shown, error) {
	value, err := one(h, w.header)
	if err != nil {
		return shown{}, err
	}
	s := shown{signatures: []string{value}}
	if w.split != nil {
		if s, err = w.split(value); err != nil {
			return shown{}, err
		}
	}
	if w.id != "" {
		if s.id, err = one(h, w.id); err != nil {
			return shown{}, err
		}
		if err := w.checkID(h, s.id); err != nil {
			return shown{}, err
		}
	}
	if w.time != "" {
		if s.timestamp, err = one(h, w.time); err != nil {
			return shown{}, err
		}
	}
	return s, nil
}

// one returns the value of a header that must be there once.
func one(h http.Header, name string) (string, error) {
	switch lines := h.Values(name); {
	case len(lines) == 0 || len(lines) == 1 && lines[0] == "":
		return "", fmt.Errorf("%w: the call has no header %s", ErrMissing, name)
	case len(lines) > 1:
		return "", fmt.Errorf("%w: the header %s is on several lines", ErrGivenTwice, name)
	case len(lines[0]) > maxValue:
		return "", fmt.Errorf("%w: the header %s has more than %d bytes", ErrMalformed, name, maxValue)
	default:
		return lines[0], nil
	}
}
