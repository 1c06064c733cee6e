package integration

import (
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"testing"

	"github.com/caddy-callback/caddy-callback/integration/harness"
)

// relay returns another address of a server's public site, and the statuses of what went
// through it.
func (s *stage) relay(t *testing.T) (address string, statuses <-chan int) {
	t.Helper()
	base, err := url.Parse(harness.BaseURL)
	if err != nil {
		t.Fatal(err)
	}
	seen := make(chan int, 64)
	server := httptest.NewServer(&httputil.ReverseProxy{
		Transport: s.Client(t, harness.HTTP1).Transport,
		Rewrite:   func(r *httputil.ProxyRequest) { r.SetURL(base) },
		ModifyResponse: func(r *http.Response) error {
			seen <- r.StatusCode
			return nil
		},
	})
	t.Cleanup(server.Close)
	return server.URL, seen
}

// withoutPort returns a URL's scheme and host.
func withoutPort(address string) string { return address[:strings.LastIndexByte(address, ':')] }

// A result that comes back to the server under another name than base_url is refused at
// every door, and nothing is consumed.
func TestDeliveryThatComesBackUnderAnotherNameIsRefused(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	address, statuses := s.relay(t)
	s.Setenv("CB_KEY", envKey)
	s.Start(t, withAPI(s, harness.Config{
		Callback: "key env {env.CB_KEY} send\ndeliver {\nallow " + withoutPort(address) + " 127.0.0.0/8\nretry 1h\n}",
		Private:  s.parks("key env\ndeliver {\nfrom header X-Reply\n}"),
	}, "key off"))
	own := s.create(t, `{"allowMultipleCalls":true}`)
	inQuery := s.create(t, `{"allowMultipleCalls":true,"stateQueryParameter":"state"}`)
	for name, to := range map[string]string{
		"in the path": address + strings.TrimPrefix(own.CallbackURL, harness.BaseURL), "failed": address + strings.TrimPrefix(own.CallbackURL, harness.BaseURL) + "/failed",
		"in the query": address + strings.TrimPrefix(inQuery.CallbackURL, harness.BaseURL), "the fixed URL": address + "/cb?api_key=" + envKey,
		"nobody's": address + "/cb/00000000-0000-4000-8000-000000000000",
	} {
		c := s.create(t, `{"deliverTo":"`+to+`"}`)
		wantStatus(t, s.callURL(t, http.MethodPost, c.CallbackURL, name), http.StatusOK)
		if status := harness.Receive(t, name, statuses); status != http.StatusLoopDetected {
			t.Errorf("%s: the delivery gets %d", name, status)
		}
	}
	req := harness.NewRequest(t, http.MethodPost, harness.HTTP1.URL(s.path()), jsonType, "{}")
	req.Header.Set("X-Reply", address+strings.TrimPrefix(own.CallbackURL, harness.BaseURL))
	x := s.forward(t, harness.HTTP1, req)
	s.wantParked(t, x.Answer(t))
	wantStatus(t, x.callWithAll(t, "text/plain", "parked", bearer(envKey)...), http.StatusOK)
	if status := harness.Receive(t, "the result of the directive", statuses); status != http.StatusLoopDetected {
		t.Errorf("the delivery of a directive gets %d", status)
	}
	for _, c := range []created{own, inQuery} {
		if d := decode[document](t, s.api(t, http.MethodGet, "/"+c.ID, "")); d.Calls != 0 || d.Phase != "waiting" {
			t.Errorf("the callback is %s and has got %d calls", d.Phase, d.Calls)
		}
	}
}

func TestDeliveryThatIsAllowedByHostAndPortMayComeBack(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	address, statuses := s.relay(t)
	s.Start(t, withAPI(s, harness.Config{Callback: "deliver {\nallow " + address + "\n}"}, "key off"))
	own := s.create(t, `{"correlationId":"x"}`)
	c := s.create(t, `{"correlationId":"x","deliverTo":"`+address+strings.TrimPrefix(own.CallbackURL, harness.BaseURL)+`"}`)
	wantStatus(t, s.callURL(t, http.MethodPost, c.CallbackURL, "result"), http.StatusOK)
	if status := harness.Receive(t, "the delivery", statuses); status != http.StatusOK {
		t.Errorf("the delivery gets %d", status)
	}
	wantAnswer(t, s.api(t, http.MethodGet, "/"+own.ID+"/result", ""), http.StatusOK, "result")
}

// Sidecars with stores of their own call each other, back and forth.
func TestSidecarsWithDifferentStoresDeliverToEachOther(t *testing.T) {
	t.Parallel()
	a, b := newStage(t), newStage(t)
	toA, atA := a.relay(t)
	toB, atB := b.relay(t)
	cfg := harness.Config{Callback: "deliver {\nallow " + withoutPort(toA) + "\n}"}
	for _, s := range []*stage{a, b} {
		s.Start(t, withAPI(s, cfg, "key off"))
	}
	last := a.create(t, `{"correlationId":"x"}`)
	second := b.create(t, `{"correlationId":"x","deliverTo":"`+toA+strings.TrimPrefix(last.CallbackURL, harness.BaseURL)+`"}`)
	first := a.create(t, `{"correlationId":"x","deliverTo":"`+toB+strings.TrimPrefix(second.CallbackURL, harness.BaseURL)+`"}`)
	wantStatus(t, a.callURL(t, http.MethodPost, first.CallbackURL, "there and back"), http.StatusOK)
	for name, statuses := range map[string]<-chan int{"there": atB, "back": atA} {
		if status := harness.Receive(t, name, statuses); status != http.StatusOK {
			t.Errorf("%s: %d", name, status)
		}
	}
	wantAnswer(t, a.api(t, http.MethodGet, "/"+last.ID+"/result", ""), http.StatusOK, "there and back")
}

// The mark tells neither the secret nor the store, and whoever receives it can do nothing
// with it but have their own calls refused.
func TestDeliveryBearsAMark(t *testing.T) {
	t.Parallel()
	g := newTarget(t)
	s := openAPI(t, harness.Config{Callback: "deliver {\nallow " + withoutPort(g.URL) + "\n}"})
	c := s.create(t, `{"deliverTo":"`+g.URL+`"}`)
	wantStatus(t, s.callURL(t, http.MethodPost, c.CallbackURL, "result"), http.StatusOK)
	mark := g.delivered(t).Header.Get("Callback-Origin")
	if len(mark) != 22 {
		t.Fatalf("the mark is %q", mark)
	}
	other := s.create(t, `{}`)
	for _, method := range []string{http.MethodPost, http.MethodGet} {
		wantProblem(t, s.callURL(t, method, other.CallbackURL, "", "Callback-Origin", mark), http.StatusLoopDetected, "loop-detected")
	}
	wantStatus(t, s.callURL(t, http.MethodPost, other.CallbackURL, "", "Callback-Origin", mark+"; permitted"), http.StatusOK)
}
