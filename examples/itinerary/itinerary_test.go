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

func TestMain(m *testing.M) { exampletest.Main(m, itinerary) }

// curlLine is the command that the example tells its user to run.
var curlLine = regexp.MustCompile(`^ +curl -i (http://\S+) -d '(.*)'$`)

func TestOrderPassesEveryStop(t *testing.T) {
	t.Parallel()
	e := exampletest.Start(t, itinerary, exampletest.FreePorts(t))
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
	if want := `{"path":"/orders","placed":{"order":{"item":"book"},"price":12}}`; res.StatusCode != http.StatusOK || strings.TrimSpace(string(body)) != want {
		t.Errorf("the answer is %s %q, want 200 OK %q", res.Status, body, want)
	}
	e.WaitFor(t, regexp.MustCompile(`/enrich called back, and was answered 200 OK`))
	e.Interrupt(t)
}

func TestCaddyfileIsFormatted(t *testing.T) {
	t.Parallel()
	if formatted := caddyfile.Format(configuration); string(formatted) != string(configuration) {
		t.Errorf("the Caddyfile should be:\n%s", formatted)
	}
}
