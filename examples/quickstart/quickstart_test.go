package main

import (
	"io"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/caddy-callback/caddy-callback/examples/internal/exampletest"
)

func TestMain(m *testing.M) { exampletest.Main(m, quickstart) }

// curlLine is the command that the example tells its user to run.
var curlLine = regexp.MustCompile(`^ +curl -i (http://\S+) -d '(.*)'$`)

func TestRequestIsAnsweredByCallback(t *testing.T) {
	t.Parallel()
	e := exampletest.Start(t, quickstart, exampletest.FreePorts(t))
	line := e.WaitFor(t, curlLine)
	res, err := http.Post(line[1], "application/x-www-form-urlencoded", strings.NewReader(line[2]))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	if want := `{"confirmed":true}`; res.StatusCode != http.StatusOK || strings.TrimSpace(string(body)) != want {
		t.Errorf("the answer is %s %q, want 200 OK %q", res.Status, body, want)
	}
	// The rest of what the example tells its user.
	e.WaitFor(t, regexp.MustCompile(`^Ctrl\+C ends this`))
	e.WaitFor(t, regexp.MustCompile(`^$`))
	e.Interrupt(t)
}

func TestCaddyfileIsFormatted(t *testing.T) {
	t.Parallel()
	if formatted := caddyfile.Format(configuration); string(formatted) != string(configuration) {
		t.Errorf("the Caddyfile should be:\n%s", formatted)
	}
}
