package signatures

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/caddy-callback/caddy-callback/module/verify"
)

// provider is one whose library is compared with.
type provider struct {
	name, scheme, secret string
	// sign signs where the library does not: nothing at all, or no message without a body.
	sign func(m message) map[string]string
	// signs is whether the library signs.
	signs bool
	// refusesEmpty is whether the library refuses a message without a body, right or wrong.
	refusesEmpty bool
	// takesFuture is whether the library takes a time that is far ahead.
	takesFuture, untimed bool
}

const plainSecret = "0123456789abcdef0123456789abcdef"

var providers = []provider{
	{name: "standard", scheme: verify.Standard, secret: "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", signs: true},
	{name: "svix", scheme: verify.Standard, secret: "whsec_plJ3nmyCDGBKInavdOK15jsl", signs: true},
	{name: "github", scheme: verify.GitHub, secret: plainSecret, signs: true, refusesEmpty: true, untimed: true, sign: func(m message) map[string]string {
		return map[string]string{"x-hub-signature-256": "sha256=" + hex.EncodeToString(sum(m.Secret, "", m.Body))}
	}},
	{name: "stripe", scheme: verify.Stripe, secret: "whsec_" + plainSecret, signs: true, takesFuture: true},
	{name: "slack", scheme: verify.Slack, secret: plainSecret, takesFuture: true, sign: func(m message) map[string]string {
		at := strconv.FormatInt(m.At, 10)
		return map[string]string{
			"x-slack-request-timestamp": at,
			"x-slack-signature":         "v0=" + hex.EncodeToString(sum(m.Secret, "v0:"+at+":", m.Body)),
		}
	}},
	{name: "shopify", scheme: verify.Shopify, secret: plainSecret, refusesEmpty: true, untimed: true, sign: func(m message) map[string]string {
		return map[string]string{"x-shopify-hmac-sha256": base64.StdEncoding.EncodeToString(sum(m.Secret, "", m.Body))}
	}},
	{name: "shopify", scheme: verify.Shopify, secret: plainSecret, refusesEmpty: true, untimed: true, sign: func(m message) map[string]string {
		return map[string]string{"shopify-hmac-sha256": base64.StdEncoding.EncodeToString(sum(m.Secret, "", m.Body))}
	}},
	{name: "twilio", scheme: verify.Twilio, secret: plainSecret, signs: true, untimed: true},
}

// sum is made by the code of Go alone.
func sum(secret, before string, body []byte) []byte {
	h := hmac.New(sha256.New, []byte(secret))
	h.Write([]byte(before))
	h.Write(body)
	return h.Sum(nil)
}

// signed returns the header with the signature of a message.
func (p provider) signed(t *testing.T, l *libraries, m message) map[string]string {
	t.Helper()
	if p.sign != nil && (!p.signs || len(m.Body) == 0) {
		return p.sign(m)
	}
	return l.sign(t, m)
}

// messages returns messages that a provider may send now.
func (p provider) messages(random *rand.Rand) []message {
	var all []message
	for _, body := range bodies(random) {
		m := message{
			Provider: p.name, Secret: p.secret, Body: body, ID: fmt.Sprintf("msg_%x", random.Uint64()), At: time.Now().Unix(),
			URL: "https://callbacks.example.com/cb/x?a=b%20c&d='e'", Type: "application/json",
		}
		if bytes.HasPrefix(body, []byte("Body=")) {
			m.Type = "application/x-www-form-urlencoded"
		} else if p.scheme == verify.Twilio {
			digest := sha256.Sum256(body)
			m.URL += "&bodySHA256=" + hex.EncodeToString(digest[:])
		}
		all = append(all, m)
	}
	return all
}

func bodies(random *rand.Rand) [][]byte {
	unicode := make([]rune, 300)
	for i := range unicode {
		unicode[i] = []rune("aü世🎉\u2028 \n\"\\")[random.IntN(9)]
	}
	object, _ := json.Marshal(map[string]any{"text": string(unicode), "n": random.Int64()})
	form := url.Values{"Body": {string(unicode)}, "From": {"+14158675309"}, "Digits": {"2", "1", "2"}, "a b": {"=&%+"}}
	large := []byte("Body=" + strings.Repeat("x+%20", 1<<20/5-1))
	return [][]byte{nil, object, []byte("{" + string(unicode)), []byte(form.Encode()), large, bytes.Repeat([]byte(`{"a":1}`), 1<<20/7)}
}

// TestSignaturesOfTheLibrariesAreTaken signs with the libraries, alters every part of the header and
// many of the body, and asks them about some of that, too.
func TestSignaturesOfTheLibrariesAreTaken(t *testing.T) {
	t.Parallel()
	seed := uint64(time.Now().UnixNano())
	libraries := start(t)
	for i, p := range providers {
		random := rand.New(rand.NewPCG(seed, uint64(i)))
		v := newVerifier(t, p.scheme, p.secret)
		for _, m := range p.messages(random) {
			m.Header = p.signed(t, libraries, m)
			if err := verified(v, m); err != nil {
				t.Fatalf("%s, seed %d, %.100q: %v", p.name, seed, m.Body, err)
			}
			if takes := libraries.takes(t, m); takes == (p.refusesEmpty && len(m.Body) == 0) {
				t.Fatalf("%s, seed %d, %.100q: the library takes it: %v", p.name, seed, m.Body, takes)
			}
			for i, altered := range alter(m, random) {
				if verified(v, altered) == nil {
					t.Errorf("%s, seed %d: %.100q with %v was taken", p.name, seed, altered.Body, altered.Header)
				}
				if i%40 == 0 && libraries.takes(t, altered) {
					t.Errorf("%s, seed %d: the library takes %.100q with %v", p.name, seed, altered.Body, altered.Header)
				}
			}
		}
	}
}

// alter returns a message with each byte of its header, and some of its body and its URL, altered.
func alter(m message, random *rand.Rand) (all []message) {
	for _, name := range slices.Sorted(maps.Keys(m.Header)) {
		for i := range m.Header[name] {
			altered := m
			altered.Header = maps.Clone(m.Header)
			value := []byte(m.Header[name])
			value[i] ^= 1
			altered.Header[name] = string(value)
			all = append(all, altered)
		}
	}
	for range min(len(m.Body), 20) {
		altered := m
		altered.Body = bytes.Clone(m.Body)
		altered.Body[random.IntN(len(m.Body))] ^= 1
		all = append(all, altered)
	}
	longer, shorter := m, m
	longer.Body = append(bytes.Clone(m.Body), '0')
	all = append(all, longer)
	if len(m.Body) > 0 {
		shorter.Body = m.Body[:len(m.Body)-1]
		all = append(all, shorter)
	}
	if m.Provider == "twilio" {
		elsewhere := m
		elsewhere.URL = strings.Replace(m.URL, "/cb/x", "/cb/y", 1)
		all = append(all, elsewhere)
	}
	return all
}

// TestTimesAreJudgedAsTheLibrariesDo compares near the bound. Stripe's and Slack's take any time
// that is ahead of theirs.
func TestTimesAreJudgedAsTheLibrariesDo(t *testing.T) {
	t.Parallel()
	libraries := start(t)
	for _, p := range providers {
		if p.untimed {
			continue
		}
		v := newVerifier(t, p.scheme, p.secret)
		for late, want := range map[int64]bool{0: true, 280: true, 320: false, -280: true, -320: false, 1 << 33: false} {
			m := p.messages(rand.New(rand.NewPCG(1, 1)))[1]
			m.At = max(m.At-late, 1)
			m.Header = p.signed(t, libraries, m)
			if takes := libraries.takes(t, m); takes != (want || p.takesFuture && late < 0) {
				t.Errorf("%s, %d s late: the library takes it: %v", p.name, late, takes)
			}
			now := time.Now()
			if err := v.Verify(m.message(), now); (err == nil) != want {
				t.Errorf("%s, %d s late: %v", p.name, late, err)
			}
		}
	}
}

func newVerifier(t *testing.T, scheme, secret string) *verify.Verifier {
	t.Helper()
	v, err := verify.New(scheme, secret, nil)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func (m message) message() verify.Message {
	return verify.Message{Header: m.headerOf(), Body: m.Body, URLs: []string{m.URL}, Method: http.MethodPost}
}

func verified(v *verify.Verifier, m message) error { return v.Verify(m.message(), m.time()) }
