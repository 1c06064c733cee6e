package main

import (
	"encoding/json"
	"io"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/caddy-callback/caddy-callback/examples/internal/exampletest"
)

func TestMain(m *testing.M) { exampletest.Main(m, park) }

// curlLine is the command that the example tells its user to run.
var curlLine = regexp.MustCompile(`^ +curl -i (http://\S+) -d '(.*)'$`)

func TestResultIsPickedUp(t *testing.T) {
	t.Parallel()
	e := exampletest.Start(t, park, exampletest.FreePorts(t))
	line := e.WaitFor(t, curlLine)
	req, err := http.NewRequest(http.MethodPost, line[1], strings.NewReader(line[2]))
	if err != nil {
		t.Fatal(err)
	}
	var accepted struct{ StatusURL, ResultURL string }
	if res, body := do(t, req); res.StatusCode != http.StatusAccepted || json.Unmarshal(body, &accepted) != nil {
		t.Fatalf("the answer is %s %s, want 202", res.Status, body)
	}

	result, err := http.NewRequest(http.MethodGet, accepted.ResultURL, nil)
	if err != nil {
		t.Fatal(err)
	}
	result.Header.Set("Prefer", "wait=10")
	res, body := do(t, result)
	if want := `{"confirmed":true,"order":{"item":"book"}}` + "\n"; res.StatusCode != http.StatusOK || string(body) != want {
		t.Errorf("the result is %s %q, want 200 OK %q", res.Status, body, want)
	}
	status, err := http.NewRequest(http.MethodGet, accepted.StatusURL, nil)
	if err != nil {
		t.Fatal(err)
	}
	if res, body := do(t, status); res.StatusCode != http.StatusOK || !strings.Contains(string(body), `"phase":"resolved"`) {
		t.Errorf("the status is %s %s, want resolved", res.Status, body)
	}
	e.WaitFor(t, regexp.MustCompile(`called back, and was answered 200 OK`))
	e.Interrupt(t)
}

func do(t *testing.T, req *http.Request) (*http.Response, []byte) {
	t.Helper()
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res, body
}

func TestCaddyfileIsFormatted(t *testing.T) {
	t.Parallel()
	if formatted := caddyfile.Format(configuration); string(formatted) != string(configuration) {
		t.Errorf("the Caddyfile should be:\n%s", formatted)
	}
}
