package main

import (
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/caddy-callback/caddy-callback/examples/internal/exampletest"
)

func TestMain(m *testing.M) { exampletest.Main(m, datafactory) }

// The lines of a command that the example tells its user to run.
var (
	curlLine = regexp.MustCompile(`^ +curl -i (http://\S+) -H 'Content-Type: application/json' \\$`)
	dataLine = regexp.MustCompile(`^ +-d '(.*)'$`)
)

func TestActivitiesSucceedAndFail(t *testing.T) {
	t.Parallel()
	e := exampletest.Start(t, datafactory, exampletest.FreePorts(t))
	for range 2 {
		res, err := http.Post(e.WaitFor(t, curlLine)[1], "application/json", strings.NewReader(e.WaitFor(t, dataLine)[1]))
		if err != nil {
			t.Fatal(err)
		}
		_ = res.Body.Close()
		if res.StatusCode != http.StatusAccepted || res.Header.Get("Location") == "" {
			t.Errorf("the answer is %s %v, want 202 with a Location", res.Status, res.Header)
		}
	}
	e.WaitForAll(t,
		regexp.MustCompile(`the activity has succeeded: {"result":{"confirmed":true,"item":"book"}}$`),
		regexp.MustCompile(`the activity has failed with 404: The upstream has answered with status 404\.$`))
	e.Interrupt(t)
}

func TestCaddyfileIsFormatted(t *testing.T) {
	t.Parallel()
	if formatted := caddyfile.Format(configuration); string(formatted) != string(configuration) {
		t.Errorf("the Caddyfile should be:\n%s", formatted)
	}
}
