package verify_test

import (
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/caddy-callback/caddy-callback/module/linear"
	"github.com/caddy-callback/caddy-callback/module/verify"
)

func TestAnySignatureInTheListCounts(t *testing.T) {
	e := published[0]
	right := e.message().Header.Get("webhook-signature")
	wrong := "v1," + strings.Repeat("A", 43) + "="
	for value, want := range map[string]error{
		wrong + " " + right: nil, right + " " + wrong: nil, "v1a,xyz " + right: nil, "v2," + right[3:] + " " + right: nil,
		"  " + right + "  ": nil, "v1,short " + right: nil, "nonsense " + right: nil,
		wrong: verify.ErrWrong, wrong + " " + wrong: verify.ErrWrong,
		"v2," + right[3:]: verify.ErrMalformed, "V1," + right[3:]: verify.ErrMalformed, right[3:]: verify.ErrMalformed, "v1": verify.ErrMalformed, "v1,": verify.ErrMalformed,
		" ": verify.ErrMalformed, right + "," + right: verify.ErrMalformed, right + "\t" + wrong: verify.ErrMalformed,
		strings.Repeat(wrong+" ", 7) + right: nil, strings.Repeat(wrong+" ", 8) + right: verify.ErrMalformed,
		strings.Repeat("v1,x ", 700) + right: verify.ErrMalformed,
	} {
		m := e.message()
		m.Header.Set("webhook-signature", value)
		if err := e.verifier(t).Verify(m, e.now()); !errors.Is(err, want) {
			t.Errorf("%.200q: %v, want %v", value, err, want)
		}
	}
}

func TestPublicKeyVerifiesItsVersionOnly(t *testing.T) {
	secret, public := published[0], published[1]
	both := secret.message().Header.Get("webhook-signature") + " " + public.message().Header.Get("webhook-signature")
	for _, e := range []example{secret, public} {
		m := e.message()
		m.Header.Set("webhook-signature", both)
		if err := e.verifier(t).Verify(m, e.now()); err != nil {
			t.Errorf("%s: %v", e.name, err)
		}
	}
	if err := public.verifier(t).Verify(secret.message(), secret.now()); !errors.Is(err, verify.ErrMalformed) {
		t.Error(err)
	}
	m := public.message()
	m.Header.Set("webhook-signature", "v1a,short v1a,"+strings.Repeat("A", 88))
	if err := public.verifier(t).Verify(m, public.now()); !errors.Is(err, verify.ErrMalformed) {
		t.Error(err)
	}
}

// TestNobodyCanMoveWhatIsSigned makes sure that a stranger who has seen a call cannot give it
// another id.
func TestNobodyCanMoveWhatIsSigned(t *testing.T) {
	svix := published[2]
	for name, change := range map[string]func(h http.Header){
		"an id for others": func(h http.Header) { h.Set("webhook-id", "msg_another") },
		"two of them":      func(h http.Header) { h["Webhook-Id"] = []string{"msg_loFOjxBNrRLzqYUf", "msg_another"} },
	} {
		m := svix.message()
		change(m.Header)
		if err := svix.verifier(t).Verify(m, svix.now()); !errors.Is(err, verify.ErrMalformed) {
			t.Errorf("%s: %v", name, err)
		}
	}
	m := svix.message()
	m.Header.Set("webhook-id", "msg_loFOjxBNrRLzqYUf")
	if err := svix.verifier(t).Verify(m, svix.now()); err != nil {
		t.Error(err)
	}
	// "msg_1", now and "1700000001.rest" become "msg_1.1700000000", later and "rest".
	now := int64(1700000000)
	whole := signedStandard(standardSecret, "msg_1", now, "1700000001.rest")
	if err := whole.verifier(t).Verify(whole.message(), whole.now()); err != nil {
		t.Fatal(err)
	}
	moved := whole.message()
	moved.Header.Set("webhook-id", "msg_1.1700000000")
	moved.Header.Set("webhook-timestamp", "1700000001")
	moved.Body = []byte("rest")
	if err := whole.verifier(t).Verify(moved, whole.now()); !errors.Is(err, verify.ErrMalformed) {
		t.Errorf("the time is taken into the id: %v", err)
	}
	for _, id := range []string{"a.b", "evt.1", "1700000000", "1.2.3", "a.1700000000x", "."} {
		e := signedStandard(standardSecret, id, now, "{}")
		if err := e.verifier(t).Verify(e.message(), e.now()); err != nil {
			t.Errorf("%s: %v", id, err)
		}
	}
}

func TestNamesOfStandardWebhooksGoBeforeThoseOfSvix(t *testing.T) {
	e := published[0]
	m := e.message()
	m.Header.Set("svix-signature", "v1,"+strings.Repeat("A", 43)+"=")
	if err := e.verifier(t).Verify(m, e.now()); err != nil {
		t.Error(err)
	}
}

// signedStandard returns a call that is signed by the code of Go alone.
func signedStandard(secret, id string, at int64, body string) example {
	key, _ := base64.StdEncoding.DecodeString(strings.TrimPrefix(secret, "whsec_"))
	time := strconv.FormatInt(at, 10)
	return example{
		name: "Standard", scheme: verify.Standard, secret: secret, body: body, at: at,
		header: [][2]string{
			{"webhook-id", id}, {"webhook-timestamp", time},
			{"webhook-signature", "v1," + base64.StdEncoding.EncodeToString(sum256(key, id+"."+time+"."+body))},
		},
	}
}

// TestPublicKeysVerifyAsThoseOfGoDo compares with crypto/ed25519.
func TestPublicKeysVerifyAsThoseOfGoDo(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	now := time.Unix(1700000000, 0)
	for i := range 300 {
		seed := make([]byte, ed25519.SeedSize)
		for j := range seed {
			seed[j] = byte(random.Uint32())
		}
		private := ed25519.NewKeyFromSeed(seed)
		public := private.Public().(ed25519.PublicKey)
		body := strings.Repeat("x", random.IntN(200))
		signed := "id.1700000000." + body
		signature := ed25519.Sign(private, []byte(signed))
		if i%3 > 0 {
			signature[random.IntN(len(signature))] ^= 1 << random.IntN(8)
		}
		if i%10 == 0 {
			// S is not below the order of the group.
			copy(signature[32:], strings.Repeat("\xff", 32))
		}
		m := verify.Message{Body: []byte(body), Header: http.Header{
			"Webhook-Id": {"id"}, "Webhook-Timestamp": {"1700000000"}, "Webhook-Signature": {"v1a," + base64.StdEncoding.EncodeToString(signature)},
		}}
		v := newVerifier(t, verify.Standard, "whpk_"+base64.StdEncoding.EncodeToString(public), nil)
		if err := v.Verify(m, now); (err == nil) != ed25519.Verify(public, []byte(signed), signature) {
			t.Fatalf("%x, %x: %v", public, signature, err)
		}
	}
}

func TestLongListsAreReadOnce(t *testing.T) {
	e := published[0]
	v := e.verifier(t)
	linear.Check(t, 50, func(n int) func() {
		m := e.message()
		m.Header.Set("webhook-signature", strings.Repeat("v1,a ", n))
		return func() { _ = v.Verify(m, e.now()) }
	})
}
