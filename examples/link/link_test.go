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

func TestMain(m *testing.M) { exampletest.Main(m, link) }

// curlLine is one of the commands that the example tells its user to run.
var curlLine = regexp.MustCompile(`^ +curl -i (http://\S+) -d '(.*)'$`)

func TestOneOrderIsTakenAndTheOtherRejected(t *testing.T) {
	t.Parallel()
	e := exampletest.Start(t, link, exampletest.FreePorts(t))
	book, unicorn := e.WaitFor(t, curlLine), e.WaitFor(t, curlLine)
	if res, body := order(t, book); res.StatusCode != http.StatusOK || body["checked"] != true || res.Header.Get("X-Link-Status") != "Ok" {
		t.Errorf("the book: %s %v %v", res.Status, res.Header, body)
	}
	res, body := order(t, unicorn)
	if res.StatusCode != http.StatusUnprocessableEntity || body["documentStatus"] != "Rejected" || body["errorCode"] != "E17" {
		t.Errorf("the unicorn: %s %v", res.Status, body)
	}
	if got := res.Header.Get("X-Link-Document-Status"); got != "Rejected" {
		t.Errorf("X-Link-Document-Status is %q", got)
	}
	e.WaitFor(t, regexp.MustCompile(`called back with Failed, and was answered 200 OK`))
	e.Interrupt(t)
}

// order runs a curl command.
func order(t *testing.T, curl []string) (*http.Response, map[string]any) {
	t.Helper()
	res, err := http.Post(curl[1], "application/x-www-form-urlencoded", strings.NewReader(curl[2]))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	var body map[string]any
	if err := json.NewDecoder(res.Body).Decode(&body); err != nil {
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
