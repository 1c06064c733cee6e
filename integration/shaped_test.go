package integration

import (
	"net/http"
	"strings"
	"testing"

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
