package pages

import (
	"encoding/json"
	"fmt"
	"net/http"
	"sync/atomic"
	"testing"

	"github.com/caddy-callback/caddy-callback/integration/harness"
)

// callbackHeader is where the partner finds the callback URL.
const callbackHeader = "X-Link-Callback-Url"

// The sites of every stage, beside http://plain.test, which takes calls, too, and is none of
// likeTLS.
const (
	callbacksURL = harness.BaseURL
	appURL       = "http://app.test"
	apiURL       = "http://api.test/callbacks"
)

// stage is a Caddy with its sites, and the partner behind them.
type stage struct {
	*harness.Caddy
	partner *harness.Partner
	paths   atomic.Int64
	// cfg is what the server was started with.
	cfg harness.Config
}

// start returns a stage on which the server runs. It has the sites of cfg, and those of every
// stage.
func start(t *testing.T, cfg harness.Config) *stage {
	t.Helper()
	s := newStage(t)
	s.begin(t, cfg)
	return s
}

// newStage returns a stage on which no server runs yet.
func newStage(t *testing.T) *stage {
	t.Helper()
	// Without a browser there is nothing to wait for.
	openBrowser(t)
	c := harness.New(t)
	return &stage{Caddy: c, partner: harness.NewPartner(t, c)}
}

func (s *stage) begin(t *testing.T, cfg harness.Config) {
	t.Helper()
	cfg.Sites += s.Site("api", "callback_api {\n\tkey off\n}") + s.Site("plain", "callback_server")
	s.cfg = cfg
	s.Start(t, cfg)
}

// path returns a path that no other request of this stage has.
func (s *stage) path() string { return fmt.Sprintf("/orders/%d", s.paths.Add(1)) }

// send sends a request as a client would that is no browser. Header lines come as names and
// values in turn.
func (s *stage) send(t *testing.T, method, url, contentType, body string, lines ...string) *harness.Response {
	t.Helper()
	return harness.Do(t, s.Client(t, harness.HTTP1), withLines(harness.NewRequest(t, method, url, contentType, body), lines))
}

func withLines(req *http.Request, lines []string) *http.Request {
	for i := 0; i < len(lines); i += 2 {
		req.Header[lines[i]] = append(req.Header[lines[i]], lines[i+1])
	}
	return req
}

// called returns the callback URL that the partner has got with a request for the path.
func (s *stage) called(t *testing.T, path string) string {
	t.Helper()
	return s.partner.Received(t, path).Header.Get(callbackHeader)
}

// call calls a callback URL as the partner does. The call must be accepted.
func (s *stage) call(t *testing.T, url, contentType, body string, lines ...string) {
	t.Helper()
	if got := s.send(t, http.MethodPost, url, contentType, body, lines...); got.Status != http.StatusOK {
		t.Fatalf("the call with %.60q: %d %.300s", body, got.Status, got.Body)
	}
}

// created is what the API answers to a creation.
type created struct {
	ID          string `json:"id"`
	CallbackURL string `json:"callbackUrl"`
	StatusURL   string `json:"statusUrl"`
	ResultURL   string `json:"resultUrl"`
}

// create makes a callback by the API.
func (s *stage) create(t *testing.T, body string) (c created) {
	t.Helper()
	got := s.send(t, http.MethodPost, apiURL, "application/json", body)
	if got.Status != http.StatusCreated {
		t.Fatalf("creating: %d %s", got.Status, got.Body)
	}
	decode(t, got.Body, &c)
	return c
}

// status is what the API tells of a callback.
type status struct {
	Phase string `json:"phase"`
	Name  string `json:"name"`
}

func (s *stage) status(t *testing.T, id string) (st status) {
	t.Helper()
	got := s.send(t, http.MethodGet, apiURL+"/"+id, "", "")
	if got.Status != http.StatusOK {
		t.Fatalf("the status of %s: %d %s", id, got.Status, got.Body)
	}
	decode(t, got.Body, &st)
	return st
}

// asJSON returns a value as JSON.
func asJSON(value any) string {
	b, err := json.Marshal(value)
	if err != nil {
		panic(err)
	}
	return string(b)
}

func decode(t *testing.T, body []byte, value any) {
	t.Helper()
	if err := json.Unmarshal(body, value); err != nil {
		t.Fatalf("%v in %.300s", err, body)
	}
}

// toPartner is the directive that sends requests to the partner.
func (s *stage) toPartner() string { return "reverse_proxy unix/" + s.Path("partner.sock") }
