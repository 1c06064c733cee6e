package deliver_test

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/caddy-callback/caddy-callback/module/deliver"
)

// vectorSecret is the secret of the vectors that Standard Webhooks publishes.
const vectorSecret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

func secret(t *testing.T, text string) deliver.Secret {
	t.Helper()
	s, err := deliver.ParseSecret(text)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// ofLength returns the text of a secret with so many bytes.
func ofLength(n int) string {
	return "whsec_" + base64.StdEncoding.EncodeToString([]byte(strings.Repeat("k", n)))
}

func TestSignatureIsThatOfThePublishedVector(t *testing.T) {
	const want = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
	got, err := deliver.Sign([]deliver.Secret{secret(t, vectorSecret)}, "msg_p5jXN8AQM9LWM0D4loKWxJek",
		time.Unix(1614265330, 0), strings.NewReader(`{"test": 2432232314}`))
	if err != nil || got != want {
		t.Errorf("got %s, %v", got, err)
	}
}

func TestEverySecretSignsOnce(t *testing.T) {
	texts := []string{vectorSecret, ofLength(24), ofLength(64)}
	now, body := time.Now(), "a body\x00 of any\nkind"
	got, err := deliver.Sign([]deliver.Secret{secret(t, texts[0]), secret(t, texts[1]), secret(t, texts[2])}, "an-id", now, strings.NewReader(body))
	if err != nil || strings.Count(got, "v1,") != 3 || strings.Count(got, " ") != 2 {
		t.Fatalf("got %s, %v", got, err)
	}
	header := http.Header{}
	header.Set("webhook-id", "an-id")
	header.Set("webhook-timestamp", strconv.FormatInt(now.Unix(), 10))
	header.Set("webhook-signature", got)
	for _, text := range texts {
		receiver, err := standardwebhooks.NewWebhook(text)
		if err != nil {
			t.Fatal(err)
		}
		if err := receiver.Verify([]byte(body), header); err != nil {
			t.Errorf("a receiver does not take it: %v", err)
		}
		if receiver.Verify([]byte(body+"."), header) == nil {
			t.Error("a receiver takes another body")
		}
	}
}

func TestSigningNoticesABodyThatCannotBeRead(t *testing.T) {
	broken := errors.New("broken")
	if got, err := deliver.Sign([]deliver.Secret{secret(t, vectorSecret)}, "an-id", time.Now(), iotest.ErrReader(broken)); !errors.Is(err, broken) || got != "" {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestParseSecretRefusesWhatIsNone(t *testing.T) {
	for name, text := range map[string]string{
		"empty":            "",
		"no prefix":        strings.TrimPrefix(vectorSecret, "whsec_"),
		"prefix in caps":   strings.ToUpper("whsec_") + strings.TrimPrefix(vectorSecret, "whsec_"),
		"prefix only":      "whsec_",
		"public key":       strings.Replace(vectorSecret, "whsec_", "whpk_", 1),
		"23 bytes":         ofLength(23),
		"65 bytes":         ofLength(65),
		"no padding":       strings.TrimRight(ofLength(25), "="),
		"URL alphabet":     "whsec_" + strings.Repeat("_-", 16),
		"line break":       vectorSecret[:10] + "\n" + vectorSecret[10:],
		"space at the end": vectorSecret + " ",
		"loose last bits":  ofLength(25)[:len(ofLength(25))-3] + "x==",
	} {
		s, err := deliver.ParseSecret(text)
		if err == nil {
			t.Errorf("%s: %q was taken", name, text)
			continue
		}
		if body := strings.TrimPrefix(text, "whsec_"); body != "" && strings.Contains(err.Error(), body) {
			t.Errorf("%s: the error shows it: %v", name, err)
		}
		if fmt.Sprint(s) != "[secret]" {
			t.Errorf("%s: %v", name, s)
		}
	}
}

func TestSecretsAreNeverPrinted(t *testing.T) {
	s := secret(t, vectorSecret)
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%d", "%x", "%X", "%c", "%U", "%t"} {
		for _, v := range []any{s, &s, []deliver.Secret{s}, struct{ S deliver.Secret }{s}} {
			if got := fmt.Sprintf(verb, v); !strings.Contains(got, "[secret]") {
				t.Errorf("%s of %T prints %s", verb, v, got)
			}
		}
	}
	if got := s.String(); got != "[secret]" {
		t.Error(got)
	}
}
