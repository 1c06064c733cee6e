package main

import (
	"encoding/json"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/caddy-callback/caddy-callback/examples/internal/exampletest"
	"github.com/caddy-callback/caddy-callback/integration/clients"
)

func TestMain(m *testing.M) { exampletest.Main(m, replicate) }

// nodeLine is the command that the example tells its user to run.
var nodeLine = regexp.MustCompile(`^ +(REPLICATE_BASE_URL=http://\S+) node (replicate.mjs)$`)

func TestClientOfReplicateGetsItsPredictions(t *testing.T) {
	t.Parallel()
	ports := exampletest.FreePorts(t)
	e := exampletest.Start(t, replicate, ports)
	line := e.WaitFor(t, nodeLine)
	said := clients.Run(t, line[2], line[1], "REPLICATE_INBOX_PORT="+ports[3])
	for _, want := range []string{
		"echo: created, starting, true",
		`echo: webhook, signature true, same id true, succeeded, ["a book"]`,
		"failing: created, starting, true",
		`failing: webhook, signature true, same id true, failed, "the model has failed"`,
		"silent: created, starting, true",
		`silent: webhook, signature true, same id true, succeeded, ["a poll"]`,
		// The webhook comes before the answer to the request.
		"at once: created, succeeded, true",
		`at once: webhook, signature true, same id true, succeeded, ["a pen"]`,
		`wait: succeeded, ["a book"]`,
		`run: ["no webhook"]`,
		`run and wait: ["Prefer"]`,
	} {
		if !strings.Contains(said, want+"\n") {
			t.Errorf("the client does not say %q:\n%s", want, said)
		}
	}
	for range 2 {
		e.WaitFor(t, regexp.MustCompile(`with a webhook: false$`))
	}
	e.Interrupt(t)
}

// TestAckIsReplicatesOwn does without the client: of what Caddy does it sees only the header Link.
func TestAckIsReplicatesOwn(t *testing.T) {
	t.Parallel()
	ports := exampletest.FreePorts(t)
	e := exampletest.Start(t, replicate, ports)
	e.WaitFor(t, nodeLine)
	url := "http://localhost:" + ports[1] + "/v1/predictions"
	for body, link := range map[string]bool{
		`{"version":"5c7d","input":{"text":"x"},"webhook":"http://localhost:` + ports[3] + `/x"}`: true,
		`{"version":"5c7d","input":{"text":"x"}}`:                                                 false,
	} {
		req, err := http.NewRequest(http.MethodPost, url, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer r8_example")
		req.Header.Set("Content-Type", "application/json")
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		var created prediction
		err = json.NewDecoder(res.Body).Decode(&created)
		_ = res.Body.Close()
		if err != nil || res.StatusCode != http.StatusCreated || created.Status != "starting" {
			t.Errorf("%s: the answer is %s, %+v, %v; want 201 and starting", body, res.Status, created, err)
		}
		if got := strings.Contains(res.Header.Get("Link"), `rel="status"`); got != link {
			t.Errorf("%s: the header Link is %q", body, res.Header.Get("Link"))
		}
		if created.Webhook == "" == link || strings.Contains(created.Webhook, ports[3]) {
			t.Errorf("%s: the webhook is %q", body, created.Webhook)
		}
	}
}

func TestCaddyfileIsFormatted(t *testing.T) {
	t.Parallel()
	if formatted := caddyfile.Format(configuration); string(formatted) != string(configuration) {
		t.Errorf("the Caddyfile should be:\n%s", formatted)
	}
}
