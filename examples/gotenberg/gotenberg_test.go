package main

import (
	"bytes"
	"mime/multipart"
	"net/http"
	"regexp"
	"testing"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/caddy-callback/caddy-callback/examples/internal/exampletest"
)

func TestMain(m *testing.M) { exampletest.Main(m, gotenberg) }

// The lines of a command that the example tells its user to run.
var (
	curlLine   = regexp.MustCompile(`^ +curl -i (http://\S+) -F url=(\S+) \\$`)
	headerLine = regexp.MustCompile(`^ +-H '([^:]+): (.*)'( \\)?$`)
)

// command reads a curl command, and returns what it sends.
func command(t *testing.T, e *exampletest.Running) *http.Request {
	t.Helper()
	curl := e.WaitFor(t, curlLine)
	var form bytes.Buffer
	fields := multipart.NewWriter(&form)
	if err := fields.WriteField("url", curl[2]); err != nil {
		t.Fatal(err)
	}
	if err := fields.Close(); err != nil {
		t.Fatal(err)
	}
	r, err := http.NewRequest(http.MethodPost, curl[1], &form)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", fields.FormDataContentType())
	for more := true; more; {
		line := e.WaitFor(t, headerLine)
		r.Header.Set(line[1], line[2])
		more = line[3] != ""
	}
	return r
}

func TestDocumentsAndFailuresGoToTheirURLsAndNowhereElse(t *testing.T) {
	t.Parallel()
	e := exampletest.Start(t, gotenberg.Example, exampletest.FreePorts(t))
	page, unknown := command(t, e), command(t, e)
	elsewhere := page.Clone(t.Context())
	elsewhere.Body = http.NoBody
	elsewhere.Header.Set("Gotenberg-Webhook-Url", "https://elsewhere.example/")
	for r, status := range map[*http.Request]int{page: http.StatusAccepted, unknown: http.StatusAccepted, elsewhere: http.StatusBadRequest} {
		res, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		_ = res.Body.Close()
		if res.StatusCode != status || (res.Header.Get("Location") != "") != (status == http.StatusAccepted) {
			t.Errorf("the answer is %s %v, want %d", res.Status, res.Header, status)
		}
	}
	e.WaitForAll(t,
		regexp.MustCompile(`application/pdf has come to /archive for acme: %PDF-1.7 of https://example.com$`),
		regexp.MustCompile(`application/json; charset=UTF-8 has come to /failures for acme: {"message":"Chromium cannot load https://nowhere.invalid","status":400}$`))
	e.Interrupt(t)
}

func TestCaddyfileIsFormatted(t *testing.T) {
	t.Parallel()
	if formatted := caddyfile.Format(configuration); string(formatted) != string(configuration) {
		t.Errorf("the Caddyfile should be:\n%s", formatted)
	}
}
