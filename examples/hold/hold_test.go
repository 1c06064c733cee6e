package main

import (
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/caddy-callback/caddy-callback/examples/internal/exampletest"
)

func TestMain(m *testing.M) { exampletest.Main(m, hold) }

// curlLine is the command that the example tells its user to run.
var curlLine = regexp.MustCompile(`^ +curl -i (http://\S+) -d '(.*)'$`)

func TestRequestIsHeldAndAnswered(t *testing.T) {
	t.Parallel()
	e := exampletest.Start(t, hold, exampletest.FreePorts(t))
	line := e.WaitFor(t, curlLine)

	began := time.Now()
	res, err := http.Post(line[1], "application/x-www-form-urlencoded", strings.NewReader(line[2]))
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()

	if held := time.Since(began); held < thinks {
		t.Errorf("the request was held for %v, less than the partner takes", held)
	}
	if want := `{"confirmed":true,"order":{"item":"book"}}` + "\n"; res.StatusCode != http.StatusOK || string(body) != want {
		t.Errorf("the answer is %s %q, want 200 OK %q", res.Status, body, want)
	}
	if got := res.Header.Get("Content-Type"); got != "application/json" {
		t.Errorf("Content-Type is %q, want that of the call", got)
	}
	e.WaitFor(t, regexp.MustCompile(`called back, and was answered 200 OK`))
	e.Interrupt(t)

	if _, err := os.Stat(filepath.Join(e.Dir, "callback-data", "store", "sentinel.json")); err != nil {
		t.Errorf("the store is not where the README says: %v", err)
	}
	entries, err := os.ReadDir(e.Dir)
	if err != nil || len(entries) != 1 {
		t.Errorf("the example leaves more behind than callback-data: %v, %v", entries, err)
	}
}

func TestTakenPortIsNamed(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "localhost:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	ports := exampletest.FreePorts(t)
	ports[1] = exampletest.Port(l)
	e := exampletest.Start(t, hold, ports)
	e.WaitFor(t, regexp.MustCompile(`^Error: .*:`+exampletest.Port(l)+`: .*HOLD_APP_PORT`))
	if err := e.End(func(string) {}); err == nil {
		t.Error("the example exits with 0 although it could not start")
	}
}

func TestCaddyfileIsFormatted(t *testing.T) {
	t.Parallel()
	if formatted := caddyfile.Format(configuration); string(formatted) != string(configuration) {
		t.Errorf("the Caddyfile should be:\n%s", formatted)
	}
}
