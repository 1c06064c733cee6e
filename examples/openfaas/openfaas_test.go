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

func TestMain(m *testing.M) { exampletest.Main(m, openfaas) }

// curlLine is the command that the example tells its user to run.
var curlLine = regexp.MustCompile(`^ +curl -i (http://\S+) -d '(.*)'$`)

func TestAnswerIsTheFunctionsOwn(t *testing.T) {
	t.Parallel()
	e := exampletest.Start(t, openfaas, exampletest.FreePorts(t))
	line := e.WaitFor(t, curlLine)
	for _, call := range []struct {
		function         string
		status           int
		functions, wants string
	}{
		{"/shout", http.StatusOK, "200", "A BOOK"},
		{"/fail", http.StatusBadGateway, "500", "exit status 1"},
		{"/none", http.StatusBadGateway, "404", "there is no function none"},
	} {
		res, err := http.Post(strings.TrimSuffix(line[1], "/shout")+call.function, "application/x-www-form-urlencoded", strings.NewReader(line[2]))
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(res.Body)
		_ = res.Body.Close()
		if err != nil || res.StatusCode != call.status || string(body) != call.wants || res.Header.Get("X-Function-Status") != call.functions {
			t.Errorf("%s: the answer is %s %v %q, %v; want %d %s", call.function, res.Status, res.Header, body, err, call.status, call.wants)
		}
		e.WaitFor(t, regexp.MustCompile(`posted its result, and was answered 200 OK$`))
	}
	e.Interrupt(t)
}

func TestCaddyfileIsFormatted(t *testing.T) {
	t.Parallel()
	if formatted := caddyfile.Format(configuration); string(formatted) != string(configuration) {
		t.Errorf("the Caddyfile should be:\n%s", formatted)
	}
}
