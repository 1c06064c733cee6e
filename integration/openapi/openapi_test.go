// Package openapi holds the API to its OpenAPI document, and the document to the API.
// It is a module of its own, because the library that it validates with needs newer
// dependencies than Caddy.
package openapi

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/pb33f/libopenapi"
	validator "github.com/pb33f/libopenapi-validator"

	"github.com/caddy-callback/caddy-callback/integration/harness"
)

func TestMain(m *testing.M) { os.Exit(harness.Main(m)) }

// apiURL is the API of the site that only apps reach.
const apiURL = "http://api.test/callbacks"

const (
	allKey  = "one-that-may-do-anything"
	sendKey = "one-that-may-only-send"
)

// stage is a server, with everything that is known of its API's document.
type stage struct {
	*harness.Caddy
	document document
	check    validator.Validator

	mu sync.Mutex
	// seen are the answers that have come: method, path and status.
	seen map[string]bool
}

// document is as much of an OpenAPI document as is looked at here.
type document struct {
	Paths map[string]map[string]json.RawMessage `json:"paths"`
}

// operation is an operation of a document.
type operation struct {
	RequestBody struct {
		Content map[string]media `json:"content"`
	} `json:"requestBody"`
	Responses map[string]response `json:"responses"`
}

type response struct {
	Ref     string           `json:"$ref"`
	Content map[string]media `json:"content"`
}

type media struct {
	Example  json.RawMessage `json:"example"`
	Examples map[string]struct {
		Value json.RawMessage `json:"value"`
	} `json:"examples"`
}

// values returns the examples.
func (m media) values() []json.RawMessage {
	var all []json.RawMessage
	if m.Example != nil {
		all = append(all, m.Example)
	}
	for _, example := range m.Examples {
		all = append(all, example.Value)
	}
	return all
}

// operations calls visit for every operation of the document.
func (d document) operations(t *testing.T, visit func(method, path string, o operation)) {
	t.Helper()
	for path, members := range d.Paths {
		for method, raw := range members {
			if method == "parameters" {
				continue
			}
			var o operation
			if err := json.Unmarshal(raw, &o); err != nil {
				t.Fatal(err)
			}
			visit(strings.ToUpper(method), path, o)
		}
	}
}

// start returns a server whose API asks for keys, and reads its document.
func start(t *testing.T) *stage {
	t.Helper()
	s := &stage{Caddy: harness.New(t), seen: make(map[string]bool)}
	s.Setenv("CB_ALL", allKey)
	s.Setenv("CB_SEND", sendKey)
	s.Start(t, harness.Config{
		Callback: "max_body_size 64KiB\nkey all {env.CB_ALL} create read manage\nkey send {env.CB_SEND} send",
		Sites:    s.Site("api", "callback_api"),
	})
	res := harness.Do(t, s.Client(t, harness.HTTP1), s.request(t, http.MethodGet, "/openapi.json", ""))
	if res.Status != http.StatusOK {
		t.Fatalf("the document: status %d", res.Status)
	}
	if err := json.Unmarshal(res.Body, &s.document); err != nil {
		t.Fatal(err)
	}
	model, err := libopenapi.NewDocument(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	check, errs := validator.NewValidator(model)
	if len(errs) > 0 {
		t.Fatal(errs)
	}
	if valid, errs := check.ValidateDocument(); !valid {
		for _, e := range errs {
			t.Errorf("the document: %s %s %+v", e.Message, e.Reason, e.SchemaValidationErrors)
		}
	}
	s.check = check
	return s
}

// request returns a request to the API. Header lines come as names and values in turn.
func (s *stage) request(t *testing.T, method, path, body string, lines ...string) *http.Request {
	t.Helper()
	contentType := ""
	if body != "" {
		contentType = "application/json"
	}
	req := harness.NewRequest(t, method, apiURL+path, contentType, body)
	req.Header.Set("Authorization", "Bearer "+allKey)
	for i := 0; i < len(lines); i += 2 {
		if req.Header.Del(lines[i]); lines[i+1] != "" {
			req.Header.Set(lines[i], lines[i+1])
		}
	}
	return req
}

// do sends a request, and validates the answer, and, if it was taken, the request.
func (s *stage) do(t *testing.T, req *http.Request) *harness.Response {
	t.Helper()
	var sent []byte
	if req.Body != nil {
		sent, _ = io.ReadAll(req.Body)
		req.Body = io.NopCloser(bytes.NewReader(sent))
	}
	got := harness.Do(t, s.Client(t, harness.HTTP1), req)
	s.validate(t, req, sent, got)
	return got
}

// validate holds an exchange to the document.
func (s *stage) validate(t *testing.T, req *http.Request, sent []byte, got *harness.Response) {
	t.Helper()
	what := fmt.Sprintf("%s %s with %q, answered %d %s", req.Method, req.URL, sent, got.Status, got.Body)
	path := patternOf(req.URL.Path)
	s.mu.Lock()
	s.seen[fmt.Sprintf("%s %s %d", req.Method, path, got.Status)] = true
	s.mu.Unlock()
	if _, listed := s.document.Paths[path][strings.ToLower(req.Method)]; !listed {
		if got.Status != http.StatusNotFound && got.Status != http.StatusMethodNotAllowed {
			t.Errorf("not in the document: %s", what)
		}
		return
	}
	request := req.Clone(t.Context())
	request.Body = io.NopCloser(bytes.NewReader(sent))
	if got.Status < 400 && !bytes.Equal(sent, notSent) {
		if valid, errs := s.check.ValidateHttpRequest(request); !valid {
			for _, e := range errs {
				t.Errorf("the request %s: %s %s %+v", what, e.Message, e.Reason, e.SchemaValidationErrors)
			}
		}
	}
	response := &http.Response{StatusCode: got.Status, Header: got.Header, Body: io.NopCloser(bytes.NewReader(got.Body)), Request: request}
	if valid, errs := s.check.ValidateHttpResponse(request, response); !valid {
		for _, e := range errs {
			t.Errorf("the answer %s: %s %s %+v", what, e.Message, e.Reason, e.SchemaValidationErrors)
		}
	}
}

// notSent stands for a request that was never made.
var notSent = []byte("not sent")

// patternOf returns the document's path for a path.
func patternOf(path string) string {
	parts := strings.Split(path, "/")
	if len(parts) > 2 && parts[2] != "openapi.json" {
		parts[2] = "{id}"
	}
	return strings.Join(parts, "/")
}

// create makes a callback, and returns its id and its URL.
func (s *stage) create(t *testing.T, body string, lines ...string) (id, callbackURL string) {
	t.Helper()
	got := s.do(t, s.request(t, http.MethodPost, "", body, lines...))
	if got.Status != http.StatusCreated {
		t.Fatalf("%s: status %d %s", body, got.Status, got.Body)
	}
	var made struct{ ID, CallbackURL string }
	if err := json.Unmarshal(got.Body, &made); err != nil {
		t.Fatal(err)
	}
	return made.ID, made.CallbackURL
}

// call calls a callback URL.
func (s *stage) call(t *testing.T, url, body string, lines ...string) {
	t.Helper()
	req := harness.NewRequest(t, http.MethodPost, url, "text/plain", body)
	for i := 0; i < len(lines); i += 2 {
		req.Header.Set(lines[i], lines[i+1])
	}
	if got := harness.Do(t, s.Client(t, harness.HTTP1), req); got.Status != http.StatusOK {
		t.Fatalf("the call: status %d %s", got.Status, got.Body)
	}
}

// want sends a request that must be answered with that status.
func (s *stage) want(t *testing.T, status int, method, path, body string, lines ...string) {
	t.Helper()
	if got := s.do(t, s.request(t, method, path, body, lines...)); got.Status != status {
		t.Errorf("%s %s: status %d, want %d: %s", method, path, got.Status, status, got.Body)
	}
}

func TestTrafficIsAsTheDocumentSays(t *testing.T) {
	s := start(t)
	s.makeCallbacks(t)
	s.readCallbacks(t)
	s.endCallbacks(t)
	s.refuse(t)
	s.unavailable(t)

	// What is not made to happen here: a damaged store, and a header that is over our
	// limit, since Caddy's own is lower by default.
	never := []string{"500", "431"}
	s.document.operations(t, func(method, path string, o operation) {
		for status := range o.Responses {
			if answer := method + " " + path + " " + status; !s.seen[answer] && !slices.Contains(never, status) && !elsewhere(path, status) {
				t.Errorf("the document lists %s, which has not been seen", answer)
			}
		}
	})
}

// elsewhere reports whether an answer is like one that is seen with another operation.
func elsewhere(path, status string) bool { return status == "503" && path != "/callbacks" }

func (s *stage) makeCallbacks(t *testing.T) {
	for _, body := range []string{
		`{}`, `{"callbackActivity":"/decide","callbackActivityCase":"1:2:3"}`, `{"callbackActivity":"an opaque one"}`,
		`{"stateQueryParameter":"state","methods":["GET"]}`, `{"stateQueryParameter":""}`, `{"retryableAfterError":false,"allowMultipleCalls":true}`,
		`{"alternativeDomain":"https://partners.example.com"}`, `{"responseType":"response","responseBody":"x","responseCode":202}`,
		`{"responseHeaders":{"content-type":"text/csv","x-a":" b"}}`, `{"responseType":"redirect","responseRedirectUrl":"https://www.example.com/"}`,
		`{"includeApiKey":true,"requireStatus":true,"requireCorrelationId":true,"correlationId":"order 17"}`,
		`{"expiresIn":"7d"}`, `{"expiresIn":3600}`, `{"expiresIn":0.5}`, `{"deliverTo":"https://results.example.com/a"}`,
		`{"data":null}`, `{"data":{"a":[1,"x",true]}}`,
	} {
		s.create(t, body)
	}
	for range 2 {
		s.create(t, `{}`, "Idempotency-Key", "one")
	}
	s.want(t, http.StatusUnprocessableEntity, http.MethodPost, "", `{"data":1}`, "Idempotency-Key", "one")
	s.document.operations(t, func(_, _ string, o operation) {
		for _, example := range o.RequestBody.Content["application/json"].values() {
			s.create(t, string(example))
		}
	})
}

func (s *stage) readCallbacks(t *testing.T) {
	id, url := s.create(t, `{"allowMultipleCalls":true,"data":[1],"deliverTo":"https://results.example.com/a"}`)
	s.want(t, http.StatusAccepted, http.MethodGet, "/"+id+"/result", "", "Prefer", "wait=1")
	for _, body := range []string{"", "text", "\xff\x00"} {
		s.call(t, url+"?a=1&a=2&b=3", body)
		s.want(t, http.StatusOK, http.MethodGet, "/"+id, "", "Prefer", "wait=1")
		s.want(t, http.StatusOK, http.MethodGet, "/"+id+"/result", "")
	}
	failed, url := s.create(t, `{}`)
	s.call(t, url, "", "X-Link-Status", "Failed", "X-Link-Document-Status", "Odd", "X-Link-Error-Code", "E1", "X-Link-Error-Text", "no stock")
	s.want(t, http.StatusOK, http.MethodGet, "/"+failed, "")
	s.want(t, http.StatusFailedDependency, http.MethodGet, "/"+failed+"/result", "")
	expired, _ := s.create(t, `{"expiresIn":"1ms"}`)
	s.want(t, http.StatusOK, http.MethodGet, "/"+expired, "", "Prefer", "wait=60")
	s.want(t, http.StatusGatewayTimeout, http.MethodGet, "/"+expired+"/result", "", "Prefer", "wait=60")
	s.want(t, http.StatusGone, http.MethodPost, "/"+expired+"/resolve", "")
	for _, query := range []string{"", "?phase=waiting", "?name=orders", "?createdAfter=1h&createdBefore=2100-01-01T00:00:00Z", "?limit=1"} {
		s.want(t, http.StatusOK, http.MethodGet, query, "")
	}
	s.want(t, http.StatusOK, http.MethodGet, "/openapi.json", "")
}

func (s *stage) endCallbacks(t *testing.T) {
	id, _ := s.create(t, `{}`)
	s.want(t, http.StatusConflict, http.MethodPost, "/"+id+"/redeliver", "")
	s.want(t, http.StatusBadRequest, http.MethodPost, "/"+id+"/resolve", "", "X-Link-Status", "Perhaps")
	s.want(t, http.StatusRequestEntityTooLarge, http.MethodPost, "/"+id+"/resolve", `"`+strings.Repeat("x", 64<<10)+`"`)
	s.want(t, http.StatusOK, http.MethodPost, "/"+id+"/resolve", `{"a":1}`)
	s.want(t, http.StatusConflict, http.MethodPost, "/"+id+"/resolve", `{"a":2}`)

	closed, _ := s.create(t, `{}`)
	s.want(t, http.StatusNoContent, http.MethodDelete, "/"+closed, "")
	s.want(t, http.StatusGone, http.MethodGet, "/"+closed+"/result", "")
	s.want(t, http.StatusGone, http.MethodPost, "/"+closed+"/resolve", "")

	delivered, url := s.create(t, `{"deliverTo":"https://results.example.com/a"}`)
	s.call(t, url, "result")
	s.want(t, http.StatusAccepted, http.MethodPost, "/"+delivered+"/redeliver", "")
}

func (s *stage) refuse(t *testing.T) {
	for _, body := range []string{
		`{`, `[]`, `{"nosuch":1}`, `{"responseCode":99}`, `{"responseCode":"200"}`, `{"methods":["HEAD"]}`, `{"methods":[]}`,
		`{"correlationId":""}`, `{"expiresIn":0}`, `{"stateQueryParameter":"api_key"}`, `{"responseHeaders":{"A":1}}`, `{"responseType":"both"}`,
	} {
		req := s.request(t, http.MethodPost, "", body)
		if got := s.do(t, req); got.Status != http.StatusBadRequest {
			t.Errorf("%s: status %d", body, got.Status)
		}
		// What the code refuses for a field alone, the document refuses, too.
		again := s.request(t, http.MethodPost, "", body)
		if valid, _ := s.check.ValidateHttpRequest(again); valid {
			t.Errorf("the document takes %s", body)
		}
	}
	s.want(t, http.StatusUnsupportedMediaType, http.MethodPost, "", "x", "Content-Type", "text/plain")
	s.want(t, http.StatusRequestEntityTooLarge, http.MethodPost, "", `{"data":"`+strings.Repeat("x", 64<<10)+`"}`)
	s.want(t, http.StatusBadRequest, http.MethodGet, "?limit=0", "")
	const unknown = "/00000000-0000-4000-8000-000000000000"
	s.document.operations(t, func(method, path string, _ operation) {
		below := strings.TrimPrefix(strings.Replace(path, "/{id}", unknown, 1), "/callbacks")
		body := ""
		if path == "/callbacks" && method == http.MethodPost {
			body = "{}"
		}
		if strings.Contains(path, "{id}") {
			s.want(t, http.StatusNotFound, method, below, body)
		}
		s.want(t, http.StatusUnauthorized, method, below, body, "Authorization", "")
		s.want(t, http.StatusUnauthorized, method, below, body, "Authorization", "Bearer nobody's")
		if path != "/callbacks/openapi.json" {
			s.want(t, http.StatusForbidden, method, below, body, "Authorization", "Bearer "+sendKey)
		} else {
			// Any key may read it, so that nobody is refused for want of a permission.
			s.seen[method+" "+path+" 403"] = true
		}
		if method != http.MethodGet {
			s.want(t, http.StatusForbidden, method, below, body, "Sec-Fetch-Site", "cross-site")
		}
	})
	s.methods(t, unknown)
}

// methods checks that each path takes the methods that the document lists, and no other.
func (s *stage) methods(t *testing.T, unknown string) {
	for path, members := range s.document.Paths {
		var listed []string
		for method := range members {
			switch method {
			case "get":
				listed = append(listed, "GET", "HEAD")
			case "parameters":
			default:
				listed = append(listed, strings.ToUpper(method))
			}
		}
		below := strings.TrimPrefix(strings.Replace(path, "/{id}", unknown, 1), "/callbacks")
		got := s.do(t, s.request(t, http.MethodPatch, below, ""))
		allowed := strings.Split(got.Header.Get("Allow"), ", ")
		slices.Sort(listed)
		slices.Sort(allowed)
		if got.Status != http.StatusMethodNotAllowed || !slices.Equal(listed, allowed) {
			t.Errorf("%s takes %v, and the document lists %v", path, allowed, listed)
		}
		for _, method := range listed {
			s.seen[method+" "+path+" 405"] = true
		}
	}
}

// unavailable looks at the admin endpoint while no configuration has callbacks.
func (s *stage) unavailable(t *testing.T) {
	s.MustReload(t, harness.Config{Bare: true, Public: "respond ok", Private: "respond ok"})
	for _, method := range []string{http.MethodGet, http.MethodPost} {
		req := harness.NewRequest(t, method, "http://127.0.0.1/callbacks", "application/json", "{}")
		s.validate(t, req, []byte("{}"), s.Admin(t, req))
	}
}

func TestExamplesAreAsTheDocumentSays(t *testing.T) {
	s := start(t)
	count := 0
	s.document.operations(t, func(method, path string, o operation) {
		for status, r := range o.Responses {
			for contentType, m := range r.Content {
				for _, example := range m.values() {
					count++
					code := 0
					if _, err := fmt.Sscan(status, &code); err != nil {
						t.Fatal(err)
					}
					req := s.request(t, method, strings.TrimPrefix(strings.Replace(path, "{id}", "4f9d3e53-9f5e-4c75-a5cb-6f4a1d64a1a5", 1), "/callbacks"), "")
					header := http.Header{"Content-Type": {contentType}, "Location": {"x"}, "Retry-After": {"5"}, "Idempotency-Replayed": {"true"}}
					s.validate(t, req, notSent, &harness.Response{Status: code, Header: header, Body: example})
				}
			}
		}
	})
	if count < 20 {
		t.Errorf("the document has only %d examples", count)
	}
}
