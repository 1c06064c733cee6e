package deliver_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/deliver"
)

// ends checks an attempt's outcome, and that it shows nothing that a client must not
// see.
func ends(t *testing.T, got deliver.Outcome, kind deliver.Kind, text string) {
	t.Helper()
	if got.Kind != kind || got.Error != text {
		t.Errorf("got %+v, want kind %d and %q", got, kind, text)
	}
	if (got.Cause == nil) != (got.Status != 0) {
		t.Errorf("status and cause do not agree: %+v", got)
	}
}

func TestADeliveryIsASignedPost(t *testing.T) {
	s, got := server(t, answerStatus(http.StatusNoContent))
	m := message(named(t, s))
	m.Header = http.Header{"Content-Type": {"text/plain"}, "x-custom": {"a", "b"}}
	m.Body = deliver.Bytes(bytes.Repeat([]byte("0123456789"), 100_000))
	m.Secrets = []deliver.Secret{secret(t, ofLength(32)), secret(t, vectorSecret)}
	ends(t, client(t, trusting(t, s)).Send(t.Context(), m), deliver.Delivered, "")

	r := only(t, got)
	if r.Method != http.MethodPost || r.RequestURI != "/hook?a=b" || !strings.HasPrefix(r.Host, partner+":") || r.ProtoMajor != 2 {
		t.Errorf("got %s %s of %s by %s", r.Method, r.RequestURI, r.Host, r.Proto)
	}
	if r.ContentLength != 1_000_000 || len(r.body) != 1_000_000 {
		t.Errorf("length is %d, and %d bytes came", r.ContentLength, len(r.body))
	}
	if r.Header.Get("User-Agent") != "caddy-callback" || r.Header.Get("Accept-Encoding") != "" ||
		r.Header.Get("Content-Type") != "text/plain" || !slices.Equal(r.Header.Values("X-Custom"), []string{"a", "b"}) {
		t.Errorf("header is %v", r.Header)
	}
	for _, text := range []string{ofLength(32), vectorSecret} {
		receiver, err := standardwebhooks.NewWebhook(text)
		if err != nil {
			t.Fatal(err)
		}
		if err := receiver.Verify(r.body, r.Header); err != nil {
			t.Error(err)
		}
	}
}

func TestADeliveryHasTheMethodAndTheHeadersOfItsOperator(t *testing.T) {
	s, got := server(t, answerStatus(http.StatusOK))
	m := message(named(t, s))
	m.Method = http.MethodPut
	m.Header = http.Header{"Content-Type": {"text/plain"}, "X-Kept": {"kept"}}
	m.Own = http.Header{"Authorization": {"Bearer token"}, "Content-Type": {"text/x-own"}, "User-Agent": {"own/1"}, "Webhook-Id": {"forged"}}
	ends(t, client(t, trusting(t, s)).Send(t.Context(), m), deliver.Delivered, "")
	r := only(t, got)
	if r.Method != http.MethodPut || string(r.body) != "result" {
		t.Errorf("got %s with %s", r.Method, r.body)
	}
	for name, want := range map[string]string{
		"Authorization": "Bearer token", "Content-Type": "text/x-own", "User-Agent": "own/1", "X-Kept": "kept", "Webhook-Id": "an-id",
	} {
		if values := r.Header[name]; len(values) != 1 || values[0] != want {
			t.Errorf("%s is %q, want %s", name, values, want)
		}
	}
}

func TestADeliveryWithoutSecretIsNotSigned(t *testing.T) {
	s, got := server(t, answerStatus(http.StatusOK))
	ends(t, client(t, trusting(t, s)).Send(t.Context(), message(named(t, s))), deliver.Delivered, "")
	h := only(t, got).Header
	if h.Get("Webhook-Id") != "an-id" || h.Get("Webhook-Timestamp") == "" || h["Webhook-Signature"] != nil {
		t.Errorf("header is %v", h)
	}
}

func TestAnEmptyBodyHasALengthToo(t *testing.T) {
	for _, body := range []deliver.Body{nil, deliver.Bytes(nil)} {
		s, got := server(t, answerStatus(http.StatusOK))
		m := message(named(t, s))
		m.Body = body
		ends(t, client(t, trusting(t, s)).Send(t.Context(), m), deliver.Delivered, "")
		if r := only(t, got); r.ContentLength != 0 || r.Header.Get("Content-Length") != "0" {
			t.Errorf("length is %d, header %v", r.ContentLength, r.Header)
		}
	}
}

func TestWhatBelongsToAConnectionIsNotPassedOn(t *testing.T) {
	s, got := server(t, answerStatus(http.StatusOK))
	m := message(named(t, s))
	m.Header = http.Header{
		"connection": {"close, X-Named", "x-other"}, "X-Named": {"n"}, "X-Other": {"n"}, "Keep-Alive": {"n"}, "Te": {"trailers"},
		"Transfer-Encoding": {"chunked"}, "Trailer": {"n"}, "Upgrade": {"n"}, "Expect": {"100-continue"}, "Content-Length": {"99"},
		"Proxy-Connection": {"n"}, "Proxy-Authorization": {"n"}, "Host": {"evil.example"}, "User-Agent": {"n"},
		"webhook-id": {"n"}, "WEBHOOK-TIMESTAMP": {"n"}, "Webhook-Signature": {"n"},
		"X-Split": {"a\r\nX-Evil: n", "kept"}, "X Space": {"n"}, "X-Null": {"\x00"}, "X-Kept": {"kept"},
	}
	ends(t, client(t, trusting(t, s)).Send(t.Context(), m), deliver.Delivered, "")
	r := only(t, got)
	if r.Header.Get("X-Kept") != "kept" || !slices.Equal(r.Header["X-Split"], []string{"kept"}) {
		t.Errorf("header is %v", r.Header)
	}
	for name, values := range r.Header {
		if slices.Contains(values, "n") || !slices.Contains([]string{
			"Content-Length", "User-Agent", "Webhook-Id", "Webhook-Timestamp", "X-Kept", "X-Split",
		}, name) {
			t.Errorf("%s: %q came through", name, values)
		}
	}
	if r.Host == "evil.example" || string(r.body) != "result" {
		t.Errorf("host %s got %q", r.Host, r.body)
	}
}

func TestTheStatusDecides(t *testing.T) {
	date := time.Now().Add(time.Hour).UTC().Format(http.TimeFormat)
	for _, c := range []struct {
		status     int
		retryAfter string
		kind       deliver.Kind
		text       string
		low, high  time.Duration
	}{
		{200, "", deliver.Delivered, "", 0, 0},
		{202, "60", deliver.Delivered, "", 0, 0},
		{299, "", deliver.Delivered, "", 0, 0},
		{304, "", deliver.Retry, "answered 304", 0, 0},
		{400, "", deliver.Retry, "answered 400", 0, 0},
		{404, "60", deliver.Retry, "answered 404", 0, 0},
		{410, "60", deliver.Gone, "answered 410", 0, 0},
		{429, "60", deliver.Retry, "answered 429", time.Minute, time.Minute},
		{429, date, deliver.Retry, "answered 429", 59 * time.Minute, time.Hour},
		{429, "soon", deliver.Retry, "answered 429", 0, 0},
		{500, "60", deliver.Retry, "answered 500", 0, 0},
		{503, "999999999999999999999", deliver.Retry, "answered 503", 24 * time.Hour, 24 * time.Hour},
		{503, date, deliver.Retry, "answered 503", 59 * time.Minute, time.Hour},
		{999, "", deliver.Retry, "answered 999", 0, 0},
	} {
		s, _ := server(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", c.retryAfter)
			w.WriteHeader(c.status)
		})
		got := client(t, trusting(t, s)).Send(t.Context(), message(named(t, s)))
		ends(t, got, c.kind, c.text)
		if got.Status != c.status || got.RetryAfter < c.low || got.RetryAfter > c.high {
			t.Errorf("%d with Retry-After %q: %+v", c.status, c.retryAfter, got)
		}
	}
}

func TestRedirectsAreNotFollowed(t *testing.T) {
	other, reached := server(t, answerStatus(http.StatusOK))
	for _, location := range []string{named(t, other), "http://169.254.169.254/latest/meta-data/", "/cb", "", "://"} {
		for _, status := range []int{301, 302, 303, 307, 308} {
			s, got := server(t, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Location", location)
				w.WriteHeader(status)
			})
			outcome := client(t, trusting(t, s)).Send(t.Context(), message(named(t, s)))
			if outcome.Kind != deliver.Retry || outcome.Status != status || len(got) != 1 || len(reached) != 0 {
				t.Errorf("%d to %q: %+v after %d requests", status, location, outcome, len(got)+len(reached))
			}
		}
	}
}

func TestCertificatesAreVerified(t *testing.T) {
	s, got := server(t, answerStatus(http.StatusOK))
	selfSigned := trusting(t, s)
	selfSigned.Roots = nil
	ends(t, client(t, selfSigned).Send(t.Context(), message(named(t, s))), deliver.Retry, "certificate not valid")

	otherHost := trusting(t, s)
	otherHost.Guard.Allow = allow(t, "partner.test")
	url := strings.Replace(named(t, s), partner, "partner.test", 1)
	ends(t, client(t, otherHost).Send(t.Context(), message(url)), deliver.Retry, "certificate not valid")
	if len(got) != 0 {
		t.Error("something was sent all the same")
	}
}

func TestABodyThatCannotBeReadIsNotTheTargetsFault(t *testing.T) {
	s, got := server(t, answerStatus(http.StatusOK))
	broken := errors.New("broken")
	for _, secrets := range [][]deliver.Secret{nil, {secret(t, vectorSecret)}} {
		m := message(named(t, s))
		m.Secrets = secrets
		m.Body = func(context.Context) (io.ReadCloser, int64, error) { return nil, 0, broken }
		outcome := client(t, trusting(t, s)).Send(t.Context(), m)
		ends(t, outcome, deliver.Retry, "result not readable")
		if !errors.Is(outcome.Cause, broken) || len(got) != 0 {
			t.Errorf("%+v, and %d requests", outcome, len(got))
		}
	}
}

func TestAConnectionIsUsedAgainUntilTheClientIsClosed(t *testing.T) {
	s, got := oldServer(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "thanks") })
	c := client(t, trusting(t, s))
	var from []string
	for range 2 {
		ends(t, c.Send(t.Context(), message(named(t, s))), deliver.Delivered, "")
		from = append(from, only(t, got).RemoteAddr)
	}
	c.Close()
	ends(t, c.Send(t.Context(), message(named(t, s))), deliver.Delivered, "")
	if last := only(t, got).RemoteAddr; from[0] != from[1] || last == from[0] {
		t.Errorf("came from %v, then %s", from, last)
	}
}

func TestAnAttemptEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	url := raw(t, func(c net.Conn) {
		cancel()
		untilClosed(c)
	})
	outcome := client(t, plain(t)).Send(ctx, message(url))
	ends(t, outcome, deliver.Retry, "interrupted")
	if !errors.Is(outcome.Cause, context.Canceled) {
		t.Error(outcome.Cause)
	}
}

func TestATargetThatIsNotThereCannotBeConnectedTo(t *testing.T) {
	s, _ := server(t, answerStatus(http.StatusOK))
	url, options := named(t, s), trusting(t, s)
	s.Close()
	ends(t, client(t, options).Send(t.Context(), message(url)), deliver.Retry, "connection failed")

	options.Resolver = resolver(always())
	ends(t, client(t, options).Send(t.Context(), message(url)), deliver.Retry, "connection failed")
}

// A mark that was handed on is not that of the delivery.
func TestDeliveryBearsTheMarkOfItsStoreAlone(t *testing.T) {
	s, got := server(t, answerStatus(http.StatusOK))
	at := named(t, s)
	m := message(at)
	m.Header = http.Header{callback.OriginHeader: {"another; permitted"}, "callback-origin": {"a third"}}
	for _, origin := range []callback.Origin{"", "ours"} {
		m.Origin = origin
		ends(t, client(t, trusting(t, s)).Send(t.Context(), m), deliver.Delivered, "")
		if mark := only(t, got).Header[callback.OriginHeader]; strings.Join(mark, "|") != string(origin) {
			t.Errorf("the mark is %q, want %q", mark, origin)
		}
	}
}
