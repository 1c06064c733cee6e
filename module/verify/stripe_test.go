package verify_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/caddy-callback/caddy-callback/module/verify"
)

const plainSecret = "whsec_test_of_at_least_16_bytes"

func sum256(key []byte, text string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(text))
	return h.Sum(nil)
}

// signedByStripe returns a call that is signed by the code of Go alone.
func signedByStripe(at int64, body string) example {
	time := strconv.FormatInt(at, 10)
	return example{
		name: "Stripe", scheme: verify.Stripe, secret: plainSecret, body: body, at: at,
		header: [][2]string{{"Stripe-Signature", "t=" + time + ",v1=" + hex.EncodeToString(sum256([]byte(plainSecret), time+"."+body))}},
	}
}

func signedByShopify(body string) example {
	return example{
		name: "Shopify", scheme: verify.Shopify, secret: plainSecret, body: body,
		header: [][2]string{{"X-Shopify-Hmac-Sha256", base64.StdEncoding.EncodeToString(sum256([]byte(plainSecret), body))}},
	}
}

func TestHeaderOfStripeIsTakenApart(t *testing.T) {
	e := signedByStripe(1700000000, `{"id":"evt_1"}`)
	_, right, _ := strings.Cut(e.header[0][1], "v1=")
	wrong := strings.Repeat("0", 64)
	for value, want := range map[string]error{
		"t=1700000000,v1=" + wrong + ",v1=" + right:  nil,
		"v1=" + right + ",t=1700000000":              nil,
		"t=1700000000,v0=" + wrong + ",v1=" + right:  nil,
		"t=1700000000,v1=short,v1=" + right:          nil,
		"t=1700000000,v1=" + wrong:                   verify.ErrWrong,
		"t=1700000000,v0=" + right:                   verify.ErrMalformed,
		"t=1700000000,v1=" + strings.ToUpper(right):  verify.ErrWrong,
		"t=1700000000,v1=" + right + ",t=1700000000": verify.ErrGivenTwice,
		"t=1,t=1700000000,v1=" + right:               verify.ErrGivenTwice,
		"v1=" + right:                                verify.ErrMalformed,
		"t=,v1=" + right:                             verify.ErrMalformed,
		"t=1700000000":                               verify.ErrMalformed,
		"t=1700000000,v1=" + right + ",":             verify.ErrMalformed,
		"t=1700000000 v1=" + right:                   verify.ErrMalformed,
		"t=1700000000,v1=":                           verify.ErrMalformed,
		"t=1700000000,v1=" + right[:63]:              verify.ErrMalformed,
		right:                                        verify.ErrMalformed,
		"t=1700000000" + strings.Repeat(",v1="+wrong, 7) + ",v1=" + right:     nil,
		"t=1700000000" + strings.Repeat(",v1="+wrong, 8) + ",v1=" + right:     verify.ErrMalformed,
		"t=1700000000" + strings.Repeat(",v1=x", 800):                         verify.ErrMalformed,
		"t=1700000000" + strings.Repeat(",a=b", 1000) + ",v1=" + right:        nil,
		fmt.Sprintf("t=1700000000,v1=%s=%s", right, right):                    verify.ErrMalformed,
		"t=1700000000,scheme=v1,v1=" + right + ",v2=" + wrong + ",x=" + right: nil,
	} {
		m := e.message()
		m.Header.Set("Stripe-Signature", value)
		if err := e.verifier(t).Verify(m, e.now()); !errors.Is(err, want) {
			t.Errorf("%.200s: %v, want %v", value, err, want)
		}
	}
}
