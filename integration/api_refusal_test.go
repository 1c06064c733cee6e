package integration

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/caddy-callback/caddy-callback/integration/harness"
)

// wantField checks that a request is refused because of a field.
func wantField(t *testing.T, got *harness.Response, field string) {
	t.Helper()
	wantProblem(t, got, http.StatusBadRequest, "invalid-request")
	var p struct{ Field string }
	if err := json.Unmarshal(got.Body, &p); err != nil || p.Field != field {
		t.Errorf("the field is %q, want %q: %s", p.Field, field, short(got.Body))
	}
}

func TestFieldsOfTheWrongTypeAreRefused(t *testing.T) {
	t.Parallel()
	s := openAPI(t, harness.Config{})
	samples := map[string]string{
		"text": `"x"`, "number": `1`, "fraction": `1.5`, "true": `true`, "null": `null`, "array": `[]`, "object": `{}`,
		"numbers": `[1]`, "object of numbers": `{"A":1}`, "number as text": `"200"`,
	}
	takes := map[string][]string{
		"callbackActivity": {"text", "number as text"}, "callbackActivityCase": {"text", "number as text"},
		"stateQueryParameter": {"text", "number as text"}, "responseBody": {"text", "number as text"},
		"correlationId":       {"text", "number as text"},
		"alternativeDomain":   nil,                   // No sample is a domain.
		"responseType":        nil,                   // Nor a type,
		"responseRedirectUrl": nil, "deliverTo": nil, // or a URL.
		"retryableAfterError": {"true"}, "allowMultipleCalls": {"true"}, "includeApiKey": {"true"},
		"requireStatus": {"true"}, "requireCorrelationId": {"true"},
		"responseCode": nil, "responseHeaders": {"object"}, "methods": nil, "expiresIn": {"number", "fraction"},
		"data": {"text", "number", "fraction", "true", "null", "array", "object", "numbers", "object of numbers", "number as text"},
	}
	for field, taken := range takes {
		for name, sample := range samples {
			got := s.api(t, http.MethodPost, "", fmt.Sprintf(`{%q:%s}`, field, sample))
			if strings.Contains(strings.Join(taken, ",")+",", name+",") {
				if got.Status != http.StatusCreated {
					t.Errorf("%s as %s: %s", field, name, short(got.Body))
				}
				continue
			}
			wantField(t, got, field)
		}
	}
}

func TestValuesOutOfRangeAreRefused(t *testing.T) {
	t.Parallel()
	s := openAPI(t, harness.Config{})
	long := func(n int) string { return strings.Repeat("x", n) }
	for field, values := range map[string][]any{
		"callbackActivity":     {"/a?b=c", "/a/../b", "/a/%2e%2e/b", "..", "a/../b", "//a", "/a b", "/%zz", "/a#b", "/" + long(1024)},
		"callbackActivityCase": {long(1025)},
		"stateQueryParameter":  {"a b", "a&b", ".", "..", "a/b", "api_key", long(65), "ä", "{a}"},
		"alternativeDomain": {
			"ftp://a.example", "a.example", "https://", "https://a.example?b", "https://a.example#b", "https://u:p@a.example",
			"https://a.example/b/../c", "https://{a}.example", "https://a.example:0", "https://a b.example", "https://" + long(1024),
		},
		"responseType": {"Response", "redirects", "both"},
		"responseRedirectUrl": {
			"thanks", "//evil.example", "javascript:alert(1)", "https://", "https://u@a.example", "/a b", "/a\\b", "/a\nb",
			"/cb/00000000-0000-4000-8000-000000000000", "/cbr/x", "/cb", harness.BaseURL + "/cbq/state", "/" + long(8192),
		},
		"responseBody": {long(64<<10 + 1)},
		"responseCode": {0, 99, 100, 199, 600, -200, 1e9},
		"responseHeaders": {
			map[string]any{"Location": "/a"}, map[string]any{"refresh": "0"}, map[string]any{"Content-Length": "1"},
			map[string]any{"Connection": "x"}, map[string]any{"Transfer-Encoding": "x"}, map[string]any{"A B": "x"}, map[string]any{"": "x"},
			map[string]any{"A": "x\r\nB: y"}, map[string]any{"A": "x\x00"}, map[string]any{"A": long(16<<10 + 1)}, map[string]any{"A": 1}, map[string]any{"A": nil},
			map[string]any{"A": []string{"x"}}, manyHeaders(65),
		},
		"correlationId": {"", " a", "a ", "a\nb", "ä", long(257)},
		"expiresIn":     {0, -1, "0s", "-1h", "", "1", "soon", "366d", 31536001, "1us", 1e-9, 1e300},
		"methods":       {[]string{"HEAD"}, []string{"OPTIONS"}, []string{"post"}, []string{"POST", "POST"}, []string{""}},
		"deliverTo":     {"", "x", "ftp://a.example/b", "https://u:p@a.example/b", "http://a.example/b", "https://127.0.0.1/b", "https://localhost/b", "http://callbacks.test/cb/x"},
		"data":          {long(16 << 10)},
	} {
		for _, value := range values {
			body, err := json.Marshal(map[string]any{field: value})
			if err != nil {
				t.Fatal(err)
			}
			got := s.api(t, http.MethodPost, "", string(body))
			if got.Status == http.StatusCreated {
				t.Errorf("taken: %s", short(body))
				continue
			}
			wantField(t, got, field)
		}
	}
}

func manyHeaders(n int) map[string]any {
	h := make(map[string]any)
	for i := range n {
		h[fmt.Sprint("A", i)] = "x"
	}
	return h
}

func TestFieldsThatContradictEachOtherAreRefused(t *testing.T) {
	t.Parallel()
	s := openAPI(t, harness.Config{})
	for body, field := range map[string]string{
		`{"responseType":"redirect"}`:                                                              "responseRedirectUrl",
		`{"responseType":"redirect","responseBody":"x"}`:                                           "responseRedirectUrl",
		`{"responseCode":204,"responseBody":"x"}`:                                                  "responseBody",
		`{"responseCode":304,"responseBody":"x"}`:                                                  "responseBody",
		`{"stateQueryParameter":"state","includeApiKey":true}`:                                     "includeApiKey",
		`{"alternativeDomain":"https://a.example","responseRedirectUrl":"https://a.example/cb/x"}`: "responseRedirectUrl",
	} {
		wantField(t, s.api(t, http.MethodPost, "", body), field)
	}
}

func TestWhatIsNotPlainlyOneJSONObjectIsRefused(t *testing.T) {
	t.Parallel()
	s := openAPI(t, harness.Config{})
	for name, x := range map[string]struct{ body, field string }{
		"not JSON":               {`{`, ""},
		"text":                   {`"x"`, ""},
		"array":                  {`[{}]`, ""},
		"null":                   {`null`, ""},
		"more after it":          {`{} {}`, ""},
		"comma after it":         {`{},`, ""},
		"comment":                {`{/**/}`, ""},
		"trailing comma":         {`{"a":1,}`, ""},
		"not UTF-8":              {"{\"responseBody\":\"\xff\"}", ""},
		"byte order mark":        {"\ufeff{}", ""},
		"too deep":               {`{"data":` + strings.Repeat("[", 64) + strings.Repeat("]", 64) + `}`, ""},
		"unknown":                {`{"responsebody":"x"}`, "responsebody"},
		"unknown with text":      {`{"callback_activity":"x"}`, "callback_activity"},
		"twice":                  {`{"responseBody":"x","responseBody":"y"}`, "responseBody"},
		"twice and the same":     {`{"responseBody":"x","responseBody":"x"}`, "responseBody"},
		"in another case":        {`{"responseBody":"x","ResponseBody":"y"}`, "ResponseBody"},
		"escaped and the same":   {`{"responseBody":"x","responseBod\u0079":"y"}`, "responseBody"},
		"header twice":           {`{"responseHeaders":{"A":"x","a":"y"}}`, "responseHeaders"},
		"header in another case": {`{"responseHeaders":{"Content-Type":"x","content-type":"y"}}`, "responseHeaders"},
	} {
		got := s.api(t, http.MethodPost, "", x.body)
		if x.field == "" {
			if p := wantProblem(t, got, http.StatusBadRequest, "invalid-request"); p.Detail == "" {
				t.Errorf("%s: there is no detail", name)
			}
			continue
		}
		wantField(t, got, x.field)
	}
	for _, contentType := range []string{"", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "application/json; charset=latin1"} {
		got := s.public(t, harness.NewRequest(t, http.MethodPost, apiURL, contentType, "{}"))
		wantProblem(t, got, http.StatusUnsupportedMediaType, "json-required")
	}
	for _, contentType := range []string{"application/json", "application/json; charset=utf-8", "Application/JSON"} {
		wantStatus(t, s.public(t, harness.NewRequest(t, http.MethodPost, apiURL, contentType, "{}")), http.StatusCreated)
	}
	wantProblem(t, s.api(t, http.MethodPost, "", `{"data":"`+strings.Repeat("x", 1<<20)+`"}`), http.StatusRequestEntityTooLarge, "too-large")
}

func TestNoPlaceholderInATextMeansAnything(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	const secret = "the secret of the environment"
	s.Setenv("SECRET", secret)
	s.NeverLog(secret)
	s.Start(t, withAPI(s, harness.Config{}, "key off"))
	const text = "{env.SECRET}{http.callback.id}{http.request.host}{$SECRET}"
	c := s.create(t, `{"responseBody":"`+text+`","responseHeaders":{"X-A":"`+text+`"},"data":"`+text+`","callbackActivityCase":"`+text+
		`","correlationId":"`+text+`"}`)
	reply := s.callURL(t, http.MethodPost, c.CallbackURL, text)
	wantAnswer(t, reply, http.StatusOK, text)
	wantHeader(t, reply.Header, "X-A", text)
	d := s.show(t, c.ID)
	if string(d.Data) != `"`+text+`"` || d.CorrelationID != text || d.LatestCall.Body != text {
		t.Errorf("%+v", d)
	}
	wantAnswer(t, s.api(t, http.MethodGet, "/"+c.ID+"/result", ""), http.StatusOK, text)

	back := s.create(t, `{"responseRedirectUrl":"https://shop.example.com/{env.SECRET}?{http.callback.id}"}`)
	wantHeader(t, s.fetch(t, back.CallbackURL).Header, "Location", "https://shop.example.com/{env.SECRET}?{http.callback.id}")
	wantField(t, s.api(t, http.MethodPost, "", `{"alternativeDomain":"https://{env.SECRET}.example"}`), "alternativeDomain")
	wantField(t, s.api(t, http.MethodPost, "", `{"stateQueryParameter":"{env.SECRET}"}`), "stateQueryParameter")
	wantField(t, s.api(t, http.MethodPost, "", `{"deliverTo":"https://{env.SECRET}.example/"}`), "deliverTo")
}
