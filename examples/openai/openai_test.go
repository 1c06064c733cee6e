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

func TestMain(m *testing.M) { exampletest.Main(m, openai) }

// curlLine is the command that the example tells its user to run.
var curlLine = regexp.MustCompile(`^ +curl -i (http://\S+) -H '(\S+): (.*)' -H '(\S+): (\S+)' -d '(.*)'$`)

func TestAnswerIsTheWholeResponse(t *testing.T) {
	t.Parallel()
	e := exampletest.Start(t, openai, exampletest.FreePorts(t))
	line := e.WaitFor(t, curlLine)
	req, err := http.NewRequest(http.MethodPost, line[1], strings.NewReader(line[6]))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set(line[2], line[3])
	req.Header.Set(line[4], line[5])
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	var got response
	err = json.NewDecoder(res.Body).Decode(&got)
	_ = res.Body.Close()
	if err != nil || res.StatusCode != http.StatusOK || got.Status != "completed" || len(got.Output) != 1 || got.Output[0].Content[0].Text != "a book" {
		t.Errorf("the answer is %s, %+v, %v; want 200 and what was completed", res.Status, got, err)
	}
	e.WaitFor(t, regexp.MustCompile(`completed, sent the webhook, and was answered 200 OK$`))
	e.Interrupt(t)
}

func TestClientOfOpenAIWaitsForItsResponse(t *testing.T) {
	t.Parallel()
	e := exampletest.Start(t, openai, exampletest.FreePorts(t))
	line := e.WaitFor(t, curlLine)
	said := clients.Run(t, "openai.mjs", "OPENAI_BASE_URL="+strings.TrimSuffix(line[1], "/responses"))
	want := "background: completed, a book\nat once: completed, a pen\nretrieved: completed, a book\nfailing: APIError, 424\n"
	if said != want {
		t.Errorf("the client says\n%s, want\n%s", said, want)
	}
	e.WaitFor(t, regexp.MustCompile(`failed, sent the webhook, and was answered 200 OK$`))
	e.Interrupt(t)
}

func TestCaddyfileIsFormatted(t *testing.T) {
	t.Parallel()
	if formatted := caddyfile.Format(configuration); string(formatted) != string(configuration) {
		t.Errorf("the Caddyfile should be:\n%s", formatted)
	}
}
