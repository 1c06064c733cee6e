package partners

import (
	"crypto/hmac"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"hash"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// signer signs a call as a provider documents it.
type signer func(h http.Header, secret, url, body string)

func unsigned(http.Header, string, string, string) {}

// otherSecret returns one of the same form.
func otherSecret(secret string) string {
	return secret[:10] + "ZZZZ" + secret[14:]
}

func sum(newHash func() hash.Hash, secret []byte, text string) []byte {
	mac := hmac.New(newHash, secret)
	_, _ = mac.Write([]byte(text))
	return mac.Sum(nil)
}

func hexSum(secret, text string) string {
	return hex.EncodeToString(sum(sha256.New, []byte(secret), text))
}

// timestamp returns the time as signatures have it.
func timestamp() string { return strconv.FormatInt(time.Now().Unix(), 10) }

func signStripe(h http.Header, secret, _, body string) {
	at := timestamp()
	h.Set("Stripe-Signature", "t="+at+",v1="+hexSum(secret, at+"."+body))
}

func signGitHub(h http.Header, secret, _, body string) {
	h.Set("X-Hub-Signature-256", "sha256="+hexSum(secret, body))
}

func signSlack(h http.Header, secret, _, body string) {
	at := timestamp()
	h.Set("X-Slack-Request-Timestamp", at)
	h.Set("X-Slack-Signature", "v0="+hexSum(secret, "v0:"+at+":"+body))
}

func signShopify(h http.Header, secret, _, body string) {
	h.Set("X-Shopify-Hmac-Sha256", base64.StdEncoding.EncodeToString(sum(sha256.New, []byte(secret), body)))
}

func signTwilio(h http.Header, secret, address, body string) {
	form, _ := url.ParseQuery(body)
	var names []string
	for name := range form {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		address += name + form.Get(name)
	}
	h.Set("X-Twilio-Signature", base64.StdEncoding.EncodeToString(sum(sha1.New, []byte(secret), address)))
}

func signMollie(h http.Header, secret, _, body string) {
	h.Set("X-Mollie-Signature", "sha256="+hexSum(secret, body))
}

// signStandard signs as Standard Webhooks. The id is that of the event.
func signStandard(h http.Header, secret, _, body string) {
	key, _ := base64.StdEncoding.DecodeString(strings.TrimPrefix(secret, "whsec_"))
	id := "msg_" + hexSum("", body)[:24]
	at := timestamp()
	h.Set("Webhook-Id", id)
	h.Set("Webhook-Timestamp", at)
	h.Set("Webhook-Signature", "v1,"+base64.StdEncoding.EncodeToString(sum(sha256.New, key, id+"."+at+"."+body)))
}
