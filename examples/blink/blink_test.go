package main

import (
	"encoding/json"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/caddy-callback/caddy-callback/examples/internal/exampletest"
)

func TestMain(m *testing.M) { exampletest.Main(m, blink) }

// curlLine is the command that the example tells its user to run.
var curlLine = regexp.MustCompile(`^ +curl -i (http://\S+) -d '(.*)'$`)

func TestWorkflowGoesOnWithWhatTheCallBrings(t *testing.T) {
	t.Parallel()
	e := exampletest.Start(t, blink, exampletest.FreePorts(t))
	line := e.WaitFor(t, curlLine)
	res, err := http.Post(line[1], "application/x-www-form-urlencoded", strings.NewReader(line[2]))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	var got ticket
	if err := json.NewDecoder(res.Body).Decode(&got); err != nil || res.StatusCode != http.StatusOK {
		t.Fatalf("%s: %v", res.Status, err)
	}
	if want := (ticket{Ticket: 17, Assignee: "Ada"}); got != want {
		t.Errorf("the workflow goes on with %+v, want %+v", got, want)
	}
	e.WaitForAll(t,
		regexp.MustCompile(`tickets: called back with something else, and was answered 409 Conflict$`),
		regexp.MustCompile(`workflow: goes on, the ticket is assigned to Ada$`))
	e.Interrupt(t)
}

func TestCaddyfileIsFormatted(t *testing.T) {
	t.Parallel()
	if formatted := caddyfile.Format(configuration); string(formatted) != string(configuration) {
		t.Errorf("the Caddyfile should be:\n%s", formatted)
	}
}
