package verify_test

import (
	"crypto/hmac"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/caddy-callback/caddy-callback/module/linear"
	"github.com/caddy-callback/caddy-callback/module/verify"
)

const (
	twilioForm = "CallSid=CA1234567890ABCDE&Caller=%2B14158675309&Digits=1234&From=%2B14158675309&To=%2B18005551212"
	twilioURL  = "https://mycompany.com/myapp.php?foo=1&bar=2"
	twilioSum  = "0a1ff7634d9ab3b95db5c9a2dfe9416e41502b283a80c7cf19632632f96e6620"
)

// twilioExamples are those in the tests of Twilio's own libraries.
var twilioExamples = []example{
	twilioExample("a form", "RSOYDt4T1cUTdK1PDd93/VVr8B8=", twilioURL, twilioForm),
	twilioExample("a port that is not signed", "RSOYDt4T1cUTdK1PDd93/VVr8B8=", "https://mycompany.com:1234/myapp.php?foo=1&bar=2", twilioForm),
	twilioExample("a port that is signed", "Zmvh+3yNM1Phv2jhDCwEM3q5ebU=", "http://mycompany.com:1234/myapp.php?foo=1&bar=2", twilioForm),
	twilioExample("the port of https", "kvajT1Ptam85bY51eRf/AJRuM3w=", twilioURL, twilioForm),
	twilioExample("the port of http", "0ZXoZLH/DfblKGATFgpif+LLRf4=", "http://mycompany.com/myapp.php?foo=1&bar=2", twilioForm),
	twilioExample("credentials", "CukzLTc1tT5dXEDIHm/tKBanW10=", "https://user:pass@mycompany.com/myapp.php?foo=1&bar=2", twilioForm),
	twilioExample("a user", "2YRLlVAflCqxaNicjMpJcSTgzSs=", "https://user@mycompany.com/myapp.php?foo=1&bar=2", twilioForm),
	twilioExample("credentials and the port", "ZQFR1PTIZXF2MXB8ZnKCvnnA+rI=", "https://user:pass@mycompany.com/myapp.php?foo=1&bar=2", twilioForm),
	twilioExample("characters that need no escape", "dsq4Ehbj6cs+KdTkpF5sSSplOWw=", twilioURL+"&Body=It's+amazing", twilioForm),
	twilioExample("two values", "83O6e2vORAoJHUNzJjDWN1jz+BA=", twilioURL, "MessagingBinding.Address=%2B1325xxxxxxx&MessagingBinding.Address=%2B1415xxxxxxx"),
	twilioExample("two values, turned round", "83O6e2vORAoJHUNzJjDWN1jz+BA=", twilioURL, "MessagingBinding.Address=%2B1415xxxxxxx&MessagingBinding.Address=%2B1325xxxxxxx"),
	twilioExample("a value twice", "IK+Dwps556ElfBT0I3Rgjkr1wJU=", twilioURL, "Sid=CA123&SidAccount=AC123&Digits=5678&Digits=1234&Digits=1234"),
	twilioExample("JSON", "a9nBmqA0ju/hNViExpshrM61xv4=", twilioURL+"&bodySHA256="+twilioSum, `{"property": "value", "boolean": true}`),
	twilioExample("JSON, the sum alone", "y77kIzt2vzLz71DgmJGsen2scGs=", "https://mycompany.com/myapp.php?bodySHA256="+twilioSum, `{"property": "value", "boolean": true}`),
	twilioExample("empty JSON", "Ldidvp12m26NI7eqEvxnEpkd9Hc=", twilioURL+"&bodySHA256=44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a", "{}"),
}

func twilioExample(name, signature, to, body string) example {
	mediaType := "application/x-www-form-urlencoded; charset=UTF-8"
	if strings.HasPrefix(body, "{") {
		mediaType = "application/json"
	}
	return example{
		name: "Twilio, " + name, scheme: verify.Twilio, secret: "12345", body: body, urls: []string{to},
		header: [][2]string{{"X-Twilio-Signature", signature}, {"Content-Type", mediaType}},
	}
}

// signTwilio returns the signature of a text, by the code of Go alone.
func signTwilio(secret, text string) string {
	h := hmac.New(sha1.New, []byte(secret))
	h.Write([]byte(text))
	return base64.StdEncoding.EncodeToString(h.Sum(nil))
}

const twilioSecret = "0123456789abcdef0123456789abcdef"

func TestFormsOfTwilioAreSortedByName(t *testing.T) {
	v := newVerifier(t, verify.Twilio, twilioSecret, nil)
	const to = "https://callbacks.example.com/cb/x"
	for body, text := range map[string]string{
		"":                              "",
		"b=2&a=1":                       "a1b2",
		"a=&b":                          "ab",
		"B=1&a=2&A=3":                   "A3B1a2",
		"Sid=1&SidA=2&Si=3":             "Si3Sid1SidA2",
		"a%3D=%26&a=b":                  "aba=&",
		"b+c=d+e&b%20d=%2b":             "b cd eb d+",
		"t=%C3%BC%F0%9F%8E%89":          "tü🎉",
		"t=%00%0A":                      "t\x00\n",
		"a=1&&b=2&":                     "a1b2",
		"a=b=c":                         "ab=c",
		"a=2&a=1&a=2":                   "a1a2",
		"x=" + strings.Repeat("y", 2e3): "x" + strings.Repeat("y", 2e3),
	} {
		m := verify.Message{
			URLs: []string{to}, Body: []byte(body),
			Header: http.Header{"X-Twilio-Signature": {signTwilio(twilioSecret, to+text)}, "Content-Type": {"application/x-www-form-urlencoded"}},
		}
		if err := v.Verify(m, time.Time{}); err != nil {
			t.Errorf("%q: %v", body, err)
		}
	}
}

func TestBodiesThatTwilioDidNotSignAreRefused(t *testing.T) {
	v := newVerifier(t, verify.Twilio, twilioSecret, nil)
	const to = "https://callbacks.example.com/cb/x"
	sum := sha256.Sum256([]byte("{}"))
	summed := to + "?bodySHA256=" + strings.ToUpper(hex.EncodeToString(sum[:]))
	for _, c := range []struct {
		name, to, body, mediaType string
		want                      error
	}{
		{"none", to, "", "", nil},
		{"none of a media type", to, "", "application/json", nil},
		{"not covered", to, "{}", "application/json", verify.ErrMalformed},
		{"not covered, a form's characters", to, "a", "text/plain", verify.ErrMalformed},
		{"not covered, no media type", to, "{}", "", verify.ErrMalformed},
		{"multipart", to, "{}", "multipart/form-data; boundary=x", verify.ErrMalformed},
		{"fields without names", to, "=&=", "application/x-www-form-urlencoded", verify.ErrMalformed},
		{"a bad escape", to, "a=%2", "application/x-www-form-urlencoded", verify.ErrMalformed},
		{"another bad escape", to, "a=%zz", "application/x-www-form-urlencoded", verify.ErrMalformed},
		{"raw bytes", to, "a=\xff", "application/x-www-form-urlencoded", verify.ErrMalformed},
		{"too many fields", to, strings.Repeat("a&", 1001), "application/x-www-form-urlencoded", verify.ErrMalformed},
		{"too large", to, strings.Repeat("a", 1<<20+1), "application/x-www-form-urlencoded", verify.ErrMalformed},
		{"covered by its sum", summed, "{}", "application/json", nil},
		{"a form that is covered by its sum", summed, "{}", "application/x-www-form-urlencoded", nil},
		{"another than the one of the sum", summed, "{ }", "application/json", verify.ErrWrong},
		{"none, but the sum of one", summed, "", "", verify.ErrWrong},
		{"no sum", to + "?bodySHA256", "{}", "application/json", verify.ErrWrong},
		{"two sums", summed + "&bodySHA256=" + twilioSum, "{}", "application/json", nil},
		{"two sums, the other first", strings.Replace(summed, "?", "?bodySHA256="+twilioSum+"&", 1), "{}", "application/json", verify.ErrWrong},
	} {
		m := verify.Message{URLs: []string{c.to}, Body: []byte(c.body), Header: http.Header{"X-Twilio-Signature": {signTwilio(twilioSecret, c.to)}}}
		if c.mediaType != "" {
			m.Header.Set("Content-Type", c.mediaType)
		}
		if err := v.Verify(m, time.Time{}); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
	}
}

func TestAnyOfTheURLsMayBeTheOneThatIsSigned(t *testing.T) {
	v := newVerifier(t, verify.Twilio, twilioSecret, nil)
	var urls []string
	for i := range verify.MaxURLs + 1 {
		urls = append(urls, fmt.Sprintf("https://callbacks%d.example.com/cb", i))
	}
	message := func(signed string, urls ...string) verify.Message {
		return verify.Message{URLs: urls, Header: http.Header{"X-Twilio-Signature": {signTwilio(twilioSecret, signed)}}}
	}
	for i, u := range urls {
		want := error(nil)
		if i == verify.MaxURLs {
			want = verify.ErrWrong
		}
		if err := v.Verify(message(u, urls...), time.Time{}); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", u, err, want)
		}
	}
	if err := v.Verify(message("https://callbacks.example.com/cb"), time.Time{}); !errors.Is(err, verify.ErrWrong) {
		t.Error(err)
	}
	for given, signed := range map[string][]string{
		"https://a.example/cb":     {"https://a.example/cb", "https://a.example:443/cb"},
		"https://a.example:443/cb": {"https://a.example/cb", "https://a.example:443/cb"},
		"http://a.example?x=y:1":   {"http://a.example?x=y:1", "http://a.example:80?x=y:1"},
		"https://[::1]/cb":         {"https://[::1]/cb", "https://[::1]:443/cb"},
		"https://[::1]:8443/cb":    {"https://[::1]/cb", "https://[::1]:8443/cb"},
		"https://u:p@a.example/cb": {"https://u:p@a.example/cb", "https://u:p@a.example:443/cb"},
		"https://a.example":        {"https://a.example", "https://a.example:443"},
		"/cb":                      {"/cb"},
	} {
		for _, s := range signed {
			if err := v.Verify(message(s, given), time.Time{}); err != nil {
				t.Errorf("%s for %s: %v", s, given, err)
			}
		}
	}
	// One URL names the sum of a body, and the other does not.
	m := message(urls[0], urls[1]+"?bodySHA256="+twilioSum, urls[0])
	m.Body, m.Header["Content-Type"] = []byte("{}"), []string{"application/json"}
	if err := v.Verify(m, time.Time{}); !errors.Is(err, verify.ErrMalformed) {
		t.Error(err)
	}
}

func TestTwilioSaysWithWhichHashItSigns(t *testing.T) {
	v := newVerifier(t, verify.Twilio, twilioSecret, nil)
	sha1, sha256 := signTwilio(twilioSecret, twilioURL), base64.StdEncoding.EncodeToString(sum256([]byte(twilioSecret), twilioURL))
	for _, c := range []struct {
		settings  []string
		signature string
		want      error
	}{
		{nil, sha1, nil},
		{nil, sha256, verify.ErrMalformed},
		{[]string{"key=webhooks_sharedkey_1,algorithm=HMAC_SHA256"}, sha256, nil},
		{[]string{"algorithm = HMAC_SHA256"}, sha256, nil},
		{[]string{"key=webhooks_sharedkey_1,algorithm=HMAC_SHA256"}, sha1, verify.ErrMalformed},
		{[]string{"algorithm=HMAC_SHA1"}, sha1, nil},
		{[]string{"key=x"}, sha1, nil},
		{[]string{"algorithm=NONE"}, sha1, verify.ErrMalformed},
		{[]string{"algorithm="}, sha1, verify.ErrMalformed},
		{[]string{"algorithm=HMAC_SHA1", "algorithm=HMAC_SHA1"}, sha1, verify.ErrGivenTwice},
	} {
		m := verify.Message{URLs: []string{twilioURL}, Header: http.Header{"X-Twilio-Signature": {c.signature}}}
		if c.settings != nil {
			m.Header["X-Twilio-Webhooks-Signature-Settings"] = c.settings
		}
		if err := v.Verify(m, time.Time{}); !errors.Is(err, c.want) {
			t.Errorf("%q: %v, want %v", c.settings, err, c.want)
		}
	}
	// The way of one call is not that of the next.
	if err := v.Verify(verify.Message{URLs: []string{twilioURL}, Header: http.Header{"X-Twilio-Signature": {sha1}}}, time.Time{}); err != nil {
		t.Error(err)
	}
}

func TestSignatureOfTwilioMustHaveItsForm(t *testing.T) {
	v := newVerifier(t, verify.Twilio, twilioSecret, nil)
	for _, signature := range []string{"x", strings.Repeat("A", 27), strings.Repeat("A", 29), strings.Repeat("ab", 20)} {
		m := verify.Message{URLs: []string{twilioURL}, Header: http.Header{"X-Twilio-Signature": {signature}}}
		if err := v.Verify(m, time.Time{}); !errors.Is(err, verify.ErrMalformed) {
			t.Errorf("%s: %v", signature, err)
		}
	}
}

func TestFormsOfTwilioAreReadInLinearTime(t *testing.T) {
	v := newVerifier(t, verify.Twilio, twilioSecret, nil)
	for name, body := range map[string]func(n int) string{
		"one value":   func(n int) string { return "a=" + strings.Repeat("%41", n) },
		"many fields": func(n int) string { return strings.Repeat("a=b&", n) },
		"same values": func(n int) string { return strings.Repeat("a="+strings.Repeat("b", n/100)+"&", 100) },
	} {
		n := 20000
		if name == "many fields" {
			n = 120
		}
		t.Run(name, func(t *testing.T) {
			linear.Check(t, n, func(n int) func() {
				m := verify.Message{URLs: []string{twilioURL}, Body: []byte(body(n)), Header: http.Header{
					"X-Twilio-Signature": {strings.Repeat("A", 28)}, "Content-Type": {"application/x-www-form-urlencoded"},
				}}
				return func() { _ = v.Verify(m, time.Time{}) }
			})
		})
	}
}

// expectedByTwilio returns what Twilio signs of a form, read by the code of Go.
func expectedByTwilio(to, body string) (text string, ok bool) {
	values, err := url.ParseQuery(body)
	if err != nil {
		return "", false
	}
	names := make([]string, 0, len(values))
	for name := range values {
		names = append(names, name)
	}
	slices.Sort(names)
	text = to
	for _, name := range names {
		slices.Sort(values[name])
		for _, value := range slices.Compact(values[name]) {
			text += name + value
		}
	}
	return text, true
}
