package main

import (
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/caddy-callback/caddy-callback/examples/internal/exampletest"
)

func TestMain(m *testing.M) { exampletest.Main(m, provider) }

// curlLine is the command that the example tells its user to run.
var curlLine = regexp.MustCompile(`^ +curl -i (http://\S+) -H 'X-Link-Callback-Url: (http://\S+)' -d '(.*)'$`)

func TestResultIsSentToTheClient(t *testing.T) {
	t.Parallel()
	e := exampletest.Start(t, provider, exampletest.FreePorts(t))
	line := e.WaitFor(t, curlLine)
	req, err := http.NewRequest(http.MethodPost, line[1], strings.NewReader(line[3]))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("X-Link-Callback-Url", line[2])
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	if res.StatusCode != http.StatusAccepted || res.Header.Get("Location") == "" {
		t.Errorf("the answer is %s %v, want 202 with a Location", res.Status, res.Header)
	}
	e.WaitFor(t, regexp.MustCompile(`its result has come, Ok: {"confirmed":true,"order":{"item":"book"}}$`))
	e.Interrupt(t)
}

func TestCaddyfileIsFormatted(t *testing.T) {
	t.Parallel()
	if formatted := caddyfile.Format(configuration); string(formatted) != string(configuration) {
		t.Errorf("the Caddyfile should be:\n%s", formatted)
	}
}
