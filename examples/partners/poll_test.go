package partners

import (
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/caddy-callback/caddy-callback/integration/harness"
)

// asked is a provider that is asked for what has become of a request.
type asked struct {
	options string
	// ack gives the address of the API to those who are answered so.
	ack func(address string) (header http.Header, body string)
	// path is what is asked, name and value the header that it is asked with.
	path, name, value string
	pending           []string
	success, failed   string
	errorIs           string
}

const (
	azureKey  = "azure-key-of-the-sidecar"
	mollieKey = "live-of-the-sidecar"
)

// azureUsing is the route that a user hands over.
const azureUsing = " {\nreverse_proxy {$AZURE_ENDPOINT} {\nheader_up Ocp-Apim-Subscription-Key {env.AZURE_KEY}\n}\n}"

func inHeader(name, path string) func(string) (http.Header, string) {
	return func(address string) (http.Header, string) { return http.Header{name: {address + path}}, "" }
}

var polled = map[string]asked{
	"azure, operation-location": {
		options: "import partners/azure.caddy succeeded" + azureUsing,
		ack:     inHeader("Operation-Location", "/documentintelligence/documentModels/prebuilt-layout/analyzeResults/3b31320d?api-version=2024-11-30"),
		path:    "/documentintelligence/documentModels/prebuilt-layout/analyzeResults/3b31320d", name: "Ocp-Apim-Subscription-Key", value: azureKey,
		pending: []string{`{"status":"notStarted","createdDateTime":"2021-09-24T13:00:46Z","lastUpdatedDateTime":"2021-09-24T13:00:49Z"}`, `{"status":"running","createdDateTime":"2021-09-24T13:00:46Z"}`},
		success: `{"status":"succeeded","createdDateTime":"2021-09-24T13:00:46Z","analyzeResult":{"content":"Hello"}}`,
		failed:  `{"status":"failed","error":{"code":"InvalidRequest","message":"Invalid request."}}`, errorIs: "InvalidRequest",
	},
	"azure, resource manager": {
		options: "import partners/azure.caddy Succeeded" + azureUsing,
		ack:     inHeader("Azure-Asyncoperation", "/subscriptions/s/providers/Microsoft.Compute/locations/westus/operations/op?api-version=2024-07-01"),
		path:    "/subscriptions/s/providers/Microsoft.Compute/locations/westus/operations/op", name: "Ocp-Apim-Subscription-Key", value: azureKey,
		pending: []string{`{"startTime":"2017-01-06T18:58:24.7596323+00:00","status":"InProgress","name":"9a062a88-e463-4697-bef2-fe039df73a02"}`},
		success: `{"startTime":"2017-01-06T18:58:24.7596323+00:00","status":"Succeeded","name":"9a062a88-e463-4697-bef2-fe039df73a02"}`,
		failed:  `{"status":"Canceled","error":{"code":"BadArgument","message":"The provided database 'foo' has an invalid username."}}`, errorIs: "BadArgument",
	},
	"mollie": {
		options: "import partners/mollie_poll.caddy paid",
		ack: func(address string) (http.Header, string) {
			return nil, `{"resource":"payment","id":"tr_7UhSN1zuXS","status":"open","_links":{"self":{"href":"` + address + `/v2/payments/tr_7UhSN1zuXS"}}}`
		},
		path: "/v2/payments/tr_7UhSN1zuXS", name: "Authorization", value: "Bearer " + mollieKey,
		pending: []string{`{"id":"tr_7UhSN1zuXS","status":"open"}`},
		success: `{"id":"tr_7UhSN1zuXS","status":"paid"}`, failed: `{"id":"tr_7UhSN1zuXS","status":"expired"}`, errorIs: "expired",
	},
}

func TestProvidersAreAsked(t *testing.T) {
	t.Parallel()
	for name, p := range polled {
		for last, status := range map[string]int{p.success: http.StatusOK, p.failed: http.StatusFailedDependency} {
			t.Run(name+", "+http.StatusText(status), func(t *testing.T) {
				t.Parallel()
				p.run(t, last, status)
			})
		}
	}
}

func (p asked) run(t *testing.T, last string, status int) {
	var mu sync.Mutex
	var a *api
	answers := append(append([]string{}, p.pending...), last)
	a = newAPI(t, func(r *http.Request, _ string) (int, http.Header, string) {
		if r.Method != http.MethodGet {
			header, body := p.ack(a.URL)
			return http.StatusAccepted, header, body
		}
		mu.Lock()
		defer mu.Unlock()
		answer := answers[0]
		answers = answers[1:]
		return http.StatusOK, http.Header{"Retry-After": {"1"}}, answer
	})
	s := start(t, a, map[string]string{"AZURE_ENDPOINT": a.URL, "AZURE_KEY": azureKey, "MOLLIE_API": a.URL, "MOLLIE_API_KEY": mollieKey}, "", "", p.options)
	got := s.ask(t, "/start", jsonType, `{"a":1}`).Answer(t)
	wantStatus(t, "the client", got, status)
	if status == http.StatusOK && string(got.Body) != last {
		t.Errorf("the client got %s", got.Body)
	}
	if status != http.StatusOK && !strings.Contains(string(got.Body), `"errorCode":"`+p.errorIs+`"`) {
		t.Errorf("the client got %s, without %s", got.Body, p.errorIs)
	}
	requests := a.requests(t, 2+len(p.pending))
	for _, r := range requests[1:] {
		if r.path != p.path || r.header.Get(p.name) != p.value {
			t.Errorf("%s was asked with %q", r.path, r.header.Get(p.name))
		}
	}
	if requests[0].header.Get("X-Link-Callback-Url") != "" {
		t.Error("the provider gets headers that it does not know")
	}
}

// What is not asked for in the background, or was not accepted, is the client's own.
func TestOtherAnswersPassThrough(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		global, server, options, secret, request, answer string
		status                                           int
	}{
		"openai": {
			"import partners/openai_key.caddy", "import partners/openai_server.caddy", "import partners/openai.caddy response.completed", standardSecret,
			`{"model":"gpt-5","input":"Hi"}`, `{"id":"resp_1","status":"completed"}`, http.StatusOK,
		},
		"slack": {
			"import partners/slack_key.caddy", "import partners/slack_server.caddy", "import partners/slack.caddy approve", plainSecret,
			`{"channel":"C0"}`, `{"ok":false,"error":"channel_not_found"}`, http.StatusOK,
		},
		"shopify": {
			"import partners/shopify_key.caddy", "import partners/shopify_server.caddy", "import partners/shopify.caddy completed", plainSecret,
			`{"query":"mutation { ... }"}`, `{"data":{"bulkOperationRunQuery":{"bulkOperation":null,"userErrors":[{"message":"Invalid bulk query"}]}}}`, http.StatusOK,
		},
		"github": {
			"import partners/github_key.caddy", "import partners/github_server.caddy", "import partners/github.caddy success", plainSecret,
			`{"ref":"main"}`, `{"message":"No ref found for: main","status":"422"}`, http.StatusUnprocessableEntity,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := newAPI(t, func(*http.Request, string) (int, http.Header, string) { return c.status, nil, c.answer })
			s := start(t, a, map[string]string{secretName(t, c.global): c.secret}, c.global, c.server, c.options)
			got := s.ask(t, "/start", jsonType, c.request).Answer(t)
			wantStatus(t, "the client", got, c.status)
			if string(got.Body) != c.answer {
				t.Errorf("the client got %s", got.Body)
			}
		})
	}
}

// What success is, is the user's to say: without it there is no configuration.
func TestSuccessMustBeSaid(t *testing.T) {
	t.Parallel()
	for file, global := range map[string]string{
		"stripe": "stripe_key", "github": "github_key", "slack": "slack_key", "shopify": "shopify_key",
		"twilio_message": "twilio_key", "twilio_call": "twilio_key", "replicate": "replicate_key", "openai": "openai_key",
		"azure": "", "mollie": "mollie_key", "mollie_poll": "",
	} {
		t.Run(file, func(t *testing.T) {
			t.Parallel()
			c := harness.New(t)
			beside(t, c)
			cfg := harness.Config{Private: "callback hold {\nname job\nimport partners/" + file + ".caddy\n}\nrespond 202\n"}
			if global != "" {
				cfg.Callback = "import partners/" + global + ".caddy"
			}
			if _, output := c.StartFails(t, cfg); !strings.Contains(output, "succeeded: ") {
				t.Errorf("caddy says %s", output)
			}
		})
	}
}
