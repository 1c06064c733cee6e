package integration

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/caddy-callback/caddy-callback/integration/harness"
)

// apiURL is the API of the site that only apps reach.
const apiURL = "http://api.test/callbacks"

// created is the answer to a request that has made a callback.
type created struct {
	ID          string    `json:"id"`
	State       string    `json:"state"`
	CallbackURL string    `json:"callbackUrl"`
	RedirectURI string    `json:"redirectUri"`
	APIKey      string    `json:"apiKey"`
	StatusURL   string    `json:"statusUrl"`
	ResultURL   string    `json:"resultUrl"`
	ExpiresAt   time.Time `json:"expiresAt"`
}

// document is the status of a callback as the API shows it.
type document struct {
	status
	Calls      int             `json:"calls"`
	Data       json.RawMessage `json:"data"`
	LatestCall *struct {
		Method       string            `json:"method"`
		Query        map[string]any    `json:"query"`
		Headers      map[string]string `json:"headers"`
		Body         string            `json:"body"`
		BodyEncoding string            `json:"bodyEncoding"`
		ReceivedAt   time.Time         `json:"receivedAt"`
	} `json:"latestCall"`
	Delivery *struct {
		State    string `json:"state"`
		URL      string `json:"url"`
		Attempts int    `json:"attempts"`
	} `json:"delivery"`
}

// withAPI adds the site of the API to a configuration.
func withAPI(s *stage, cfg harness.Config, lines string) harness.Config {
	cfg.Sites += s.Site("api", "callback_api {\n"+indented(lines)+"}")
	return cfg
}

func indented(lines string) string {
	if lines == "" {
		return ""
	}
	return "\t" + strings.ReplaceAll(lines, "\n", "\n\t") + "\n"
}

// openAPI starts a server whose API asks for no keys.
func openAPI(t *testing.T, cfg harness.Config) *stage {
	t.Helper()
	s := newStage(t)
	s.Start(t, withAPI(s, cfg, "key off"))
	return s
}

// api sends a request to the API. Header lines come as names and values in turn.
func (s *stage) api(t *testing.T, method, path, body string, lines ...string) *harness.Response {
	t.Helper()
	contentType := ""
	if body != "" {
		contentType = "application/json"
	}
	req := harness.NewRequest(t, method, apiURL+path, contentType, body)
	for i := 0; i < len(lines); i += 2 {
		req.Header.Set(lines[i], lines[i+1])
	}
	return s.public(t, req)
}

// create makes a callback with the API.
func (s *stage) create(t *testing.T, body string, lines ...string) created {
	t.Helper()
	got := s.api(t, http.MethodPost, "", body, lines...)
	wantStatus(t, got, http.StatusCreated)
	c := decode[created](t, got)
	s.NeverLog(c.State)
	return c
}

// decode reads a JSON answer, which no cache keeps.
func decode[T any](t *testing.T, got *harness.Response) (v T) {
	t.Helper()
	wantHeader(t, got.Header, "Content-Type", "application/json")
	wantNotStored(t, got.Header)
	if err := json.Unmarshal(got.Body, &v); err != nil {
		t.Fatalf("%v in %s", err, short(got.Body))
	}
	return v
}

// show returns a callback as the API shows it.
func (s *stage) show(t *testing.T, id string) document {
	t.Helper()
	got := s.api(t, http.MethodGet, "/"+id, "")
	wantStatus(t, got, http.StatusOK)
	return decode[document](t, got)
}

// callURL sends a request to a callback URL, or any other.
func (s *stage) callURL(t *testing.T, method, target, body string, lines ...string) *harness.Response {
	t.Helper()
	req := harness.NewRequest(t, method, target, "", body)
	for i := 0; i < len(lines); i += 2 {
		req.Header.Set(lines[i], lines[i+1])
	}
	return s.public(t, req)
}

func TestCallbackIsMadeCalledAndRead(t *testing.T) {
	t.Parallel()
	s := openAPI(t, harness.Config{})
	got := s.api(t, http.MethodPost, "", `{"data":{"order":[1,2]},"expiresIn":"7d"}`)
	wantStatus(t, got, http.StatusCreated)
	c := decode[created](t, got)
	wantHeader(t, got.Header, "Location", "callbacks/"+c.ID)
	if !callbackURLForm.MatchString(c.CallbackURL) || c.RedirectURI != c.CallbackURL || !strings.HasSuffix(c.CallbackURL, c.State) {
		t.Errorf("%+v", c)
	}
	if !statusURLForm.MatchString(c.StatusURL) || !resultURLForm.MatchString(c.ResultURL) || c.APIKey != "" {
		t.Errorf("%+v", c)
	}
	if in := time.Until(c.ExpiresAt); in < 7*24*time.Hour-time.Minute || in > 7*24*time.Hour {
		t.Errorf("it expires in %v", in)
	}
	waiting := s.show(t, c.ID)
	if waiting.ID != c.ID || waiting.Phase != "waiting" || waiting.LatestCall != nil || waiting.Calls != 0 || string(waiting.Data) != `{"order":[1,2]}` {
		t.Errorf("%+v", waiting)
	}
	wantStatus(t, s.api(t, http.MethodGet, "/"+c.ID+"/result", ""), http.StatusAccepted)

	wantAnswer(t, s.callURL(t, http.MethodPost, c.CallbackURL+"?a=1&b=2&b=3", "the body", "Content-Type", "text/plain"), http.StatusOK, "")
	resolved := s.show(t, c.ID)
	if resolved.Phase != "resolved" || resolved.Calls != 1 || resolved.LatestCall == nil {
		t.Fatalf("%+v", resolved)
	}
	call := resolved.LatestCall
	if call.Method != "POST" || call.Body != "the body" || call.BodyEncoding != "" || call.Headers["Content-Type"] != "text/plain" || call.ReceivedAt.IsZero() {
		t.Errorf("%+v", call)
	}
	if query, _ := json.Marshal(call.Query); string(query) != `{"a":"1","b":["2","3"]}` {
		t.Errorf("the query is %s", query)
	}
	wantAnswer(t, s.api(t, http.MethodGet, "/"+c.ID+"/result", ""), http.StatusOK, "the body")
	if ticket := string(s.fetch(t, c.StatusURL).Body); strings.Contains(ticket, "data") || strings.Contains(ticket, "latestCall") || strings.Contains(ticket, "calls") {
		t.Errorf("the ticket shows %s", ticket)
	}
}

func TestLocationLeadsToTheCallbackAlsoWhereTheAPIIsMountedDeeper(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.Start(t, harness.Config{Sites: s.Site("api", "handle_path /deep/* {\n\tcallback_api {\n\t\tkey off\n\t}\n}\nrespond elsewhere 418")})
	for _, path := range []string{"/deep/callbacks", "/deep/callbacks/"} {
		target := "http://api.test" + path
		got := s.public(t, harness.NewRequest(t, http.MethodPost, target, "application/json", "{}"))
		wantStatus(t, got, http.StatusCreated)
		base, _ := url.Parse(target)
		location, err := base.Parse(got.Header.Get("Location"))
		if err != nil {
			t.Fatal(err)
		}
		wantStatus(t, s.fetch(t, location.String()), http.StatusOK)
	}
	wantAnswer(t, s.fetch(t, "http://api.test/deep/callback"), http.StatusTeapot, "elsewhere")
	wantAnswer(t, s.fetch(t, "http://api.test/callbacks"), http.StatusTeapot, "elsewhere")
}

func TestClosedCallbackIsGone(t *testing.T) {
	t.Parallel()
	s := openAPI(t, harness.Config{})
	c := s.create(t, `{}`)
	for range 2 {
		wantAnswer(t, s.api(t, http.MethodDelete, "/"+c.ID, ""), http.StatusNoContent, "")
	}
	wantProblem(t, s.callURL(t, http.MethodPost, c.CallbackURL, ""), http.StatusGone, "closed")
	wantProblem(t, s.api(t, http.MethodGet, "/"+c.ID+"/result", ""), http.StatusGone, "closed")
	wantProblem(t, s.api(t, http.MethodPost, "/"+c.ID+"/resolve", ""), http.StatusGone, "closed")
	if got := s.show(t, c.ID); got.Phase != "closed" || got.FinishedAt == nil {
		t.Errorf("%+v", got)
	}
}

func TestCallbackIsResolvedByHand(t *testing.T) {
	t.Parallel()
	s := openAPI(t, harness.Config{})
	ok := s.create(t, `{"methods":["PUT"],"includeApiKey":true}`)
	got := s.api(t, http.MethodPost, "/"+ok.ID+"/resolve?by=hand", `{"a":1}`)
	wantStatus(t, got, http.StatusOK)
	if d := decode[document](t, got); d.Phase != "resolved" || d.LatestCall.Body != `{"a":1}` || d.LatestCall.Query["by"] != "hand" {
		t.Errorf("%+v", d)
	}
	wantStatus(t, s.api(t, http.MethodPost, "/"+ok.ID+"/resolve?by=hand", `{"a":1}`), http.StatusOK)
	wantProblem(t, s.api(t, http.MethodPost, "/"+ok.ID+"/resolve", `{"a":2}`), http.StatusConflict, "already-resolved")

	failed := s.create(t, `{}`)
	got = s.api(t, http.MethodPost, "/"+failed.ID+"/resolve", "", statusHeader, "Failed", "X-Link-Error-Code", "E1", "X-Link-Error-Text", "by hand")
	wantStatus(t, got, http.StatusOK)
	if d := decode[document](t, got); d.Phase != "failed" || d.ErrorCode != "E1" || d.ErrorText != "by hand" {
		t.Errorf("%+v", d)
	}
	bad := s.create(t, `{}`)
	wantProblem(t, s.api(t, http.MethodPost, "/"+bad.ID+"/resolve", "", statusHeader, "Perhaps"), http.StatusBadRequest, "invalid-status")
	wantProblem(t, s.api(t, http.MethodPost, "/"+bad.ID+"/redeliver", ""), http.StatusConflict, "nothing-to-deliver")
}

func TestUnknownCallbacksAndPathsAreNotFound(t *testing.T) {
	t.Parallel()
	s := openAPI(t, harness.Config{})
	const id = "/00000000-0000-4000-8000-000000000000"
	for _, x := range []struct{ method, path, slug string }{
		{"GET", id, "unknown-callback"}, {"DELETE", id, "unknown-callback"}, {"GET", id + "/result", "unknown-callback"},
		{"POST", id + "/resolve", "unknown-callback"}, {"POST", id + "/redeliver", "unknown-callback"},
		{"GET", "/not-an-id", "unknown-callback"}, {"GET", "/not-an-id/result", "unknown-callback"},
		{"GET", id + "/nothing", "unknown-path"}, {"GET", id + "/result/more", "unknown-path"}, {"GET", "//", "unknown-path"},
	} {
		wantProblem(t, s.api(t, x.method, x.path, ""), http.StatusNotFound, x.slug)
	}
	for path, allow := range map[string]string{
		"": "GET, HEAD, POST", "/openapi.json": "GET, HEAD", id: "GET, HEAD, DELETE", id + "/result": "GET, HEAD",
		id + "/resolve": "POST", id + "/redeliver": "POST",
	} {
		got := s.api(t, http.MethodPut, path, "{}")
		wantProblem(t, got, http.StatusMethodNotAllowed, "method-not-allowed")
		wantHeader(t, got.Header, "Allow", allow)
	}
}
