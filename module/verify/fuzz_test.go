package verify_test

import (
	"crypto/ed25519"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/caddy-callback/caddy-callback/module/verify"
)

// now is the time at which fuzzed calls come.
var now = time.Unix(1700000000, 0)

// known are all errors that there are.
var known = []error{verify.ErrMissing, verify.ErrWrong, verify.ErrTooOld, verify.ErrGivenTwice, verify.ErrMalformed}

// checkFuzzed makes sure that a call is taken only if it bears the right signature, and that an
// error is one of those known, and does not have it.
func checkFuzzed(t *testing.T, v *verify.Verifier, m verify.Message, right string) {
	t.Helper()
	body := slices.Clone(m.Body)
	err := v.Verify(m, now)
	value := m.Header.Get(v.Header())
	switch {
	case string(body) != string(m.Body):
		t.Fatal("the body was changed")
	case err == nil && !strings.Contains(value, right):
		t.Fatalf("%q was taken", value)
	case err != nil && !slices.ContainsFunc(known, func(k error) bool { return errors.Is(err, k) }):
		t.Fatalf("%v is unknown", err)
	case err != nil && strings.Contains(err.Error(), right):
		t.Fatalf("%v tells what is right", err)
	}
}

func FuzzStandardHeader(f *testing.F) {
	key, _ := base64.StdEncoding.DecodeString(strings.TrimPrefix(standardSecret, "whsec_"))
	private := ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))
	secret := newVerifier(f, verify.Standard, standardSecret, nil)
	public := newVerifier(f, verify.Standard, "whpk_"+base64.StdEncoding.EncodeToString(private.Public().(ed25519.PublicKey)), nil)
	f.Add("v1,AAAA v1a,AAAA", "msg_1", "1700000000", "{}")
	f.Add(published[0].header[2][1]+" "+published[1].header[2][1], "msg_1.1700000000", "1700000001", "1700000000.")
	f.Fuzz(func(t *testing.T, signature, id, at, body string) {
		signed := id + "." + at + "." + body
		right := base64.StdEncoding.EncodeToString(sum256(key, signed))
		rightPublic := base64.StdEncoding.EncodeToString(ed25519.Sign(private, []byte(signed)))
		for _, more := range []string{"", " v1," + right + " v1a," + rightPublic} {
			m := verify.Message{Body: []byte(body), Header: http.Header{"Webhook-Signature": {signature + more}, "Webhook-Id": {id}, "Webhook-Timestamp": {at}}}
			checkFuzzed(t, secret, m, right)
			checkFuzzed(t, public, m, rightPublic)
		}
	})
}

func FuzzGitHubHeader(f *testing.F) {
	v := newVerifier(f, verify.GitHub, plainSecret, nil)
	f.Add("sha256="+strings.Repeat("0", 64), "{}")
	f.Fuzz(func(t *testing.T, signature, body string) {
		right := hex.EncodeToString(sum256([]byte(plainSecret), body))
		m := verify.Message{Body: []byte(body), Header: http.Header{"X-Hub-Signature-256": {signature}}}
		checkFuzzed(t, v, m, right)
		m.Header.Set("X-Hub-Signature-256", "sha256="+right)
		if err := v.Verify(m, now); err != nil {
			t.Fatal(err)
		}
	})
}

func FuzzStripeHeader(f *testing.F) {
	v := newVerifier(f, verify.Stripe, plainSecret, nil)
	f.Add("t=1700000000,v1="+strings.Repeat("0", 64)+",v0=", "{}")
	f.Add("t=1,t=1700000000,v1", "")
	f.Fuzz(func(t *testing.T, signature, body string) {
		right := hex.EncodeToString(sum256([]byte(plainSecret), "1700000000."+body))
		for _, more := range []string{"", ",v1=" + right, "t=1700000000,v1=" + right} {
			m := verify.Message{Body: []byte(body), Header: http.Header{"Stripe-Signature": {signature + more}}}
			err := v.Verify(m, now)
			// Any other time that is near enough is signed, too, but not by this signature.
			if err == nil && (!strings.Contains(signature+more, right) || strings.Count(","+signature+more, ",t=") != 1) {
				t.Fatalf("%q was taken", signature+more)
			}
			checkFuzzed(t, v, m, right)
		}
	})
}

func FuzzSlackHeader(f *testing.F) {
	v := newVerifier(f, verify.Slack, slackSecret, nil)
	f.Add("v0="+strings.Repeat("0", 64), "1700000000", "{}")
	f.Fuzz(func(t *testing.T, signature, at, body string) {
		right := hex.EncodeToString(sum256([]byte(slackSecret), "v0:"+at+":"+body))
		for _, value := range []string{signature, "v0=" + right} {
			m := verify.Message{Body: []byte(body), Header: http.Header{"X-Slack-Signature": {value}, "X-Slack-Request-Timestamp": {at}}}
			checkFuzzed(t, v, m, right)
		}
	})
}

func FuzzShopifyHeader(f *testing.F) {
	v := newVerifier(f, verify.Shopify, plainSecret, nil)
	f.Add(strings.Repeat("A", 43)+"=", "{}")
	f.Fuzz(func(t *testing.T, signature, body string) {
		right := base64.StdEncoding.EncodeToString(sum256([]byte(plainSecret), body))
		checkFuzzed(t, v, verify.Message{Body: []byte(body), Header: http.Header{"X-Shopify-Hmac-Sha256": {signature}}}, right)
		m := verify.Message{Body: []byte(body), Header: http.Header{"X-Shopify-Hmac-Sha256": {right}}}
		if err := v.Verify(m, now); err != nil {
			t.Fatal(err)
		}
	})
}

// FuzzTwilioHeader compares what is read of a form with what the code of Go reads.
func FuzzTwilioHeader(f *testing.F) {
	v := newVerifier(f, verify.Twilio, twilioSecret, nil)
	f.Add("AAAAAAAAAAAAAAAAAAAAAAAAAAA=", "https://a.example:8443/cb?a=b", twilioForm)
	f.Add("", "https://a.example/cb?bodySHA256="+twilioSum, `{"property": "value", "boolean": true}`)
	f.Add("", "//a:b@[::1]:x?#", "b=2&a=1&a=%31&a=1&c+d=%2b")
	f.Fuzz(func(t *testing.T, signature, to, body string) {
		m := verify.Message{Body: []byte(body), URLs: []string{to}, Header: http.Header{
			"X-Twilio-Signature": {signature}, "Content-Type": {"application/x-www-form-urlencoded"},
		}}
		_ = v.Verify(m, now)
		if strings.Contains(to, "bodySHA256") || strings.Contains(to, "://") {
			return
		}
		text, ok := expectedByTwilio(to, body)
		right := signTwilio(twilioSecret, text)
		checkFuzzed(t, v, m, right)
		m.Header.Set("X-Twilio-Signature", right)
		if err := v.Verify(m, now); ok && err != nil && !errors.Is(err, verify.ErrMalformed) {
			t.Fatalf("%q: %v", body, err)
		}
	})
}

func FuzzHMACHeader(f *testing.F) {
	f.Add("sha256=", "v0:{timestamp}:{body}{method}{url}", "sha256=00", "1700000000", "{}")
	f.Add("", "{body}", "", "", "")
	f.Fuzz(func(t *testing.T, prefix, signs, signature, at, body string) {
		c := verify.Custom{Header: "X-Signature", Prefix: prefix, Signs: signs}
		if strings.Contains(signs, "{timestamp}") {
			c.Timestamp = "X-Time"
		}
		v, err := verify.New(verify.HMAC, plainSecret, &c)
		if (err == nil) != (c.Check() == nil) {
			t.Fatalf("%v, %v", err, c.Check())
		}
		if err != nil {
			return
		}
		if signs == "" {
			signs = "{body}"
		}
		signed := strings.NewReplacer("{timestamp}", at, "{body}", body, "{method}", "POST", "{url}", "https://a.example/cb").Replace(signs)
		right := hex.EncodeToString(sum256([]byte(plainSecret), signed))
		for _, value := range []string{signature, prefix + right} {
			m := verify.Message{
				Body: []byte(body), Method: http.MethodPost, URLs: []string{"https://a.example/cb"},
				Header: http.Header{"X-Signature": {value}, "X-Time": {at}},
			}
			if err := v.Verify(m, now); err == nil && !strings.EqualFold(value, prefix+right) {
				t.Fatalf("%q was taken", value)
			}
			if c.Timestamp == "" && value != signature && v.Verify(m, now) != nil {
				t.Fatalf("%q was refused: %v", value, v.Verify(m, now))
			}
		}
	})
}
