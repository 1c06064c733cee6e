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
	"github.com/pb33f/libopenapi-validator/schema_validation"

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
	model    libopenapi.Document
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
	s.model, s.check = model, check
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

// named are the paths below that of the API that are no ids.
var named = []string{"openapi.json", "nodes", "count", "events", "close", "resolve", "redeliver"}

// patternOf returns the document's path for a path.
func patternOf(path string) string {
	parts := strings.Split(path, "/")
	if len(parts) > 2 && !slices.Contains(named, parts[2]) {
		parts[2] = "{id}"
	}
	return strings.Join(parts, "/")
}

// isA holds JSON to a schema of the document.
func (s *stage) isA(t *testing.T, name, text string) {
	t.Helper()
	model, err := s.model.BuildV3Model()
	if err != nil {
		t.Fatal(err)
	}
	valid, errs := schema_validation.NewSchemaValidator().ValidateSchemaString(model.Model.Components.Schemas.GetOrZero(name).Schema(), text)
	for _, e := range errs {
		t.Errorf("%s is no %s: %s %s %+v", text, name, e.Message, e.Reason, e.SchemaValidationErrors)
	}
	if !valid && len(errs) == 0 {
		t.Errorf("%s is no %s", text, name)
	}
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
