package integration

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/caddy-callback/caddy-callback/integration/harness"
)

func TestInjectHeader(t *testing.T) {
	t.Parallel()
	s := start(t, harness.Config{Hold: `inject header X-Reply-To {http.callback.url}
inject header X-Order "{http.callback.correlation_id}/{http.request.uri.path}"`})
	req := harness.NewRequest(t, http.MethodGet, harness.HTTP1.URL(s.path()), "", "")
	req.Header.Set("X-Reply-To", "http://evil.test")
	x := s.forward(t, harness.HTTP1, req)
	wantHeader(t, x.received.Header, "X-Reply-To", x.url)
	wantHeader(t, x.received.Header, "X-Order", x.received.Header.Get(correlationHeader)+"/"+req.URL.Path)
	x.stillWaits(t)
}

func TestInjectQuery(t *testing.T) {
	t.Parallel()
	s := start(t, harness.Config{Hold: "inject query notify {http.callback.url}"})
	path := s.path()
	x := s.forward(t, harness.HTTP1, harness.NewRequest(t, http.MethodGet, harness.HTTP1.URL(path)+"?b=%20x&notify=evil&a", "", ""))
	_, raw, _ := strings.Cut(x.received.URI, "?")
	query, err := url.ParseQuery(raw)
	if err != nil {
		t.Fatal(err)
	}
	if got := query["notify"]; len(got) != 1 || got[0] != x.url {
		t.Errorf("notify is %q, want %q", got, x.url)
	}
	if !strings.HasPrefix(raw, "b=%20x&") || !query.Has("a") {
		t.Errorf("the rest of the query has changed: %s", raw)
	}
	x.stillWaits(t)
}

func TestInjectForm(t *testing.T) {
	t.Parallel()
	s := start(t, harness.Config{Hold: "inject form notify {http.callback.url}"})
	x := s.post(t, "application/x-www-form-urlencoded", "amount=10%2C50&name=a+b")
	wantLengthOfBody(t, x)
	form, err := url.ParseQuery(string(x.received.Body))
	if err != nil {
		t.Fatal(err)
	}
	if got := form["notify"]; len(got) != 1 || got[0] != x.url {
		t.Errorf("notify is %q, want %q", got, x.url)
	}
	if !strings.HasPrefix(string(x.received.Body), "amount=10%2C50&name=a+b") {
		t.Errorf("the rest of the form has changed: %s", x.received.Body)
	}
	x.stillWaits(t)
}

func TestInjectJSONSplicesTheValueIn(t *testing.T) {
	t.Parallel()
	s := start(t, harness.Config{Hold: `inject json meta.reply.url {http.callback.url}
inject json items.0.ref {http.callback.correlation_id}
inject json /a~1b/c json:[1,2.50]
inject json present {http.callback.id}`})
	const before = `{ "z": 12345678901234567890.12345678901234567890, "present" : null,
	"items":[{"sku":"é<&>"}], "a/b": {}, "unknown": 1e400 }`
	x := s.post(t, "application/vnd.order+json", before)
	wantLengthOfBody(t, x)
	body := string(x.received.Body)
	for _, same := range []string{
		`{ "z": 12345678901234567890.12345678901234567890, "present" : `, `,
	"items":[{"sku":"é<&>"`, `"unknown": 1e400`, `[1,2.50]`,
	} {
		if !strings.Contains(body, same) {
			t.Errorf("%s is missing in %s", same, body)
		}
	}
	var got struct {
		Meta    struct{ Reply struct{ URL string } }
		Items   []struct{ Ref string }
		AB      struct{ C []json.Number } `json:"a/b"`
		Present string
	}
	if err := json.Unmarshal(x.received.Body, &got); err != nil {
		t.Fatalf("%v in %s", err, body)
	}
	if got.Meta.Reply.URL != x.url {
		t.Errorf("meta.reply.url is %q, want %q", got.Meta.Reply.URL, x.url)
	}
	if len(got.Items) != 1 || got.Items[0].Ref != x.received.Header.Get(correlationHeader) {
		t.Errorf("items are %+v", got.Items)
	}
	if len(got.AB.C) != 2 || !wholeUUID.MatchString(got.Present) {
		t.Errorf("the body is %s", body)
	}
	x.stillWaits(t)
}

func TestInjectJSONIntoABodyOfUnknownLength(t *testing.T) {
	t.Parallel()
	s := start(t, harness.Config{Hold: "inject json url {http.callback.url}"})
	req, _ := shape{method: http.MethodPost, body: `{"a":1}`, unsized: true}.request(t, harness.HTTP1.URL(s.path()))
	req.Header.Set("Content-Type", "application/json")
	x := s.forward(t, harness.HTTP1, req)
	wantLengthOfBody(t, x)
	if got := string(x.received.Body); got != `{"a":1,"url":"`+x.url+`"}` {
		t.Errorf("the body is %s", got)
	}
	x.stillWaits(t)
}

// What runs in the background gets no header of ours, either.
func TestGlobalInjectOffDropsTheDefaultPairEverywhere(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	block := func(path string) string { return "{\n\t\trewrite * " + path + "\n\t\t" + s.toPartner() + "\t}\n" }
	s.Start(t, harness.Config{
		Callback: "inject off",
		Private: harness.Hold("/hold", "", "inject header X-Url {http.callback.url}") +
			harness.Hold("/named", "", "inject header "+callbackHeader+" {http.callback.url}") +
			"callback /park park {\n\tname parked\n\tinject header X-Url {http.callback.url}\n\tcall " + block("/called") + "\tthen " + block("/then") + "}\n" +
			"callback /defer defer {\n\tname deferred\n\tthen " + block("/deferred") + "}\n" +
			s.toPartner(),
	})
	send := func(path string) *harness.Pending {
		return harness.Send(s.Client(t, harness.HTTP1), harness.NewRequest(t, http.MethodPost, harness.HTTP1.URL(path), jsonType, "{}"))
	}
	wantNone := func(path string) (url string) {
		t.Helper()
		got := s.partner.Received(t, path)
		wantHeader(t, got.Header, correlationHeader)
		wantHeader(t, got.Header, callbackHeader)
		return got.Header.Get("X-Url")
	}
	held := send("/hold")
	wantAnswer(t, s.callURL(t, http.MethodPost, wantNone("/hold"), "held"), http.StatusOK, "")
	wantAnswer(t, held.Answer(t), http.StatusOK, "held")

	named := send("/named")
	got := s.partner.Received(t, "/named")
	wantHeader(t, got.Header, correlationHeader)
	wantAnswer(t, s.callURL(t, http.MethodPost, got.Header.Get(callbackHeader), "named"), http.StatusOK, "")
	wantAnswer(t, named.Answer(t), http.StatusOK, "named")

	wantStatus(t, send("/park").Answer(t), http.StatusAccepted)
	wantAnswer(t, s.callURL(t, http.MethodPost, wantNone("/called"), "parked"), http.StatusOK, "")
	wantNone("/then")
	wantStatus(t, send("/defer").Answer(t), http.StatusAccepted)
	wantNone("/deferred")
}

func TestInjectOffDropsTheDefaultPair(t *testing.T) {
	t.Parallel()
	s := start(t, harness.Config{Hold: "inject off\ninject query notify {http.callback.url}"})
	req := harness.NewRequest(t, http.MethodGet, harness.HTTP1.URL(s.path()), "", "")
	req.Header.Set(callbackHeader, "http://evil.test")
	x := s.forward(t, harness.HTTP1, req)
	wantHeader(t, x.received.Header, callbackHeader)
	wantHeader(t, x.received.Header, correlationHeader)
	_, raw, _ := strings.Cut(x.received.URI, "?")
	query, err := url.ParseQuery(raw)
	if err != nil {
		t.Fatal(err)
	}
	x.url = query.Get("notify")
	if !callbackURLForm.MatchString(x.url) {
		t.Fatalf("notify is %q", x.url)
	}
	x.stillWaits(t)
}

func TestBodyThatCannotTakeAValueIsRefused(t *testing.T) {
	t.Parallel()
	s := start(t, harness.Config{
		Callback: "max_body_size 4KiB",
		Hold:     "inject json data.url {http.callback.url}",
	})
	for _, test := range []struct {
		name, contentType, encoding, body string
		status                            int
		slug                              string
	}{
		{name: "another type", contentType: "text/plain", body: "{}", status: 415, slug: "not-json"},
		{name: "no type", body: "{}", status: 415, slug: "not-json"},
		{name: "compressed", contentType: "application/json", encoding: "gzip", body: compressed(t, "{}"), status: 415, slug: "compressed"},
		{name: "too large", contentType: "application/json", body: `{"a":"` + strings.Repeat("x", 4<<10) + `"}`, status: 413, slug: "too-large"},
		{name: "not JSON", contentType: "application/json", body: `{"a":}`, status: 400},
		{name: "two values", contentType: "application/json", body: `{} {}`, status: 400},
		{name: "empty", contentType: "application/json", body: " ", status: 400},
		{name: "a scalar in the way", contentType: "application/json", body: `{"data":1}`, status: 400},
		{name: "two members of that name", contentType: "application/json", body: `{"data":{},"data":{}}`, status: 400},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			path := s.path()
			req := harness.NewRequest(t, http.MethodPost, harness.HTTP1.URL(path), test.contentType, test.body)
			if test.encoding != "" {
				req.Header.Set("Content-Encoding", test.encoding)
			}
			answer := s.public(t, req)
			if test.slug == "" {
				wantProblemDocument(t, answer, test.status)
			} else {
				wantProblem(t, answer, test.status, test.slug)
			}
			if s.partner.Arrived(path) != 0 {
				t.Error("the partner got a request that was refused")
			}
		})
	}
}

func TestFormBodyThatIsNoneIsRefused(t *testing.T) {
	t.Parallel()
	s := start(t, harness.Config{Hold: "inject form notify {http.callback.url}"})
	path := s.path()
	answer := s.public(t, harness.NewRequest(t, http.MethodPost, harness.HTTP1.URL(path), "text/plain", "a=b"))
	wantProblemDocument(t, answer, http.StatusUnsupportedMediaType)
	if s.partner.Arrived(path) != 0 {
		t.Error("the partner got a request that was refused")
	}
}

// wantLengthOfBody checks that the partner was told the length of what it got.
func wantLengthOfBody(t *testing.T, x *exchange) {
	t.Helper()
	if x.received.ContentLength != int64(len(x.received.Body)) {
		t.Errorf("Content-Length is %d, the body has %d bytes", x.received.ContentLength, len(x.received.Body))
	}
}

// A placeholder for the call of a step that does not exist would be sent unreplaced.
func TestInjectionThatSpeaksOfNoStepIsRefused(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	step := "callback hold {\nname validate\ncall {\n" + s.toPartner() + "}\n}\n"
	code, output := s.StartFails(t, harness.Config{
		Private: step + harness.Hold("", "", "inject header X-Checked {http.callback.valdate.call.body}") + s.toPartner(),
	})
	const want = "inject: {http.callback.valdate.call.body}: no directive has the name valdate; did you mean validate?"
	if code == 0 || !strings.Contains(output, want) {
		t.Errorf("exit code %d, and the output has no %q:\n%s", code, want, output)
	}
}
