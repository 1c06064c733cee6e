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

func TestMain(m *testing.M) { exampletest.Main(m, a2a) }

// curlLine is the command that the example tells its user to run.
var curlLine = regexp.MustCompile(`^ +curl -i (http://\S+) -H 'Content-Type: application/json' -d '(.*)'$`)

// answer is an answer of JSON-RPC with a task.
type answer struct {
	ID     any  `json:"id"`
	Result task `json:"result"`
}

func post(t *testing.T, url, body string) (code int, got answer) {
	t.Helper()
	res, err := http.Post(url, "application/json", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	if err := json.NewDecoder(res.Body).Decode(&got); err != nil {
		t.Fatalf("%s: %v", res.Status, err)
	}
	return res.StatusCode, got
}

func TestAppWaitsForTheEndOfATask(t *testing.T) {
	t.Parallel()
	e := exampletest.Start(t, a2a, exampletest.FreePorts(t))
	line := e.WaitFor(t, curlLine)
	code, got := post(t, line[1], line[2])
	if code != http.StatusOK || got.ID != 1.0 || got.Result.Status.State != "completed" || len(got.Result.Artifacts) != 1 || got.Result.Artifacts[0].Parts[0].Text != "a book" {
		t.Errorf("the answer is %d %+v; want 200 and the completed task", code, got)
	}
	if code, _ := post(t, line[1], strings.Replace(line[2], "a book", "fail", 1)); code != http.StatusFailedDependency {
		t.Errorf("for a task that fails the answer is %d, want 424", code)
	}
	e.WaitFor(t, regexp.MustCompile(`failed, has notified of it, and was answered 200 OK$`))
	e.Interrupt(t)
}

func TestAppIsNotifiedWithItsOwnToken(t *testing.T) {
	t.Parallel()
	ports := exampletest.FreePorts(t)
	e := exampletest.Start(t, a2a, ports)
	line := e.WaitFor(t, curlLine)
	agent := strings.TrimSuffix(line[1], "wait")
	own := `"configuration":{"pushNotificationConfig":{"url":"http://localhost:` + ports[2] + `/inbox","token":"T-1"}},"message"`
	code, got := post(t, agent, strings.Replace(line[2], `"message"`, own, 1))
	if code != http.StatusOK || got.Result.Status.State != "submitted" {
		t.Errorf("the answer is %d %+v; want 200 and the submitted task", code, got)
	}
	e.WaitForAll(t, regexp.MustCompile(`working, has notified of it, and was answered 200 OK$`),
		regexp.MustCompile(`its app was notified with the token T-1: completed$`),
		regexp.MustCompile(`completed, has notified of it, and was answered 200 OK$`))
	code, got = post(t, agent, `{"jsonrpc":"2.0","id":7,"method":"tasks/get","params":{"id":"`+got.Result.ID+`"}}`)
	if code != http.StatusOK || got.ID != 7.0 || got.Result.Status.State != "completed" {
		t.Errorf("the task is %d %+v; want 200 and that it is completed", code, got)
	}
	e.Interrupt(t)
}

func TestCaddyfileIsFormatted(t *testing.T) {
	t.Parallel()
	if formatted := caddyfile.Format(configuration); string(formatted) != string(configuration) {
		t.Errorf("the Caddyfile should be:\n%s", formatted)
	}
}
