package verify_test

import (
	"crypto/hmac"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"hash"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/caddy-callback/caddy-callback/module/verify"
)

func TestCustomSaysWhatToWriteInstead(t *testing.T) {
	for want, c := range map[string]verify.Custom{
		"header is missing: write the name of a header, such as X-Signature":                                                       {},
		`header "X Signature" is not the name of a header; write one like X-Signature`:                                             {Header: "X Signature"},
		"header host belongs to the connection; write the name of another header":                                                  {Header: "host"},
		`encoding "base64url" is not known; write hex or base64`:                                                                   {Header: "X-S", Encoding: "base64url"},
		`encoding "HEX" is not known; write hex or base64`:                                                                         {Header: "X-S", Encoding: "HEX"},
		`hash "md5" is not known; write sha256, sha512 or sha1`:                                                                    {Header: "X-S", Hash: "md5"},
		`prefix "a\nb" cannot begin the value of a header; write one like sha256=, of at most 64 bytes`:                            {Header: "X-S", Prefix: "a\nb"},
		`prefix " a" cannot begin the value of a header; write one like sha256=, of at most 64 bytes`:                              {Header: "X-S", Prefix: " a"},
		`prefix "` + strings.Repeat("a", 65) + `" cannot begin the value of a header; write one like sha256=, of at most 64 bytes`: {Header: "X-S", Prefix: strings.Repeat("a", 65)},
		`signs "x" does not have {body}: anybody could change the body`:                                                            {Header: "X-S", Signs: "x"},
		`signs "{id}.{body}" must have {timestamp}, {body}, {url} or {method} where it has braces`:                                 {Header: "X-S", Signs: "{id}.{body}"},
		`signs "{body" must have {timestamp}, {body}, {url} or {method} where it has braces`:                                       {Header: "X-S", Signs: "{body"},
		`signs "body}" has a brace that ends nothing`:                                                                              {Header: "X-S", Signs: "body}"},
		`signs "{body}{body}" has {body} twice`:                                                                                    {Header: "X-S", Signs: "{body}{body}"},
		"signs has more than 256 bytes":                                                                                            {Header: "X-S", Signs: strings.Repeat("a", 251) + "{body}"},
		"timestamp is missing: signs has {timestamp}; name the header that it is in":                                               {Header: "X-S", Signs: "{timestamp}{body}"},
		"timestamp X-T is not signed, so that anybody could change it; write {timestamp} into signs":                               {Header: "X-S", Timestamp: "X-T"},
		"timestamp and header name the same header; the time must be in one of its own":                                            {Header: "X-S", Signs: "{timestamp}{body}", Timestamp: "x-s"},
		`timestamp "X T" is not the name of a header; write one like X-Signature`:                                                  {Header: "X-S", Signs: "{timestamp}{body}", Timestamp: "X T"},
		"tolerance is for a timestamp; name its header, or leave tolerance out":                                                    {Header: "X-S", Tolerance: verify.Duration(time.Minute)},
		"tolerance -1m0s is not between 1s and 24h0m0s":                                                                            {Header: "X-S", Signs: "{timestamp}{body}", Timestamp: "X-T", Tolerance: verify.Duration(-time.Minute)},
		"tolerance 999ms is not between 1s and 24h0m0s":                                                                            {Header: "X-S", Signs: "{timestamp}{body}", Timestamp: "X-T", Tolerance: verify.Duration(999 * time.Millisecond)},
		"tolerance 24h0m1s is not between 1s and 24h0m0s":                                                                          {Header: "X-S", Signs: "{timestamp}{body}", Timestamp: "X-T", Tolerance: verify.Duration(24*time.Hour + time.Second)},
	} {
		if err := c.Check(); err == nil || err.Error() != want {
			t.Errorf("%+v: %v, want %s", c, err, want)
		}
	}
}

func TestCustomIsReadFromJSON(t *testing.T) {
	for text, want := range map[string]time.Duration{`"90s"`: 90 * time.Second, `1000000000`: time.Second, `0`: 0} {
		var c verify.Custom
		err := json.Unmarshal([]byte(`{"header":"X-Signature","encoding":"base64","prefix":"v1=","hash":"sha512","signs":"{timestamp}.{body}","timestamp":"X-Time","tolerance":`+text+`}`), &c)
		if err != nil || time.Duration(c.Tolerance) != want || c.Check() != nil {
			t.Errorf("%s: %+v, %v, %v", text, c, err, c.Check())
		}
	}
	for _, text := range []string{`"5 minutes"`, `true`, `{}`, `1.5`} {
		var c verify.Custom
		if err := json.Unmarshal([]byte(`{"tolerance":`+text+`}`), &c); err == nil {
			t.Errorf("%s was read: %+v", text, c)
		}
	}
}

// TestCustomVerifiesWhatItIsTold signs with the code of Go alone.
func TestCustomVerifiesWhatItIsTold(t *testing.T) {
	const secret, body = "a secret of a partner", "\x00 a body"
	hashes := map[string]func() hash.Hash{"": sha256.New, "sha256": sha256.New, "sha512": sha512.New, "sha1": sha1.New}
	encodings := map[string]func([]byte) string{"": hex.EncodeToString, "hex": hex.EncodeToString, "base64": base64.StdEncoding.EncodeToString}
	signed := map[string]string{
		"": body, "{body}": body, "v1:{timestamp}:{body}": "v1:1700000000:" + body, "{body}{timestamp}": body + "1700000000",
		"{method}{url}{body}{timestamp}": "PUT" + "https://a.example/cb?x" + body + "1700000000", "{url}{body}": "https://a.example/cb?x" + body,
	}
	for hashName, newHash := range hashes {
		for encoding, encode := range encodings {
			for signs, text := range signed {
				for _, prefix := range []string{"", "HMAC ", "sha="} {
					c := verify.Custom{Header: "x-SIGNATURE", Encoding: encoding, Prefix: prefix, Hash: hashName, Signs: signs}
					h := hmac.New(newHash, []byte(secret))
					h.Write([]byte(text))
					m := verify.Message{
						Header: http.Header{"X-Signature": {prefix + encode(h.Sum(nil))}, "X-Time": {"1700000000"}},
						Body:   []byte(body), URLs: []string{"https://b.example/cb?x", "https://a.example/cb?x"}, Method: http.MethodPut,
					}
					if strings.Contains(signs, "{timestamp}") {
						c.Timestamp = "x-time"
					}
					v := newVerifier(t, verify.HMAC, secret, &c)
					if err := v.Verify(m, time.Unix(1700000300, 0)); err != nil {
						t.Errorf("%+v: %v", c, err)
					}
					m.Body[0]++
					if err := v.Verify(m, time.Unix(1700000300, 0)); !errors.Is(err, verify.ErrWrong) {
						t.Errorf("%+v, another body: %v", c, err)
					}
				}
			}
		}
	}
}

func TestCustomTakesWhatSendersWrite(t *testing.T) {
	const secret = "a secret of a partner"
	right := hex.EncodeToString(sum256([]byte(secret), "1700000000123.{}"))
	c := verify.Custom{Header: "X-Signature", Signs: "{timestamp}.{body}", Timestamp: "X-Time", Tolerance: verify.Duration(time.Minute)}
	v := newVerifier(t, verify.HMAC, secret, &c)
	if v.Header() != "X-Signature" {
		t.Error(v.Header())
	}
	for late, want := range map[time.Duration]error{0: nil, time.Minute: nil, -time.Minute: nil, 61 * time.Second: verify.ErrTooOld, -61 * time.Second: verify.ErrTooOld} {
		// Milliseconds, and digits in upper case.
		m := verify.Message{Header: http.Header{"X-Signature": {strings.ToUpper(right)}, "X-Time": {"1700000000123"}}, Body: []byte("{}")}
		if err := v.Verify(m, time.Unix(1700000000, 0).Add(late)); !errors.Is(err, want) {
			t.Errorf("%v late: %v, want %v", late, err, want)
		}
	}
	for header, want := range map[string]error{
		right + "00": verify.ErrMalformed, right[2:]: verify.ErrMalformed, "sha256=" + right: verify.ErrMalformed, strings.Repeat("é", 32): verify.ErrWrong,
		strings.Repeat("0", 64): verify.ErrWrong,
	} {
		m := verify.Message{Header: http.Header{"X-Signature": {header}, "X-Time": {"1700000000123"}}, Body: []byte("{}")}
		if err := v.Verify(m, time.Unix(1700000000, 0)); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", header, err, want)
		}
	}
	needsURL := newVerifier(t, verify.HMAC, secret, &verify.Custom{Header: "X-Signature", Signs: "{url}{body}"})
	if err := needsURL.Verify(verify.Message{Header: http.Header{"X-Signature": {right}}}, time.Time{}); !errors.Is(err, verify.ErrWrong) {
		t.Error(err)
	}
}
