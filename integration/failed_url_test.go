package integration

import (
	"net/http"
	"strings"
	"testing"

	"github.com/caddy-callback/caddy-callback/integration/harness"
)

// orderWith sends a request with these header lines.
func (s *stage) orderWith(t *testing.T, lines ...string) *exchange {
	t.Helper()
	req := harness.NewRequest(t, http.MethodPost, harness.HTTP1.URL(s.path()), "application/json", `{"a":1}`)
	for i := 0; i < len(lines); i += 2 {
		req.Header.Set(lines[i], lines[i+1])
	}
	return s.forward(t, harness.HTTP1, req)
}

// The upstream gets a URL for failures of ours where the client has put its own, and the
// client gets at each of its URLs what it has meant that one for.
func TestFailureGoesToTheClientsURLForFailures(t *testing.T) {
	t.Parallel()
	ok, failed := newTarget(t), newTarget(t, http.StatusInternalServerError)
	s := delivers(t, allows(ok, failed)+"retry 50ms\nfrom header Webhook-Url\nfailed_from header Webhook-Error-Url")
	order := func() (*exchange, parked) {
		x := s.orderWith(t, "Webhook-Url", ok.URL+"/ok", "Webhook-Error-Url", failed.URL+"/failed")
		p := s.wantParked(t, x.Answer(t))
		wantHeader(t, x.received.Header, "Webhook-Url", x.url)
		wantHeader(t, x.received.Header, "Webhook-Error-Url", x.url+"/failed")
		return x, p
	}
	x, _ := order()
	x.resolve(t, "result")
	if d := ok.delivered(t); d.URI != "/ok" || string(d.Body) != "result" {
		t.Errorf("delivered %s to %s", d.Body, d.URI)
	}
	// What the call means decides, and the URL that it comes to.
	says, p := order()
	wantStatus(t, says.callWith(t, statusHeader, "Failed", "no"), http.StatusOK)
	comes, _ := order()
	wantStatus(t, s.callURL(t, http.MethodPost, comes.received.Header.Get("Webhook-Error-Url"), "no"), http.StatusOK)
	for range 3 {
		if d := failed.delivered(t); d.URI != "/failed" || d.Header.Get(statusHeader) != "Failed" {
			t.Errorf("delivered %v to %s", d.Header, d.URI)
		}
	}
	s.deliveryIs(t, p, "delivered")
	if len(ok.got) > 0 {
		t.Error("a failure was delivered as a result")
	}
}

func TestFailureGoesWhereItShouldWithoutAURLOfTheClients(t *testing.T) {
	t.Parallel()
	ok, failed := newTarget(t), newTarget(t)
	for name, c := range map[string]struct {
		lines string
		to    *target
	}{
		"failed_to":              {"failed_to " + failed.URL, failed},
		"failed_to, no URL":      {"failed_from json errorUrl\nfailed_to " + failed.URL, failed},
		"no URL":                 {"failed_from json errorUrl", ok},
		"no URL, in a header":    {"failed_from header X-Error", ok},
		"no option for failures": {"", ok},
	} {
		t.Run(name, func(t *testing.T) {
			s := delivers(t, allows(ok, failed)+c.lines)
			x := s.order(t, ok.URL)
			p := s.wantParked(t, x.Answer(t))
			if strings.HasPrefix(c.lines, "failed_from json") && !strings.Contains(string(x.received.Body), `"errorUrl":"`+x.url+`/failed"`) {
				t.Errorf("the partner got %s", x.received.Body)
			}
			// A callback that does not resolve has failed for its client.
			if out, err := s.Run(t, "callback", "close", p.ID, "--address", "unix/"+s.Path("admin.sock")); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			wantHeader(t, c.to.delivered(t).Header, "X-Link-Error-Code", "closed")
		})
	}
}

func TestURLForFailuresThatIsNotAllowedIsRefused(t *testing.T) {
	t.Parallel()
	ok := newTarget(t)
	s := delivers(t, allows(ok)+"from header Webhook-Url\nfailed_from header Webhook-Error-Url")
	path := s.path()
	req := harness.NewRequest(t, http.MethodPost, harness.HTTP1.URL(path), "application/json", `{"a":1}`)
	req.Header.Set("Webhook-Url", ok.URL)
	req.Header.Set("Webhook-Error-Url", "https://10.0.0.7/")
	p := wantProblem(t, s.public(t, req), http.StatusBadRequest, "delivery-url-not-allowed")
	if !strings.HasPrefix(p.Detail, "The URL in header Webhook-Error-Url: ") {
		t.Errorf("the detail is %q", p.Detail)
	}
	s.wantArrivals(t, path, 0)
}

func TestFailureOfADeferredRequestGoesToTheURLForFailures(t *testing.T) {
	t.Parallel()
	ok, failed := newTarget(t), newTarget(t)
	s := startDeferring(t, "deliver {\n"+allows(ok, failed)+"failed_from json errorUrl\n}")
	path := s.path()
	s.partner.Handle(path, harness.Ack(http.StatusNotFound, nil, "none"))
	body := `{"callbackUrl":"` + ok.URL + `","errorUrl":"` + failed.URL + `"}`
	s.wantParked(t, s.public(t, harness.NewRequest(t, http.MethodPost, harness.HTTP1.URL(path), "application/json", body)))
	if d := failed.delivered(t); string(d.Body) != "none" {
		t.Errorf("delivered %s", d.Body)
	}
}
