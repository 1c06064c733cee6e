package verify_test

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/caddy-callback/caddy-callback/module/verify"
)

// example is a call with its signature, as a provider publishes it.
type example struct {
	name, scheme, secret string
	header               [][2]string
	body                 string
	urls                 []string
	at                   int64
}

const (
	standardSecret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	publicKey      = "whpk_1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbOir4="
	slackSecret    = "8f742231b10e8888abcd99yyyzzz85a5"
	slackBody      = "token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V&channel_name=foobar&user_id=U2CERLKJA" +
		"&user_name=roadrunner&command=%2Fwebhook-collect&text=&response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN" +
		"&trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c"
)

// published are the examples in the documentation of the providers, or in the tests of their
// servers. Stripe and Shopify publish none.
var published = []example{
	{
		name: "Standard Webhooks, secret", scheme: verify.Standard, secret: standardSecret, body: `{"test": 2432232314}`, at: 1614265330,
		header: [][2]string{
			{"webhook-id", "msg_p5jXN8AQM9LWM0D4loKWxJek"},
			{"webhook-timestamp", "1614265330"},
			{"webhook-signature", "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="},
		},
	},
	{
		name: "Standard Webhooks, public key", scheme: verify.Standard, secret: publicKey, body: `{"test": 2432232314}`, at: 1614265330,
		header: [][2]string{
			{"webhook-id", "msg_p5jXN8AQM9LWM0D4loKWxJek"},
			{"webhook-timestamp", "1614265330"},
			{"webhook-signature", "v1a,hnO3f9T8Ytu9HwrXslvumlUpqtNVqkhqw/enGzPCXe5BdqzCInXqYXFymVJaA7AZdpXwVLPo3mNl8EM+m7TBAg=="},
		},
	},
	{
		name: "Svix", scheme: verify.Standard, secret: "whsec_plJ3nmyCDGBKInavdOK15jsl", body: `{"event_type":"ping","data":{"success":true}}`, at: 1731705121,
		header: [][2]string{
			{"svix-id", "msg_loFOjxBNrRLzqYUf"},
			{"svix-timestamp", "1731705121"},
			{"svix-signature", "v1,rAvfW3dJ/X/qxhsaXPOyyCGmRKsaKWcsNccKXlIktD0="},
		},
	},
	{
		name: "GitHub", scheme: verify.GitHub, secret: "It's a Secret to Everybody", body: "Hello, World!",
		header: [][2]string{{"X-Hub-Signature-256", "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"}},
	},
	{
		name: "Slack", scheme: verify.Slack, secret: slackSecret, body: slackBody, at: 1531420618,
		header: [][2]string{
			{"X-Slack-Request-Timestamp", "1531420618"},
			{"X-Slack-Signature", "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503"},
		},
	},
	{
		name: "Slack, as hmac is told", scheme: verify.HMAC, secret: slackSecret, body: slackBody, at: 1531420618,
		header: [][2]string{
			{"X-Slack-Request-Timestamp", "1531420618"},
			{"X-Slack-Signature", "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503"},
		},
	},
}

// slackAsCustom says how Slack signs.
var slackAsCustom = verify.Custom{
	Header: "X-Slack-Signature", Prefix: "v0=", Signs: "v0:{timestamp}:{body}", Timestamp: "X-Slack-Request-Timestamp",
}

func (e example) verifier(t testing.TB) *verify.Verifier {
	t.Helper()
	if e.scheme == verify.Twilio {
		return verify.NewShort(e.secret)
	}
	var custom *verify.Custom
	if e.scheme == verify.HMAC {
		custom = &slackAsCustom
	}
	return newVerifier(t, e.scheme, e.secret, custom)
}

func newVerifier(t testing.TB, scheme, secret string, custom *verify.Custom) *verify.Verifier {
	t.Helper()
	v, err := verify.New(scheme, secret, custom)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func (e example) message() verify.Message {
	h := make(http.Header)
	for _, line := range e.header {
		h.Set(line[0], line[1])
	}
	return verify.Message{Header: h, Body: []byte(e.body), URLs: e.urls, Method: http.MethodPost}
}

func (e example) now() time.Time { return time.Unix(e.at, 0) }

func TestPublishedExamplesAreAccepted(t *testing.T) {
	for _, e := range slices.Concat(published, twilioExamples) {
		v, m := e.verifier(t), e.message()
		if err := v.Verify(m, e.now()); err != nil {
			t.Errorf("%s: %v", e.name, err)
		}
		if !v.Claims(m.Header) || v.Claims(http.Header{"X-Signature": {"x"}}) {
			t.Errorf("%s: it claims something else", e.name)
		}
		if m.Header.Get(v.Header()) == "" && m.Header.Get("Svix-Signature") == "" {
			t.Errorf("%s: the call has no header %s", e.name, v.Header())
		}
	}
}

func TestEveryAlteredByteIsRefused(t *testing.T) {
	for _, e := range slices.Concat(published, twilioExamples) {
		v := e.verifier(t)
		for name, lines := range e.message().Header {
			if name == "Content-Type" {
				continue
			}
			for i := range lines[0] {
				m := e.message()
				altered := []byte(lines[0])
				altered[i] ^= 1
				m.Header.Set(name, string(altered))
				if err := v.Verify(m, e.now()); err == nil {
					t.Errorf("%s: it takes %s: %s", e.name, name, altered)
				}
			}
		}
		for i := range e.body {
			m := e.message()
			m.Body[i] ^= 1
			if err := v.Verify(m, e.now()); err == nil {
				t.Errorf("%s: it takes %s", e.name, m.Body)
			}
		}
		for _, body := range []string{e.body + " ", e.body + "&x=y", "{}", ""} {
			if body == e.body {
				continue
			}
			m := e.message()
			m.Body = []byte(body)
			if err := v.Verify(m, e.now()); err == nil {
				t.Errorf("%s: it takes %s", e.name, body)
			}
		}
	}
}

func TestAnotherSecretDoesNotVerify(t *testing.T) {
	others := map[string]string{
		verify.Standard: "whsec_" + strings.Repeat("A", 32), publicKey: "whpk_11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=",
	}
	for _, e := range slices.Concat(published, twilioExamples) {
		secret := e.secret
		e.secret = others[e.scheme]
		switch {
		case secret == publicKey:
			e.secret = others[publicKey]
		case e.secret == "":
			e.secret = secret + "."
		}
		if err := e.verifier(t).Verify(e.message(), e.now()); !errors.Is(err, verify.ErrWrong) {
			t.Errorf("%s: %v", e.name, err)
		}
	}
}

func TestTimeMayDifferByFiveMinutes(t *testing.T) {
	stripe := signedByStripe(1700000000, "{}")
	for _, e := range append(slices.Clone(published), stripe) {
		if e.at == 0 {
			continue
		}
		v, m := e.verifier(t), e.message()
		for late, want := range map[time.Duration]error{
			0: nil, 5 * time.Minute: nil, 5*time.Minute + 999*time.Millisecond: nil, -5 * time.Minute: nil,
			5*time.Minute + time.Second: verify.ErrTooOld, -5*time.Minute - time.Second: verify.ErrTooOld,
			100 * 365 * 24 * time.Hour: verify.ErrTooOld, -100 * 365 * 24 * time.Hour: verify.ErrTooOld,
		} {
			if err := v.Verify(m, e.now().Add(late)); !errors.Is(err, want) {
				t.Errorf("%s, %v late: %v", e.name, late, err)
			}
		}
	}
}

// absurd are texts that are no time, and some that are too far away.
var absurd = map[string]error{
	"-1": verify.ErrMalformed, "+1700000000": verify.ErrMalformed, "01700000000": verify.ErrMalformed, "1700000000.0": verify.ErrMalformed,
	"17e8": verify.ErrMalformed, "0x6553f100": verify.ErrMalformed, "NaN": verify.ErrMalformed, "1_700_000_000": verify.ErrMalformed,
	"99999999999999999999999999": verify.ErrMalformed, "170000000000": verify.ErrMalformed, "9223372036854775807": verify.ErrMalformed,
	"١٧٠٠٠٠٠٠٠٠": verify.ErrMalformed, "1700000000 ": verify.ErrMalformed,
	"0": verify.ErrTooOld, "1": verify.ErrTooOld, "99999999999": verify.ErrTooOld, "9999999999999": verify.ErrTooOld, "1000000000000": verify.ErrTooOld,
}

func TestAbsurdTimesAreRefused(t *testing.T) {
	now := time.Unix(1700000000, 0)
	for text, want := range absurd {
		for _, e := range published {
			v, m := e.verifier(t), e.message()
			for _, name := range []string{"Webhook-Timestamp", "Svix-Timestamp", "X-Slack-Request-Timestamp"} {
				if m.Header.Get(name) == "" {
					continue
				}
				m.Header.Set(name, text)
				if err := v.Verify(m, now); !errors.Is(err, want) {
					t.Errorf("%s, %q: %v", e.name, text, err)
				}
			}
		}
		e := signedByStripe(1700000000, "{}")
		m := e.message()
		m.Header.Set("Stripe-Signature", strings.Replace(m.Header.Get("Stripe-Signature"), "1700000000", text, 1))
		if err := e.verifier(t).Verify(m, now); !errors.Is(err, want) {
			t.Errorf("Stripe, %q: %v", text, err)
		}
	}
}

func TestHeadersMustBeThereOnce(t *testing.T) {
	for _, e := range slices.Concat(published, []example{signedByStripe(1700000000, "{}"), signedByShopify("{}"), twilioExamples[0]}) {
		v := e.verifier(t)
		for name := range e.message().Header {
			if name == "Content-Type" {
				continue
			}
			missing, empty, twice := e.message(), e.message(), e.message()
			missing.Header.Del(name)
			empty.Header.Set(name, "")
			twice.Header.Add(name, twice.Header.Get(name))
			long := e.message()
			long.Header.Set(name, strings.Repeat("1", 5000))
			for _, c := range []struct {
				m    verify.Message
				want error
			}{{missing, verify.ErrMissing}, {empty, verify.ErrMissing}, {twice, verify.ErrGivenTwice}, {long, verify.ErrMalformed}} {
				err := v.Verify(c.m, e.now())
				if !errors.Is(err, c.want) {
					t.Errorf("%s, %s: %v, want %v", e.name, name, err, c.want)
				}
				if strings.HasPrefix(name, "Svix") && c.want == verify.ErrMissing && name == "Svix-Signature" {
					continue
				}
				if !strings.Contains(err.Error(), name) {
					t.Errorf("%s: %v does not name %s", e.name, err, name)
				}
			}
		}
	}
}

func TestSchemeStandsBeforeTheSecret(t *testing.T) {
	for _, scheme := range verify.Schemes() {
		got, secret, ok := verify.Split(scheme + ":{env.A:b}")
		if !ok || got != scheme || secret != "{env.A:b}" {
			t.Errorf("%s: %q, %q, %v", scheme, got, secret, ok)
		}
	}
	for _, text := range []string{"", "standard", "{env.A}", "sha256:00", "Standard:{env.A}", ":{env.A}", "{file./standard:a}"} {
		if scheme, secret, ok := verify.Split(text); ok || scheme != "" || secret != "" {
			t.Errorf("%q: %q, %q", text, scheme, secret)
		}
	}
}

func TestSecretsThatAreNoneAreRefused(t *testing.T) {
	const least = "0123456789abcdef"
	for _, c := range []struct{ scheme, secret, want string }{
		{verify.GitHub, "", "the secret is empty"},
		{verify.GitHub, least[1:], "the secret has 15 bytes: it must have 16 or more"},
		{verify.GitHub, least, ""},
		{verify.Stripe, least + "\n", "the secret begins or ends with white space; take that out"},
		{verify.Slack, " " + least, "the secret begins or ends with white space; take that out"},
		{verify.Shopify, least + "\n" + least, "the secret has several lines, or other characters that cannot be seen"},
		{verify.Twilio, "12345", "the secret has 5 bytes: it must have 16 or more"},
		{verify.Standard, least, "the secret begins neither with whsec_ nor with whpk_"},
		{verify.Standard, "whsk_" + least, "the secret is a key to sign with, which only the sender has; what verifies begins with whpk_"},
		{verify.Standard, "whsec_", "the secret has 0 bytes: it must have 16 or more, before they become base64"},
		{verify.Standard, "whsec_QUFBQUFBQUFBQUFBQUFB", "the secret has 15 bytes: it must have 16 or more, before they become base64"},
		{verify.Standard, "whsec_QUFBQUFBQUFBQUFBQUFBQQ==", ""},
		{verify.Standard, "v1,whsec_QUFBQUFBQUFBQUFBQUFBQQ==", ""},
		{verify.Standard, "whsec_QUFBQUFBQUFBQUFBQUFBQQ", "what follows whsec_ in the secret is not base64 of the standard alphabet, with padding"},
		{verify.Standard, "whsec_QUFBQUFBQUFBQUFBQUFB_-==", "what follows whsec_ in the secret is not base64 of the standard alphabet, with padding"},
		{verify.Standard, "whpk_QUFBQUFBQUFBQUFBQUFBQQ==", "the public key has 16 bytes: one of Ed25519 has 32, before they become base64"},
		{verify.Standard, "whpk_!", "what follows whpk_ in the secret is not base64 of the standard alphabet, with padding"},
		// No point of the curve, and one that verifies everything.
		{verify.Standard, "whpk_AgAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=", "the public key is none of Ed25519"},
		{verify.Standard, "whpk_AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=", "the public key is none of Ed25519"},
		{"sha256", least, `"sha256" is no scheme; write one of standard, github, stripe, slack, shopify, twilio, hmac`},
		{verify.HMAC, least, "hmac must be told how calls are signed: the header at least"},
	} {
		v, err := verify.New(c.scheme, c.secret, nil)
		switch {
		case c.want == "" && err != nil, c.want != "" && (err == nil || err.Error() != c.want):
			t.Errorf("%s %q: %v, want %s", c.scheme, c.secret, err, c.want)
		case err != nil && len(c.secret) > 6 && strings.Contains(err.Error(), c.secret):
			t.Errorf("%s: the error shows the secret: %v", c.scheme, err)
		case err != nil && v != nil:
			t.Errorf("%s %q: there is a verifier", c.scheme, c.secret)
		}
	}
	if _, err := verify.New(verify.GitHub, least, &verify.Custom{}); err == nil || err.Error() != "github is told nothing: only hmac is" {
		t.Error(err)
	}
	if _, err := verify.New(verify.HMAC, least, &verify.Custom{}); err == nil || !strings.HasPrefix(err.Error(), "header is missing") {
		t.Error(err)
	}
	if _, err := verify.New(verify.HMAC, least[1:], &slackAsCustom); err == nil {
		t.Error("it takes a secret of 15 bytes")
	}
}

func TestVerifiersAreNeverPrinted(t *testing.T) {
	v := newVerifier(t, verify.GitHub, "It's a Secret to Everybody", nil)
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%d", "%x"} {
		for _, value := range []any{v, *v} {
			if got := fmt.Sprintf(verb, value); got != "[verifier]" {
				t.Errorf("%s prints %s", verb, got)
			}
		}
	}
}

// TestErrorsTellNothing makes sure that no error has what would be right, or what was sent.
func TestErrorsTellNothing(t *testing.T) {
	for _, e := range slices.Concat(published, twilioExamples) {
		m := e.message()
		right := make([]string, 0, len(m.Header))
		for name := range m.Header {
			right = append(right, m.Header.Get(name))
			m.Header.Set(name, m.Header.Get(name)[:len(m.Header.Get(name))/2])
		}
		err := e.verifier(t).Verify(m, e.now())
		if err == nil {
			t.Fatal(e.name)
		}
		for _, text := range append(right, e.secret, e.body) {
			if strings.Contains(err.Error(), text) {
				t.Errorf("%s: %v has %s", e.name, err, text)
			}
		}
	}
}

func TestBodyIsVerifiedAsItCame(t *testing.T) {
	for _, body := range [][]byte{nil, {0xff, 0, '\r', '\n'}, []byte("grüße 世界 🎉"), bytes.Repeat([]byte("x"), 1<<20)} {
		event := signedByShopify(string(body))
		event.header[0][0] = "shopify-hmac-sha256"
		for _, e := range []example{signedByStripe(1700000000, string(body)), signedByShopify(string(body)), event} {
			v, m := e.verifier(t), e.message()
			if err := v.Verify(m, e.now()); err != nil {
				t.Errorf("%s, %d bytes: %v", e.name, len(body), err)
			}
			m.Body = append(m.Body, 0)
			if err := v.Verify(m, e.now()); !errors.Is(err, verify.ErrWrong) {
				t.Errorf("%s, one byte more: %v", e.name, err)
			}
		}
	}
}
