package openapi

import (
	"bufio"
	"bytes"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/caddy-callback/caddy-callback/integration/harness"
)

func TestTrafficIsAsTheDocumentSays(t *testing.T) {
	s := start(t)
	s.makeCallbacks(t)
	s.readCallbacks(t)
	s.endCallbacks(t)
	s.watchCallbacks(t)
	s.endAll(t)
	s.refuse(t)
	s.unavailable(t)

	// What is not made to happen here: a damaged store, a body that takes long to come, and
	// a header that is over our limit, since Caddy's own is lower by default.
	never := []string{"500", "408", "431"}
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
	s.want(t, http.StatusNotModified, http.MethodGet, "/"+id, "", "If-None-Match", "*", "Prefer", "wait=1")
	s.want(t, http.StatusNotModified, http.MethodGet, "/"+id+"/result", "", "If-None-Match", "*")
	failed, url := s.create(t, `{}`)
	s.call(t, url, "", "X-Link-Status", "Failed", "X-Link-Document-Status", "Odd", "X-Link-Error-Code", "E1", "X-Link-Error-Text", "no stock")
	s.want(t, http.StatusOK, http.MethodGet, "/"+failed, "")
	s.want(t, http.StatusFailedDependency, http.MethodGet, "/"+failed+"/result", "")
	expired, _ := s.create(t, `{"expiresIn":"1ms"}`)
	s.want(t, http.StatusOK, http.MethodGet, "/"+expired, "", "Prefer", "wait=60")
	s.want(t, http.StatusGatewayTimeout, http.MethodGet, "/"+expired+"/result", "", "Prefer", "wait=60")
	s.want(t, http.StatusGone, http.MethodPost, "/"+expired+"/resolve", "")
	for _, query := range []string{
		"", "?phase=waiting", "?name=orders", "?createdAfter=1h&createdBefore=2100-01-01T00:00:00Z", "?limit=1", "?order=oldest", "?confirm=true",
		"?correlationId=order+17", "?id=" + id, "/count", "/count?phase=waiting", "/count?delivery=dead",
	} {
		s.want(t, http.StatusOK, http.MethodGet, query, "")
	}
	s.want(t, http.StatusOK, http.MethodGet, "/openapi.json", "")
	s.want(t, http.StatusOK, http.MethodGet, "/nodes", "")
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
	s.want(t, http.StatusNoContent, http.MethodDelete, "/"+closed+"?purge=true", "")
	s.want(t, http.StatusNotFound, http.MethodGet, "/"+closed, "")

	delivered, url := s.create(t, `{"deliverTo":"https://results.example.com/a"}`)
	s.call(t, url, "result")
	s.want(t, http.StatusAccepted, http.MethodPost, "/"+delivered+"/redeliver", "")
}

// watchCallbacks reads a stream of changes up to the first.
func (s *stage) watchCallbacks(t *testing.T) {
	req := s.request(t, http.MethodGet, "/events?phase=closed", "", "Last-Event-ID", "unknown")
	res, err := s.Client(t, harness.HTTP1).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	closed, _ := s.create(t, `{"correlationId":"watched"}`)
	s.want(t, http.StatusNoContent, http.MethodDelete, "/"+closed, "")
	var text bytes.Buffer
	for lines := bufio.NewScanner(res.Body); lines.Scan(); {
		text.WriteString(lines.Text() + "\n")
		if data, ok := strings.CutPrefix(lines.Text(), `data: {"at":`); ok {
			s.isA(t, "Change", `{"at":`+data)
			break
		}
	}
	if !strings.Contains(text.String(), "event: lost\n") {
		t.Errorf("nobody knows what the client has missed, and it is told %s", text.String())
	}
	s.validate(t, req, nil, &harness.Response{Status: res.StatusCode, Header: res.Header, Body: text.Bytes()})
}

func (s *stage) endAll(t *testing.T) {
	for _, path := range []string{"/close", "/resolve", "/redeliver"} {
		s.create(t, `{"correlationId":"one of many"}`)
		s.want(t, http.StatusOK, http.MethodPost, path+"?correlationId=one+of+many&expect=9", "")
		s.want(t, http.StatusOK, http.MethodPost, path+"?name=nobody", "")
		s.create(t, `{"correlationId":"one of many"}`)
		s.want(t, http.StatusConflict, http.MethodPost, path+"?createdAfter=1h&expect=0", "")
		s.want(t, http.StatusBadRequest, http.MethodPost, path, "")
		s.want(t, http.StatusOK, http.MethodPost, path+"?all=true", "")
	}
	s.want(t, http.StatusRequestEntityTooLarge, http.MethodPost, "/resolve?all=true", `"`+strings.Repeat("x", 64<<10)+`"`)
	refused, _ := s.create(t, `{"requireStatus":true}`)
	got := s.do(t, s.request(t, http.MethodPost, "/resolve?id="+refused, ""))
	if !bytes.Contains(got.Body, []byte(`"failures":[{"id":"`+refused+`","reason":"missing-header"}]`)) {
		t.Errorf("the report of a call that is refused: %s", got.Body)
	}
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
	for _, query := range []string{"?limit=0", "/count?limit=1", "/events?order=oldest"} {
		s.want(t, http.StatusBadRequest, http.MethodGet, query, "")
	}
	s.want(t, http.StatusBadRequest, http.MethodDelete, "/00000000-0000-4000-8000-000000000000?purge=yes", "")
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
			s.want(t, http.StatusTooEarly, method, below, body, "Early-Data", "1")
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
