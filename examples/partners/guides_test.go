package partners

import (
	"net/http"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/caddy-callback/caddy-callback/integration/harness"
)

// guide is one of the guides by task, as it runs: its Caddyfile is used as it stands, but for
// the addresses.
type guide struct {
	*harness.Caddy
	api, app *api
	commands [][]string
}

var (
	caddyfileOf = regexp.MustCompile("(?s)\n```caddyfile\n(.*?)```\n")
	commandOf   = regexp.MustCompile("\n```\n(curl .*)\n```\n")
	wordOf      = regexp.MustCompile(`'[^']*'|"[^"]*"|[^\s"']+`)
	siteOf      = regexp.MustCompile(`(?ms)^(\S+) \{\n(.*?)^\}\n`)
)

// follow starts the Caddyfile of a guide. upstream is the address of the provider's API in it.
func follow(t *testing.T, page, upstream string, env map[string]string, answer func(*http.Request, string) (int, http.Header, string)) *guide {
	t.Helper()
	content, err := os.ReadFile("../../docs/guides/" + page + ".md")
	if err != nil {
		t.Fatal(err)
	}
	g := &guide{Caddy: harness.New(t), api: newAPI(t, answer)}
	g.app = newAPI(t, func(*http.Request, string) (int, http.Header, string) { return http.StatusOK, nil, "taken by the app" })
	for name, value := range env {
		g.Setenv(name, value)
	}
	for _, name := range []string{"OPENAI_API", "REPLICATE_API", "MOLLIE_API"} {
		g.Setenv(name, g.api.URL)
	}
	for _, match := range commandOf.FindAllStringSubmatch(string(content), -1) {
		g.commands = append(g.commands, wordOf.FindAllString(match[1], -1))
	}
	beside(t, g.Caddy)
	text := caddyfileOf.FindStringSubmatch(string(content))[1]
	text = strings.NewReplacer(upstream, g.api.URL, "localhost:3000", strings.TrimPrefix(g.app.URL, "http://"), "http://app.internal:3000", g.app.URL,
		"https://api.github.com", g.api.URL, "https://slack.com", g.api.URL).Replace(text)
	g.Start(t, configOf(t, g.Caddy, text))
	return g
}

// configOf takes a Caddyfile apart into what the harness needs.
func configOf(t *testing.T, c *harness.Caddy, text string) harness.Config {
	t.Helper()
	var cfg harness.Config
	_, global, _ := strings.Cut(text, "\t\tbase_url https://app.example.com\n")
	cfg.Callback, _, _ = strings.Cut(global, "\t}\n}\n")
	for _, site := range siteOf.FindAllStringSubmatch(text, -1) {
		switch site[1] {
		case "app.example.com":
			cfg.Public = site[2]
		case "http://localhost:9000":
			cfg.Private = site[2]
		case "http://localhost:9001":
			cfg.Sites = c.Site("second", site[2])
		default:
			t.Fatalf("the harness has no place for %s", site[1])
		}
	}
	if cfg.Public == "" || cfg.Private == "" {
		t.Fatalf("there are no two sites in %s", text)
	}
	return cfg
}

// run does what a command of the guide does.
func (g *guide) run(t *testing.T, n int) *harness.Pending {
	t.Helper()
	words := g.commands[n]
	var url, body string
	header := make(http.Header)
	for i := 1; i < len(words); i++ {
		word := strings.Trim(words[i], `'"`)
		switch word {
		case "-H", "-d", "-u":
			i++
			value := strings.Trim(words[i], `'"`)
			if name, content, _ := strings.Cut(value, ": "); word == "-H" {
				header.Set(name, content)
			} else if word == "-d" {
				body = strings.TrimPrefix(body+"&"+value, "&")
			}
		default:
			url = word
		}
	}
	url = strings.NewReplacer("http://localhost:9000", "http://app.test", "http://localhost:9001", "http://second.test", "https://app.example.com", harness.BaseURL,
		"http://app.internal:3000", g.app.URL).Replace(url)
	body = strings.ReplaceAll(body, "http://app.internal:3000", g.app.URL)
	if header.Get("Content-Type") == "" {
		header.Set("Content-Type", formType)
	}
	req := harness.NewRequest(t, http.MethodPost, url, "", body)
	req.Header = header
	return harness.Send(g.Client(t, harness.HTTP1), req)
}

// call calls a URL as the provider does.
func (g *guide) call(t *testing.T, url, contentType, body string, sign signer, secret string) *harness.Response {
	t.Helper()
	return (&stage{Caddy: g.Caddy}).call(t, url, contentType, body, sign, secret)
}

func answers(status int, body string) func(*http.Request, string) (int, http.Header, string) {
	return func(*http.Request, string) (int, http.Header, string) { return status, nil, body }
}

func wantBody(t *testing.T, got *harness.Response, status int, body string) {
	t.Helper()
	if got.Status != status || string(got.Body) != body {
		t.Errorf("got %d %s, want %d %s", got.Status, got.Body, status, body)
	}
}

func TestGuideToStripe(t *testing.T) {
	t.Parallel()
	secret := "whsec_" + plainSecret
	g := follow(t, "stripe", "https://api.stripe.com", map[string]string{"STRIPE_WEBHOOK_SECRET": secret}, answers(http.StatusOK, `{"id":"pi_1","object":"payment_intent","status":"processing"}`))
	x := g.run(t, 0)
	if got := g.api.requests(t, 1)[0]; got.path != "/v1/payment_intents" || !strings.HasPrefix(got.body, "amount=2000&currency=eur&") {
		t.Errorf("Stripe got %s %s", got.path, got.body)
	}
	created := stripeEvent("payment_intent.created", "pi_1", "processing")
	wantBody(t, g.call(t, fixedURL, jsonType, created, signStripe, secret), http.StatusOK, "")
	other := stripeEvent("invoice.paid", "in_7", "paid")
	wantBody(t, g.call(t, fixedURL, jsonType, other, signStripe, secret), http.StatusOK, "taken by the app")
	if got := g.app.requests(t, 1)[0]; got.path != "/stripe/events" || got.body != other || got.header.Get("Stripe-Signature") == "" {
		t.Errorf("the app got %s %s, signed with %q", got.path, got.body, got.header.Get("Stripe-Signature"))
	}
	wantStatus(t, "an event without a signature", g.call(t, fixedURL, jsonType, other, unsigned, ""), http.StatusUnauthorized)
	done := stripeEvent("payment_intent.succeeded", "pi_1", "succeeded")
	wantBody(t, g.call(t, fixedURL, jsonType, done, signStripe, secret), http.StatusOK, "")
	wantBody(t, x.Answer(t), http.StatusOK, done)
	if got := g.app.requests(t, 1); len(got) != 1 {
		t.Errorf("the app got %d events", len(got))
	}
}

func TestGuideToOpenAI(t *testing.T) {
	t.Parallel()
	const novel = `{"id":"resp_1","status":"completed","output":[{"type":"message"}]}`
	g := follow(t, "openai", "https://api.openai.com", map[string]string{"OPENAI_WEBHOOK_SECRET": standardSecret, "OPENAI_API_KEY": "sk-of-the-sidecar"},
		func(r *http.Request, _ string) (int, http.Header, string) {
			if r.Method == http.MethodGet {
				return http.StatusOK, nil, novel
			}
			return http.StatusOK, nil, `{"id":"resp_1","status":"queued","background":true}`
		})
	x := g.run(t, 0)
	g.api.requests(t, 1)
	wantBody(t, g.call(t, fixedURL, jsonType, openaiEvent("response.completed", "resp_1"), signStandard, standardSecret), http.StatusOK, "")
	wantBody(t, x.Answer(t), http.StatusOK, novel)
	if got := g.api.requests(t, 2)[1]; got.path != "/v1/responses/resp_1" || got.authorization != "Bearer sk-of-the-sidecar" {
		t.Errorf("%s was fetched with %q", got.path, got.authorization)
	}
}

func TestGuideToReplicate(t *testing.T) {
	t.Parallel()
	ack := prediction("starting", "null")
	g := follow(t, "replicate", "https://api.replicate.com", map[string]string{"REPLICATE_WEBHOOK_SECRET": standardSecret, "REPLICATE_API_TOKEN": "r8-of-the-sidecar"}, answers(http.StatusCreated, ack))
	for n, done := range []string{prediction("succeeded", "null"), prediction("failed", `"out of memory"`)} {
		wantBody(t, g.run(t, 0).Answer(t), http.StatusCreated, ack)
		url := webhookOf(t, g.api.requests(t, n+1)[n])
		if !strings.HasPrefix(url, harness.BaseURL+"/cb/") {
			t.Fatalf("Replicate got the webhook %s", url)
		}
		wantBody(t, g.call(t, url, jsonType, done, signStandard, standardSecret), http.StatusOK, "")
		got := g.app.requests(t, n+1)[n]
		if got.path != "/replicate" || got.body != done || got.header.Get("Webhook-Signature") == "" {
			t.Errorf("the app got %s %s, signed with %q", got.path, got.body, got.header.Get("Webhook-Signature"))
		}
	}
}

func TestGuideToAzure(t *testing.T) {
	t.Parallel()
	const result = `{"status":"succeeded","analyzeResult":{"content":"Hello"}}`
	const operation = "/documentintelligence/documentModels/prebuilt-layout/analyzeResults/3b31320d"
	var g *guide
	g = follow(t, "azure", "https://westeurope.api.cognitive.microsoft.com", map[string]string{"AZURE_KEY": azureKey},
		func(r *http.Request, _ string) (int, http.Header, string) {
			if r.Method == http.MethodGet {
				return http.StatusOK, nil, result
			}
			return http.StatusAccepted, http.Header{"Operation-Location": {g.api.URL + operation + "?api-version=2024-11-30"}}, ""
		})
	wantBody(t, g.run(t, 0).Answer(t), http.StatusOK, result)
	for i, path := range []string{"/documentintelligence/documentModels/prebuilt-layout:analyze", operation} {
		if got := g.api.requests(t, 2)[i]; got.path != path || got.header.Get("Ocp-Apim-Subscription-Key") != azureKey {
			t.Errorf("Azure got %s with %q", got.path, got.header.Get("Ocp-Apim-Subscription-Key"))
		}
	}
}

func TestGuideToGitHubAndSlack(t *testing.T) {
	t.Parallel()
	const github, slack = harness.BaseURL + "/github/cb", harness.BaseURL + "/slack/cb"
	g := follow(t, "github-slack", "https://api.github.com", map[string]string{"GITHUB_WEBHOOK_SECRET": plainSecret, "SLACK_SIGNING_SECRET": otherSecret(plainSecret)},
		func(r *http.Request, _ string) (int, http.Header, string) {
			if strings.HasPrefix(r.URL.Path, "/api/") {
				return http.StatusOK, nil, `{"ok":true,"channel":"C0123456789","ts":"1503435956.000247"}`
			}
			return http.StatusOK, nil, `{"workflow_run_id":1001}`
		})
	wantBody(t, g.run(t, 0).Answer(t), http.StatusOK, "3eZbrw1aBm2rZgRNFdxV2595E9CY3gmdALWMmHkvFXO7tYXAYM8P")

	x := g.run(t, 1)
	g.api.requests(t, 1)
	click := slackClick("1503435956.000247", "approve")
	wantStatus(t, "a click that GitHub's secret signs", g.call(t, slack, formType, click, signSlack, plainSecret), http.StatusUnauthorized)
	wantBody(t, g.call(t, slack, formType, click, signSlack, otherSecret(plainSecret)), http.StatusOK, "")
	wantStatus(t, "who has asked", x.Answer(t), http.StatusOK)

	x = g.run(t, 2)
	g.api.requests(t, 2)
	wantBody(t, g.call(t, github, jsonType, workflowRun("completed", "7", `"success"`), signGitHub, plainSecret), http.StatusNoContent, "")
	wantBody(t, g.call(t, github, jsonType, workflowRun("completed", "1001", `"failure"`), signGitHub, plainSecret), http.StatusOK, "")
	wantStatus(t, "who deploys", x.Answer(t), http.StatusFailedDependency)
}
