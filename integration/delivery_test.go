package integration

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/caddy-callback/caddy-callback/integration/harness"
)

// target takes deliveries.
type target struct {
	*httptest.Server
	got chan *harness.Received
}

// newTarget returns a target that answers with these statuses, and then with 200.
func newTarget(t *testing.T, statuses ...int) *target {
	t.Helper()
	answers := make(chan int, len(statuses))
	for _, status := range statuses {
		answers <- status
	}
	got := make(chan *harness.Received, 16)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		got <- &harness.Received{Method: r.Method, URI: r.RequestURI, Header: r.Header.Clone(), ContentLength: r.ContentLength, Body: body}
		select {
		case status := <-answers:
			w.WriteHeader(status)
		default:
		}
	}))
	t.Cleanup(server.Close)
	return &target{Server: server, got: got}
}

// delivered waits for the next delivery.
func (g *target) delivered(t *testing.T) *harness.Received {
	t.Helper()
	return harness.Receive(t, "a delivery", g.got)
}

// delivers returns a stage whose private site parks and delivers.
func delivers(t *testing.T, lines string) *stage {
	t.Helper()
	return startParked(t, "name orders\ndeliver {\n"+lines+"\n}")
}

// order sends a request that says where its result is to be delivered.
func (s *stage) order(t *testing.T, url string) *exchange {
	t.Helper()
	return s.post(t, "application/json", fmt.Sprintf(`{"a":1,"callbackUrl":%q}`, url))
}

func TestResultIsDeliveredToTheURLThatTheClientGave(t *testing.T) {
	t.Parallel()
	g := newTarget(t)
	s := delivers(t, "allow "+g.URL)
	x := s.order(t, g.URL+"/hooks?a=1")
	p := s.wantParked(t, x.Answer(t))
	if want := fmt.Sprintf(`{"a":1,"callbackUrl":%q}`, x.url); string(x.received.Body) != want {
		t.Errorf("the partner got %s, want %s", x.received.Body, want)
	}
	wantStatus(t, x.call(t, "application/json", `{"price":7}`), http.StatusOK)
	d := g.delivered(t)
	if d.Method != http.MethodPost || d.URI != "/hooks?a=1" || string(d.Body) != `{"price":7}` || d.ContentLength != 11 {
		t.Errorf("delivered %s %s %s (%d bytes)", d.Method, d.URI, d.Body, d.ContentLength)
	}
	wantHeader(t, d.Header, "Content-Type", "application/json")
	wantHeader(t, d.Header, correlationHeader, x.received.Header.Get(correlationHeader))
	wantHeader(t, d.Header, statusHeader, "Ok")
	wantHeader(t, d.Header, "X-Link-Result-Status", "200")
	wantHeader(t, d.Header, "Webhook-Id", p.ID)
	wantHeader(t, d.Header, "Webhook-Signature")
	if d.Header.Get("Webhook-Timestamp") == "" {
		t.Error("there is no Webhook-Timestamp")
	}
	wantAnswer(t, s.fetch(t, p.ResultURL), http.StatusOK, `{"price":7}`)
}

func TestFailureIsDelivered(t *testing.T) {
	t.Parallel()
	g := newTarget(t)
	s := delivers(t, "allow "+g.URL)
	x := s.order(t, g.URL)
	s.wantParked(t, x.Answer(t))
	wantStatus(t, x.callWith(t, statusHeader, "Failed", "no"), http.StatusOK)
	d := g.delivered(t)
	wantHeader(t, d.Header, statusHeader, "Failed")
	wantHeader(t, d.Header, "X-Link-Result-Status", "424")
	wantHeader(t, d.Header, "Content-Type", "application/problem+json")
}

func TestDeferredResultIsDelivered(t *testing.T) {
	t.Parallel()
	g := newTarget(t)
	s := startDeferring(t, "deliver {\nallow "+g.URL+"\n}")
	path := s.path()
	s.partner.Handle(path, harness.Ack(http.StatusNotFound, nil, "no such order"))
	body := fmt.Sprintf(`{"callbackUrl":%q}`, g.URL)
	s.wantParked(t, s.public(t, harness.NewRequest(t, http.MethodPost, harness.HTTP1.URL(path), "application/json", body)))
	d := g.delivered(t)
	if string(d.Body) != "no such order" {
		t.Errorf("delivered %s", d.Body)
	}
	wantHeader(t, d.Header, "X-Link-Result-Status", "404")
	wantHeader(t, d.Header, statusHeader, "Failed")
}

func TestDeliveryOfAnAppsAnswerHasOnlyTheHeadersThatAreCopied(t *testing.T) {
	t.Parallel()
	header := http.Header{
		"Content-Type": {"text/x-report"}, "Server": {"app"}, "Via": {"1.1 inner"}, "Set-Cookie": {"a=b"}, "Cache-Control": {"max-age=60"}, "X-Number": {"7"},
	}
	for name, c := range map[string]struct {
		options   string
		delivered map[string][]string
	}{
		"default": {"", map[string][]string{"Content-Type": {"text/x-report"}, "X-Number": nil}},
		"chosen":  {"copy_headers X-Number", map[string][]string{"Content-Type": nil, "X-Number": {"7"}}},
	} {
		g := newTarget(t)
		s := startDeferring(t, c.options+"\ndeliver {\nallow "+g.URL+"\n}")
		path := s.path()
		s.partner.Handle(path, harness.Ack(http.StatusOK, header, "report"))
		body := fmt.Sprintf(`{"callbackUrl":%q}`, g.URL)
		p := s.wantParked(t, s.public(t, harness.NewRequest(t, http.MethodPost, harness.HTTP1.URL(path), "application/json", body)))
		d := g.delivered(t)
		if string(d.Body) != "report" {
			t.Errorf("%s: delivered %s", name, d.Body)
		}
		for _, gone := range []string{"Server", "Date", "Via", "Set-Cookie", "Cache-Control"} {
			wantHeader(t, d.Header, gone)
		}
		for header, values := range c.delivered {
			wantHeader(t, d.Header, header, values...)
		}
		// Who fetches the result gets the app's own answer.
		result := s.fetch(t, p.ResultURL)
		wantAnswer(t, result, http.StatusOK, "report")
		wantHeader(t, result.Header, "X-Number", "7")
	}
}

func TestClientIsToldWhyItsDeliveryURLCannotBeRead(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.Start(t, harness.Config{Private: "handle /parked* {\n" + s.parks("name parked\ndeliver") + "}\nhandle /deferred* {\n" +
		s.deferred("deferred", "deliver") + "}\nhandle /default* {\n" +
		s.deferred("default", "deliver {\nfrom json callbackUrl\nto https://results.example/\n}") + "}\n"})
	const url = `"callbackUrl":"https://results.example/"`
	for body, c := range map[string]struct{ slug, says string }{
		"{" + url + "," + url + "}":       {"no-delivery-url", "callbackUrl\" twice"},
		"{" + url:                         {"no-delivery-url", "not usable JSON"},
		"callbackUrl=https://a.example/":  {"no-delivery-url", "not usable JSON"},
		`{"callbackUrl":7}`:               {"delivery-url-not-allowed", "no string"},
		`{"callbackUrl":["https://a.b"]}`: {"delivery-url-not-allowed", "no string"},
	} {
		for _, mode := range []string{"parked", "deferred", "default"} {
			path := "/" + mode + s.path()
			p := wantProblem(t, s.public(t, harness.NewRequest(t, http.MethodPost, harness.HTTP1.URL(path), "application/json", body)), http.StatusBadRequest, c.slug)
			if !strings.Contains(p.Detail, c.says) {
				t.Errorf("%s, %s: the detail is %q", mode, body, p.Detail)
			}
			s.wantArrivals(t, path, 0)
		}
	}
	// Null is no URL at all.
	for _, mode := range []string{"parked", "deferred"} {
		p := wantProblem(t, s.public(t, harness.NewRequest(t, http.MethodPost, harness.HTTP1.URL("/"+mode+s.path()), "application/json", `{"callbackUrl":null}`)), http.StatusBadRequest, "no-delivery-url")
		if p.Detail != "The request must hold it: json callbackUrl." {
			t.Errorf("%s: the detail is %q", mode, p.Detail)
		}
	}
	wantStatus(t, s.public(t, harness.NewRequest(t, http.MethodPost, harness.HTTP1.URL("/default"+s.path()), "application/json", `{"callbackUrl":null}`)), http.StatusAccepted)
	wantStatus(t, s.public(t, harness.NewRequest(t, http.MethodPost, harness.HTTP1.URL("/default"+s.path()), "text/plain", "no JSON")), http.StatusAccepted)
}

func TestDeliveryURLThatIsNotAllowedIsRefused(t *testing.T) {
	t.Parallel()
	s := delivers(t, "")
	for _, url := range []string{"http://127.0.0.1:8080/", "https://127.0.0.1/", "https://10.0.0.7/", "https://localhost/", "file:///etc/passwd"} {
		path := s.path()
		req := harness.NewRequest(t, http.MethodPost, harness.HTTP1.URL(path), "application/json", fmt.Sprintf(`{"callbackUrl":%q}`, url))
		wantProblem(t, s.public(t, req), http.StatusBadRequest, "delivery-url-not-allowed")
		s.wantArrivals(t, path, 0)
	}
}

func TestRequestWithoutADeliveryURLIsRefused(t *testing.T) {
	t.Parallel()
	s := delivers(t, "")
	path := s.path()
	req := harness.NewRequest(t, http.MethodPost, harness.HTTP1.URL(path), "application/json", `{"a":1}`)
	wantProblem(t, s.public(t, req), http.StatusBadRequest, "no-delivery-url")
	s.wantArrivals(t, path, 0)
}

func TestDeliveryIsTriedAgainUnderTheSameID(t *testing.T) {
	t.Parallel()
	g := newTarget(t, http.StatusInternalServerError, http.StatusInternalServerError)
	s := delivers(t, "allow "+g.URL+"\nretry 100ms 100ms")
	x := s.order(t, g.URL)
	p := s.wantParked(t, x.Answer(t))
	x.resolve(t, "third time lucky")
	for range 3 {
		d := g.delivered(t)
		wantHeader(t, d.Header, "Webhook-Id", p.ID)
		if string(d.Body) != "third time lucky" {
			t.Errorf("delivered %s", d.Body)
		}
	}
}

func TestDeliveryOutlastsACrash(t *testing.T) {
	t.Parallel()
	g := newTarget(t, http.StatusInternalServerError)
	lines := "name orders\ndeliver {\nallow " + g.URL + "\nretry 1s 1s\n}"
	s := startParked(t, lines)
	x := s.order(t, g.URL)
	p := s.wantParked(t, x.Answer(t))
	x.resolve(t, "after the crash")
	g.delivered(t)
	s.attempted(t, p.ID)
	s.Kill(t)
	s.Start(t, harness.Config{Private: s.parks(lines)})
	d := g.delivered(t)
	wantHeader(t, d.Header, "Webhook-Id", p.ID)
	if string(d.Body) != "after the crash" {
		t.Errorf("delivered %s", d.Body)
	}
}

func TestDeliveryIsSignedWithASecretOfTheEnvironment(t *testing.T) {
	t.Parallel()
	g := newTarget(t)
	s := newStage(t)
	key := []byte("0123456789abcdef0123456789abcdef")
	secret := "whsec_" + base64.StdEncoding.EncodeToString(key)
	s.Setenv("DELIVERY_SECRET", secret)
	s.NeverLog(secret)
	s.Start(t, harness.Config{Private: s.parks("name orders\ndeliver {\nallow " + g.URL + "\nsign {env.DELIVERY_SECRET}\n}")})
	x := s.order(t, g.URL)
	s.wantParked(t, x.Answer(t))
	x.resolve(t, "signed")
	d := g.delivered(t)
	mac := hmac.New(sha256.New, key)
	_, _ = fmt.Fprintf(mac, "%s.%s.signed", d.Header.Get("Webhook-Id"), d.Header.Get("Webhook-Timestamp"))
	wantHeader(t, d.Header, "Webhook-Signature", "v1,"+base64.StdEncoding.EncodeToString(mac.Sum(nil)))
}

// A secret that is missing is found when the server starts, and not with the first delivery. The
// configuration can be validated where its secrets are not at hand.
func TestServerDoesNotStartWithoutTheSecretOfADelivery(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	cfg := harness.Config{Private: s.parks("name orders\ndeliver {\nfrom json callbackUrl\nonly hooks.example.com\nheader Authorization {env.CB_NOT_SET}\n}")}
	code, output := s.StartFails(t, cfg)
	if code == 0 || !strings.Contains(output, "deliver: header: Authorization: {env.CB_NOT_SET} is empty or not set") {
		t.Errorf("exit code %d: %s", code, output)
	}
	s.Setenv("CB_NOT_SET", "a secret of the receiver")
	s.Start(t, cfg)
}
