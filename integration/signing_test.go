package integration

import (
	"bytes"
	"compress/gzip"
	"crypto/hmac"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/caddy-callback/caddy-callback/integration/harness"
)

// The secrets of signedSite, as the providers show them.
const (
	standardSecret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	githubSecret   = "a secret that only GitHub has"
	oldSecret      = "the secret that GitHub had before"
	stripeSecret   = "whsec_of_stripe_0123456789"
	twilioSecret   = "0123456789abcdef0123456789abcdef"
	bankSecret     = "the bank's own secret text"
)

// signedSite starts a server with a key for each of some schemes.
func signedSite(t *testing.T, cfg harness.Config) *stage {
	t.Helper()
	s := newStage(t)
	for name, secret := range map[string]string{
		"STANDARD": standardSecret, "GITHUB": githubSecret, "OLD_GITHUB": oldSecret, "STRIPE": stripeSecret, "TWILIO": twilioSecret, "BANK": bankSecret, "PLAIN": envKey,
	} {
		s.Setenv("CB_"+name, secret)
		s.NeverLog(secret)
	}
	cfg.Callback += "key openai standard:{env.CB_STANDARD}\n" +
		"key github github:{env.CB_GITHUB} github:{env.CB_OLD_GITHUB} send\n" +
		"key stripe stripe:{env.CB_STRIPE}\n" +
		"key twilio twilio:{env.CB_TWILIO}\n" +
		"key bank hmac:{env.CB_BANK} {\nheader X-Signature\nprefix sha256=\nsigns \"{timestamp}.{body}\"\ntimestamp X-Time 5m\n}\n" +
		"key plain {env.CB_PLAIN} send\n"
	s.Start(t, cfg)
	return s
}

func mac(secret, text string) []byte {
	m := hmac.New(sha256.New, []byte(secret))
	m.Write([]byte(text))
	return m.Sum(nil)
}

// The header lines with which the providers sign a body.

func byGitHub(secret, body string) []string {
	return []string{"X-Hub-Signature-256", "sha256=" + hex.EncodeToString(mac(secret, body))}
}

func byStripe(body string, at time.Time) []string {
	ts := strconv.FormatInt(at.Unix(), 10)
	return []string{"Stripe-Signature", "t=" + ts + ",v1=" + hex.EncodeToString(mac(stripeSecret, ts+"."+body))}
}

func byBank(body string, at time.Time) []string {
	ts := strconv.FormatInt(at.Unix(), 10)
	return []string{"X-Time", ts, "X-Signature", "sha256=" + hex.EncodeToString(mac(bankSecret, ts+"."+body))}
}

func byStandard(id, body string, at time.Time) []string {
	ts := strconv.FormatInt(at.Unix(), 10)
	key, _ := base64.StdEncoding.DecodeString(strings.TrimPrefix(standardSecret, "whsec_"))
	return []string{"Webhook-Id", id, "Webhook-Timestamp", ts, "Webhook-Signature", "v1," + base64.StdEncoding.EncodeToString(mac(string(key), id+"."+ts+"."+body))}
}

func TestSignedCallShowsAKey(t *testing.T) {
	t.Parallel()
	for name, lines := range map[string]func(body string) []string{
		"openai": func(body string) []string { return byStandard("msg_1", body, time.Now()) },
		"github": func(body string) []string { return byGitHub(githubSecret, body) },
		"stripe": func(body string) []string { return byStripe(body, time.Now()) },
		"bank":   func(body string) []string { return byBank(body, time.Now()) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := signedSite(t, harness.Config{Hold: "key " + name})
			for _, body := range []string{"", "an answer", strings.Repeat("0123456789", 1<<20/10)} {
				x := s.get(t)
				wantUnauthorized(t, s.callURL(t, http.MethodPost, x.url, body+"!", lines(body)...), "signature-refused")
				// These are refused before the body is read.
				wantUnauthorized(t, s.callURL(t, http.MethodPost, x.url, "no"), "key-required")
				wantUnauthorized(t, s.callURL(t, http.MethodPost, x.url, "no", bearer("wrong, but long enough")...), "key-unknown")
				wantProblem(t, s.callURL(t, http.MethodPost, x.url, "no", bearer(envKey)...), http.StatusForbidden, "key-not-allowed")
				wantAnswer(t, s.callURL(t, http.MethodPost, x.url, body, lines(body)...), http.StatusOK, "")
				wantAnswer(t, x.Answer(t), http.StatusOK, body)
			}
		})
	}
}

func TestSignatureOfAnotherKeyIsNotAllowed(t *testing.T) {
	t.Parallel()
	s := signedSite(t, harness.Config{Hold: "key stripe"})
	x := s.get(t)
	wantProblem(t, s.callURL(t, http.MethodPost, x.url, "no", byGitHub(githubSecret, "no")...), http.StatusForbidden, "key-not-allowed")
	wantAnswer(t, s.callURL(t, http.MethodPost, x.url, "yes", append(byGitHub("not the secret at all", "yes"), byStripe("yes", time.Now())...)...), http.StatusOK, "")
	wantAnswer(t, x.Answer(t), http.StatusOK, "yes")
}

func TestEitherSecretOfARotationSigns(t *testing.T) {
	t.Parallel()
	s := signedSite(t, harness.Config{Hold: "key github\nmultiple on"})
	x := s.get(t)
	for _, secret := range []string{oldSecret, githubSecret} {
		wantAnswer(t, s.callURL(t, http.MethodPost, x.url, "by "+secret, byGitHub(secret, "by "+secret)...), http.StatusOK, "")
	}
}

func TestRefusedSignatureSaysWhy(t *testing.T) {
	t.Parallel()
	s := signedSite(t, harness.Config{Hold: "key stripe\n" + showStatus})
	x := s.get(t)
	for why, lines := range map[string][]string{
		"wrong":     {"Stripe-Signature", "t=" + strconv.FormatInt(time.Now().Unix(), 10) + ",v1=" + strings.Repeat("00", 32)},
		"too old":   byStripe("x", time.Now().Add(-6*time.Minute)),
		"too new":   byStripe("x", time.Now().Add(6*time.Minute)),
		"malformed": {"Stripe-Signature", "nothing of the kind"},
	} {
		got := s.callURL(t, http.MethodPost, x.url, "x", lines...)
		wantUnauthorized(t, got, "signature-refused")
		if !strings.Contains(string(got.Body), why) && why != "too new" {
			t.Errorf("%s: the partner got %s", why, got.Body)
		}
		if right := byStripe("x", time.Now()); strings.Contains(string(got.Body), right[1]) {
			t.Errorf("%s: it is said what would be right", why)
		}
	}
	x.wantPhase(t, "waiting")
}

func TestReplayedSignatureIsARepetition(t *testing.T) {
	t.Parallel()
	s := signedSite(t, harness.Config{Hold: "key openai\nrespond noted 202"})
	x := s.get(t)
	lines := byStandard("msg_7", "an answer", time.Now())
	for range 2 {
		wantAnswer(t, s.callURL(t, http.MethodPost, x.url, "an answer", lines...), http.StatusAccepted, "noted")
	}
	wantAnswer(t, x.Answer(t), http.StatusOK, "an answer")
	s.Kill(t)
	cfg := harness.Config{Callback: "key openai standard:{env.CB_STANDARD}\n", Hold: "key openai"}
	s.Start(t, cfg)
	s.MustReload(t, cfg)
	wantAnswer(t, s.callURL(t, http.MethodPost, x.url, "an answer", lines...), http.StatusAccepted, "noted")
}

func TestSignatureIsOverTheBytesThatCame(t *testing.T) {
	t.Parallel()
	s := signedSite(t, harness.Config{Hold: "key github\nfailed json status error"})
	x := s.get(t)
	var packed bytes.Buffer
	w := gzip.NewWriter(&packed)
	_, _ = w.Write([]byte(`{"status":"error"}`))
	_ = w.Close()
	lines := append(byGitHub(githubSecret, packed.String()), "Content-Encoding", "gzip", "Content-Type", "application/json")
	wantStatus(t, s.callURL(t, http.MethodPost, x.url, packed.String(), lines...), http.StatusOK)
	wantStatus(t, x.Answer(t), http.StatusFailedDependency)
}

func TestSignedCallIsFoundByTheStateInItsForm(t *testing.T) {
	t.Parallel()
	s := signedSite(t, harness.Config{Hold: "key github\nstate_query state\ninject header X-State {http.callback.state}"})
	x := s.get(t)
	state := x.received.Header.Get("X-State")
	s.NeverLog(state)
	body, at := "a=1&state="+state+"&b=2", harness.BaseURL+"/cbq/state"
	form := []string{"Content-Type", "application/x-www-form-urlencoded"}
	wantStatus(t, s.callURL(t, http.MethodPost, at, body, append(byGitHub("another secret altogether", body), form...)...), http.StatusUnauthorized)
	wantStatus(t, s.callURL(t, http.MethodPost, at, body, append(byGitHub(githubSecret, body), form...)...), http.StatusOK)
	wantAnswer(t, x.Answer(t), http.StatusOK, "a=1&b=2")
}

func TestTwilioSignsThePublicURL(t *testing.T) {
	t.Parallel()
	s := signedSite(t, harness.Config{Hold: "key twilio"})
	sign := func(text string) []string {
		m := hmac.New(sha1.New, []byte(twilioSecret))
		m.Write([]byte(text))
		return []string{"Content-Type", "application/x-www-form-urlencoded", "X-Twilio-Signature", base64.StdEncoding.EncodeToString(m.Sum(nil))}
	}
	x := s.get(t)
	wantUnauthorized(t, s.callURL(t, http.MethodPost, x.url, "To=1&From=2", sign("https://elsewhere.test/cbFrom2To1")...), "signature-refused")
	wantStatus(t, s.callURL(t, http.MethodPost, x.url, "To=1&From=2", sign(x.url+"From2To1")...), http.StatusOK)
	wantAnswer(t, x.Answer(t), http.StatusOK, "To=1&From=2")
}

func TestFixedURLTakesSignedCalls(t *testing.T) {
	t.Parallel()
	s := signedSite(t, harness.Config{Hold: "key stripe\ncorrelation_id request header X-Order", Public: "callback_server {\ncorrelation_id json data.order\n}"})
	x := s.getOrder(t, s.path(), "A-8")
	event := func(order string) string { return `{"data":{"order":"` + order + `"}}` }
	call := func(body string, lines []string) *harness.Response {
		return s.callURL(t, http.MethodPost, fixedURL, body, append(lines, "Content-Type", jsonType)...)
	}
	wantUnauthorized(t, call(event("A-8"), nil), "key-required")
	wantUnauthorized(t, call(event("A-8"), byStripe("something else", time.Now())), "signature-refused")
	// Most events of an account concern nobody here: a provider would give up a URL that
	// refuses them.
	for _, body := range []string{event("A-9"), `{"type":"ping"}`} {
		wantAnswer(t, call(body, byStripe(body, time.Now())), http.StatusOK, "")
	}
	wantAnswer(t, call(event("A-8"), byStripe(event("A-8"), time.Now())), http.StatusOK, "")
	wantAnswer(t, x.Answer(t), http.StatusOK, event("A-8"))
}

func TestSignedCallThatBelongsToNobodyGoesOnWhole(t *testing.T) {
	t.Parallel()
	s := signedSite(t, harness.Config{Hold: "key stripe", Public: "callback_server {\nunmatched next\n}\nrespond \"{http.request.body} {http.request.header.Stripe-Signature}\""})
	body := `{"type":"invoice.paid"}`
	lines := byStripe(body, time.Now())
	wantAnswer(t, s.callURL(t, http.MethodPost, fixedURL, body, append(lines, "Content-Type", jsonType)...), http.StatusOK, body+" "+lines[1])
	wantUnauthorized(t, s.callURL(t, http.MethodPost, fixedURL, body+" ", append(lines, "Content-Type", jsonType)...), "signature-refused")
}

func TestServerAsksForASignature(t *testing.T) {
	t.Parallel()
	s := signedSite(t, harness.Config{Public: "callback_server {\nkey github\n}"})
	x := s.get(t)
	wantUnauthorized(t, x.call(t, "text/plain", "no"), "key-required")
	wantUnauthorized(t, s.callURL(t, http.MethodPost, x.url, "no", byGitHub("another secret altogether", "no")...), "signature-refused")
	wantUnauthorized(t, s.callURL(t, http.MethodOptions, x.url, "", byGitHub("another secret altogether", "")...), "signature-refused")
	wantAnswer(t, s.callURL(t, http.MethodPost, x.url, "yes", byGitHub(githubSecret, "yes")...), http.StatusOK, "")
	wantAnswer(t, x.Answer(t), http.StatusOK, "yes")
}

// A signature whose body is yet to come opens nothing: a stranger can write such a header, too.
func TestUncheckedSignatureOpensNothing(t *testing.T) {
	t.Parallel()
	s := signedSite(t, harness.Config{Hold: "key github\n" + showStatus})
	x := s.get(t)
	for _, lines := range [][]string{
		{"X-Hub-Signature-256", "sha256="}, {"X-Hub-Signature-256", "sha256=" + strings.Repeat("a", 64)}, {"X-Hub-Signature", "sha1=" + strings.Repeat("a", 40)},
	} {
		wantStatus(t, s.callURL(t, http.MethodPost, x.url, "no", lines...), http.StatusUnauthorized)
		wantStatus(t, s.callURL(t, http.MethodPost, x.url+"/failed", "no", lines...), http.StatusUnauthorized)
		wantStatus(t, s.callURL(t, http.MethodGet, x.url, "", lines...), http.StatusMethodNotAllowed)
	}
	x.wantPhase(t, "waiting")
	for _, method := range []string{http.MethodHead, http.MethodOptions} {
		wantStatus(t, s.callURL(t, method, fixedURL, ""), http.StatusUnauthorized)
		wantStatus(t, s.callURL(t, method, fixedURL, "", byGitHub("not the secret at all", "")...), http.StatusUnauthorized)
		if got := s.callURL(t, method, fixedURL, "", byGitHub(githubSecret, "")...); got.Status > 299 {
			t.Errorf("%s: %d", method, got.Status)
		}
	}
	wantAnswer(t, s.callURL(t, http.MethodPost, x.url+"/failed", "no", byGitHub(githubSecret, "no")...), http.StatusOK, "")
	wantStatus(t, x.Answer(t), http.StatusFailedDependency)
}

// Strangers share the memory for bodies that are read before it is known who sends them. A
// provider's largest call has room in it all the same.
func TestLargeSignedCallsAreTaken(t *testing.T) {
	t.Parallel()
	s := signedSite(t, harness.Config{Hold: "key github"})
	x := s.get(t)
	body := strings.Repeat("0123456789abcdef", 10<<20/16)
	wantAnswer(t, s.callURL(t, http.MethodPost, fixedURL, body, append(byGitHub(githubSecret, body), correlationHeader, "nobody's")...), http.StatusOK, "")
	req := harness.NewRequest(t, http.MethodPost, x.url, "text/plain", "")
	req.Body, req.ContentLength = io.NopCloser(strings.NewReader(body)), -1
	req.Header.Set("X-Hub-Signature-256", byGitHub(githubSecret, body)[1])
	wantStatus(t, s.public(t, req), http.StatusOK)
	if got := x.Answer(t); len(got.Body) != len(body) {
		t.Errorf("the client got %d bytes", len(got.Body))
	}
}

// Who has seen a signed call can send it again with another name, which no signature covers.
func TestReplayedCallCannotBeGivenAnotherName(t *testing.T) {
	t.Parallel()
	s := signedSite(t, harness.Config{Hold: "key github openai\nmultiple on\n" + showStatus})
	x := s.get(t)
	id, at := s.newestWaiting(t), time.Now()
	for i := range 3 {
		lines := append(byGitHub(githubSecret, "an event"), "Webhook-Id", fmt.Sprint("made up ", i), "Idempotency-Key", fmt.Sprint("made up ", i))
		wantStatus(t, s.callURL(t, http.MethodPost, x.url, "an event", lines...), http.StatusOK)
		lines = append(byStandard("msg_1", "an event", at), "Svix-Id", fmt.Sprint("made up ", i), "Idempotency-Key", fmt.Sprint("made up ", i))
		wantStatus(t, s.callURL(t, http.MethodPost, x.url, "an event", lines...), http.StatusOK)
	}
	wantStatus(t, s.callURL(t, http.MethodPost, x.url, "another event", byGitHub(githubSecret, "another event")...), http.StatusOK)
	if d := decode[document](t, s.admin(t, http.MethodGet, "/"+id, "")); d.Calls != 3 {
		t.Errorf("%d calls were counted, want 3", d.Calls)
	}
}
