package integration

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/caddy-callback/caddy-callback/integration/harness"
)

// hookToken is a secret that a delivery has in a header.
const hookToken = "token-that-nobody-else-has"

// host returns host and port of the target.
func (g *target) host() string { return strings.TrimPrefix(g.URL, "http://") }

// allows returns the line that lets results be sent to targets.
func allows(targets ...*target) string {
	line := "allow"
	for _, g := range targets {
		line += " " + g.URL
	}
	return line + "\n"
}

// shaping returns a stage on which a secret for deliveries is known, and a configuration whose
// private site parks as lines say.
func shaping(t *testing.T) (s *stage, with func(lines string) harness.Config) {
	t.Helper()
	s = newStage(t)
	s.Setenv("HOOK_TOKEN", hookToken)
	s.NeverLog(hookToken)
	return s, func(lines string) harness.Config {
		return withAPI(s, harness.Config{Private: s.parks(lines)}, "key off")
	}
}

func TestDeliveryHasTheHeadersAndTheMethodThatItsReceiverNeeds(t *testing.T) {
	t.Parallel()
	g := newTarget(t, http.StatusInternalServerError)
	s, with := shaping(t)
	s.Start(t, with("name orders\ndeliver {\n"+allows(g)+"only "+g.host()+
		"\nmethod put\nretry 50ms\nheader Authorization \"Bearer {env.HOOK_TOKEN}\"\nheader X-Order {http.callback.name}/{http.callback.id}/{http.callback.correlation_id}\n}"))
	req := harness.NewRequest(t, http.MethodPost, harness.HTTP1.URL(s.path()), "application/json", `{"callbackUrl":"`+g.URL+`"}`)
	req.Header.Set(correlationHeader, "the-clients-own")
	x := s.forward(t, harness.HTTP1, req)
	p := s.wantParked(t, x.Answer(t))
	x.resolve(t, "result")
	// Each attempt brings the same.
	for range 2 {
		d := g.delivered(t)
		if d.Method != http.MethodPut || string(d.Body) != "result" {
			t.Errorf("delivered %s by %s", d.Body, d.Method)
		}
		wantHeader(t, d.Header, "Authorization", "Bearer "+hookToken)
		wantHeader(t, d.Header, "X-Order", "orders/"+p.ID+"/the-clients-own")
		wantHeader(t, d.Header, "Webhook-Id", p.ID)
		wantHeader(t, d.Header, statusHeader, "Ok")
	}
	s.deliveryIs(t, p, "delivered")
}

func TestClientNamesNoHostButThoseThatAreListed(t *testing.T) {
	t.Parallel()
	g, other := newTarget(t), newTarget(t)
	s, with := shaping(t)
	s.Start(t, with("name orders\ndeliver {\n"+allows(g, other)+"only "+g.host()+"\n}"))
	path := s.path()
	req := harness.NewRequest(t, http.MethodPost, harness.HTTP1.URL(path), "application/json", `{"callbackUrl":"`+other.URL+`"}`)
	p := wantProblem(t, s.public(t, req), http.StatusBadRequest, "delivery-url-not-allowed")
	if want := "The URL in json callbackUrl: the URL's host is not one that results are sent to."; p.Detail != want {
		t.Errorf("the detail is %q", p.Detail)
	}
	s.wantArrivals(t, path, 0)
	x := s.order(t, g.URL)
	s.wantParked(t, x.Answer(t))
	x.resolve(t, "result")
	g.delivered(t)
}

// A secret is in the running configuration alone, so that results of callbacks that were made
// before get it, too: those whose receiver may have it, and no others.
func TestResultsFromBeforeAReloadGetTheHeadersOfTheConfiguration(t *testing.T) {
	t.Parallel()
	g, other := newTarget(t), newTarget(t)
	const header = "header Authorization \"Bearer {env.HOOK_TOKEN}\"\n"
	allow := allows(g, other) + "retry 50ms\n"
	for name, lines := range map[string]string{
		"listed":             allow + header + "only " + g.host(),
		"the directive's to": allow + header + "to " + g.URL,
	} {
		t.Run(name, func(t *testing.T) {
			s, with := shaping(t)
			s.Start(t, with("name orders\ndeliver {\n"+allow+"}"))
			mine, others := s.order(t, g.URL), s.order(t, other.URL)
			s.wantParked(t, mine.Answer(t))
			theirs := s.wantParked(t, others.Answer(t))
			s.MustReload(t, with("name orders\ndeliver {\n"+lines+"\n}"))
			others.resolve(t, "result")
			s.deliveryIs(t, theirs, "dead")
			mine.resolve(t, "result")
			wantHeader(t, g.delivered(t).Header, "Authorization", "Bearer "+hookToken)
			select {
			case d := <-other.got:
				t.Errorf("the secret went to a host that is not listed: %v", d.Header)
			default:
			}
		})
	}
}

// What a directive adds to a delivery nobody else does in its place.
func TestDeliveryWaitsForTheDirectiveWhoseHeadersItHas(t *testing.T) {
	t.Parallel()
	g := newTarget(t)
	lines := "deliver {\n" + allows(g) + "only " + g.host() + "\nheader X-Token {env.HOOK_TOKEN}\n}"
	s, with := shaping(t)
	s.Start(t, with("name orders\n"+lines))
	x := s.order(t, g.URL)
	p := s.wantParked(t, x.Answer(t))
	s.MustReload(t, with("name orders2\n"+lines))
	x.resolve(t, "result")
	const why = "the directive whose headers it has is gone from the configuration"
	s.wantWaits(t, p.ID, why)
	s.logged(t, "a delivery waits", why, p.ID)
	s.Kill(t)
	s.Start(t, with("name orders\n"+lines))
	d := g.delivered(t)
	wantHeader(t, d.Header, "X-Token", hookToken)
	wantHeader(t, d.Header, "Webhook-Id", p.ID)
}

func TestHeaderThatIsASecretIsNotOnDisk(t *testing.T) {
	t.Parallel()
	g := newTarget(t)
	s, with := shaping(t)
	s.Start(t, with("name orders\ndeliver {\n"+allows(g)+"only "+g.host()+"\nheader X-Token {env.HOOK_TOKEN}\n}"))
	x := s.order(t, g.URL)
	p := s.wantParked(t, x.Answer(t))
	x.resolve(t, "result")
	g.delivered(t)
	s.deliveryIs(t, p, "delivered")
	s.Terminate(t)
	s.Exited(t, exitWithin)
	if s.storeContains(t, hookToken) || !s.storeContains(t, "orders") {
		t.Error("the store holds the secret, or is not where it was looked for")
	}
}

// adfBody is what Azure Data Factory reads of a call to its callBackUri.
const adfBody = "body `{\"StatusCode\": {http.callback.result.status}, \"Error\": {\"ErrorCode\": \"{http.callback.result.error_code}\", \"Message\": \"{http.callback.result.error_text}\"}, \"output\": {http.callback.result.body}}`\n"

// signedBy checks that a delivery is signed with a secret, with its own bytes.
func signedBy(t *testing.T, d *harness.Received, secret string) {
	t.Helper()
	receiver, err := standardwebhooks.NewWebhook(secret)
	if err != nil {
		t.Fatal(err)
	}
	if err := receiver.Verify(d.Body, d.Header); err != nil {
		t.Errorf("%s: %v", d.Body, err)
	}
}

// An attempt sends what the first has sent, whatever has become of the configuration and of
// the process.
func TestEnvelopeIsTheSameOnEachAttempt(t *testing.T) {
	t.Parallel()
	const secret = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
	g := newTarget(t, http.StatusInternalServerError, http.StatusInternalServerError)
	s, with := shaping(t)
	s.Setenv("DELIVERY_SECRET", secret)
	rules := "deliver {\n" + allows(g) + "sign {env.DELIVERY_SECRET}\nretry 50ms 2s 1s\n"
	cfg := with("name orders\n" + rules + adfBody + "}")
	s.Start(t, cfg)
	x := s.order(t, g.URL)
	p := s.wantParked(t, x.Answer(t))
	wantStatus(t, x.callWith(t, statusHeader, "Failed", "no"), http.StatusOK)
	want := `{"StatusCode": 424, "Error": {"ErrorCode": "", "Message": ""}, "output": {`
	first := g.delivered(t)
	if !strings.HasPrefix(string(first.Body), want) || !json.Valid(first.Body) {
		t.Errorf("delivered %s", first.Body)
	}
	wantHeader(t, first.Header, "Content-Type", "application/json")
	signedBy(t, first, secret)
	second := g.delivered(t)
	s.Kill(t)
	s.Start(t, with("name orders\n"+rules+"method PUT\nformat cloudevents\nbody changed\n}"))
	third := g.delivered(t)
	for i, d := range []*harness.Received{second, third} {
		if string(d.Body) != string(first.Body) || d.Method != http.MethodPost || d.Header.Get("Ce-Id") != "" {
			t.Errorf("attempt %d brings %s by %s", i+2, d.Body, d.Method)
		}
		wantHeader(t, d.Header, "Webhook-Id", p.ID)
		signedBy(t, d, secret)
	}
	s.deliveryIs(t, p, "delivered")
}

// What others send is data: no text of theirs leaves the place in the envelope that it has.
func TestEnvelopeStaysJSONWhateverOthersSend(t *testing.T) {
	t.Parallel()
	g := newTarget(t)
	s := delivers(t, allows(g)+adfBody)
	for _, c := range []struct{ contentType, body, output string }{
		{"application/json", `{"a":[1,2]}`, `{"a":[1,2]}`},
		{"application/json", `{"a":[1,2]`, `"{\"a\":[1,2]"`},
		{"text/plain", `"}, {http.callback.name}`, `"\"}, {http.callback.name}"`},
		{"text/plain", "", "null"},
		{"application/octet-stream", "\xff\xfe", `"//4="`},
		{"text/plain", strings.Repeat(`"`, 200_000), `"` + strings.Repeat(`\"`, 200_000) + `"`},
	} {
		x := s.order(t, g.URL)
		s.wantParked(t, x.Answer(t))
		wantStatus(t, x.call(t, c.contentType, c.body), http.StatusOK)
		want := `{"StatusCode": 200, "Error": {"ErrorCode": "", "Message": ""}, "output": ` + c.output + "}"
		if d := g.delivered(t); string(d.Body) != want || d.ContentLength != int64(len(want)) {
			t.Errorf("delivered %.200s, want %.200s", d.Body, want)
		}
	}
}

func TestDeferredResultIsDeliveredInItsEnvelope(t *testing.T) {
	t.Parallel()
	g := newTarget(t)
	s := startDeferring(t, "deliver {\n"+allows(g)+"body \"{http.callback.name}: {http.callback.result.status} {http.callback.result.phase}, {http.callback.result.body}\"\nheader Content-Type text/x-own\n}")
	path := s.path()
	s.partner.Handle(path, harness.Ack(http.StatusNotFound, nil, "no such order"))
	s.wantParked(t, s.public(t, harness.NewRequest(t, http.MethodPost, harness.HTTP1.URL(path), "application/json", `{"callbackUrl":"`+g.URL+`"}`)))
	d := g.delivered(t)
	if string(d.Body) != "orders: 404 failed, no such order" {
		t.Errorf("delivered %s", d.Body)
	}
	wantHeader(t, d.Header, "Content-Type", "text/x-own")
}

func TestDeliveriesAreEvents(t *testing.T) {
	t.Parallel()
	g := newTarget(t, http.StatusInternalServerError)
	s := startParked(t, "multiple on\nname orders\ndeliver {\n"+allows(g)+"retry 50ms 50ms\nformat cloudevents\nheader ce-type com.example.order.{http.callback.name}\n}")
	x := s.order(t, g.URL)
	p := s.wantParked(t, x.Answer(t))
	for _, payload := range []string{`{"a":1}`, `{"a":2}`} {
		wantStatus(t, x.call(t, "application/json", payload), http.StatusOK)
	}
	times := make(map[string]string)
	for _, want := range []struct{ id, body string }{{p.ID, `{"a":1}`}, {p.ID, `{"a":1}`}, {p.ID + ".2", `{"a":2}`}} {
		d := g.delivered(t)
		if string(d.Body) != want.body {
			t.Errorf("delivered %s, want %s", d.Body, want.body)
		}
		for name, value := range map[string]string{
			"Ce-Specversion": "1.0", "Ce-Id": want.id, "Ce-Subject": p.ID, "Ce-Type": "com.example.order.orders", "Content-Type": "application/json",
		} {
			wantHeader(t, d.Header, name, value)
		}
		if !strings.HasSuffix(d.Header.Get("Ce-Source"), "#orders") {
			t.Errorf("the source is %s", d.Header.Get("Ce-Source"))
		}
		// An event that comes again is the same one.
		at := d.Header.Get("Ce-Time")
		if _, err := time.Parse(time.RFC3339, at); err != nil || times[want.id] != "" && times[want.id] != at {
			t.Errorf("%s is of %s, before that of %s", want.id, at, times[want.id])
		}
		times[want.id] = at
	}
}
